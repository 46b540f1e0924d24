--- What a project's repository has: branches, tags, commits, pull requests. A project inherits these methods.
--- Source: …/repository/branches, /tags, /commits and /pulls in Buddy's REST types (npm @buddy-works/unit-tests)

local errors = require "moonsail.errors"
local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Person
---@field name? string
---@field email? string

---@class moonsail.Commit
---@field revision string
---@field short_revision? string
---@field message? string
---@field author? moonsail.Person
---@field committer? moonsail.Person
---@field author_date? string
---@field commit_date? string
---@field tags string[]
---@field url? string its page

---@class moonsail.Branch
---@field name string
---@field default boolean
---@field revision? string of its tip, when the API tells
---@field url? string

---@class moonsail.Tag
---@field name string
---@field message? string
---@field revision? string
---@field url? string

---@class moonsail.PullRequest
---@field name string such as "pull/1", as a run takes it
---@field number? integer
---@field url? string

local function person(object)
  return type(object) == "table" and { name = view.text(object, "name"), email = view.text(object, "email") } or nil
end

local function commit(entry)
  return {
    revision = view.text(entry, "revision"),
    short_revision = view.text(entry, "short_revision"),
    message = view.text(entry, "message"),
    author = person(view.field(entry, "author")),
    committer = person(view.field(entry, "committer")),
    author_date = view.text(entry, "author_date"),
    commit_date = view.text(entry, "commit_date"),
    tags = view.list(entry, "tags", "string"),
    url = view.text(entry, "html_url"),
  }
end

local function tip(entry)
  return view.text(view.field(entry, "commit"), "revision")
end

local function branch(entry)
  return { name = view.text(entry, "name"), default = view.field(entry, "default") == true, revision = tip(entry),
    url = view.text(entry, "html_url") }
end

local function tag(entry)
  return { name = view.text(entry, "name"), message = view.text(entry, "message"), revision = tip(entry),
    url = view.text(entry, "html_url") }
end

local function pull_request(entry)
  local name = view.text(entry, "name")
  local number = view.field(entry, "number") or name and name:match "%d+$"
  return { name = name or number and "pull/" .. number, number = math.tointeger(tonumber(number)),
    url = view.text(entry, "html_url") }
end

local function path_of(project, folder)
  return private[project].path() .. "/repository/" .. folder
end

local function list(project, folder, key, read, limit)
  local entries = reading.list(project, path_of(project, folder), key, limit)
  for i, entry in ipairs(entries) do entries[i] = read(entry) end
  return entries
end

local function check_name(name, what, example)
  if type(name) == "string" and name ~= "" then return end
  errors.raise("usage", ("a %s's name is a text, not %s"):format(what, tostring(name)), ("Such as %s."):format(example))
end

---@class moonsail.Repository
local Repository = {}
M.Repository = Repository

---@async
---@return moonsail.Branch[]
function Repository:branches()
  return list(self, "branches", "branches", branch)
end

---Raises `api` when there is none.
---@async
---@param name string
---@return moonsail.Branch
function Repository:branch(name)
  check_name(name, "branch", 'project:branch "main"')
  return branch(reading.one(self, path_of(self, "branches"), name, "branch", "branches"))
end

---@async
---@return moonsail.Tag[]
function Repository:tags()
  return list(self, "tags", "tags", tag)
end

---Raises `api` when there is none.
---@async
---@param name string
---@return moonsail.Tag
function Repository:tag(name)
  check_name(name, "tag", 'project:tag "v1.0"')
  return tag(reading.one(self, path_of(self, "tags"), name, "tag", "tags"))
end

---@async
---@return moonsail.PullRequest[]
function Repository:pull_requests()
  return list(self, "pulls", "pull_requests", pull_request)
end

---Raises `api` when there is none.
---@async
---@param number integer|string its number, or its name such as "pull/1"
---@return moonsail.PullRequest
function Repository:pull_request(number)
  local wanted = math.tointeger(tonumber(type(number) == "string" and number:match "^pull/(%d+)$" or number))
  if not wanted or wanted < 1 then
    errors.raise("usage", ("a pull request is named by its number, not %s"):format(tostring(number)),
      "Such as project:pull_request(1).")
  end
  return pull_request(reading.one(self, path_of(self, "pulls"), wanted, "pull request"))
end

-- ---- Commits.

-- Fields of the query as the recipe has them, and as the API does; `until` is a word of Lua's.
local filters = { branch = "branch", path = "path", author = "author", since = "since", before = "until" }
local fields = { "author", "before", "branch", "limit", "path", "since" }

local function date(value)
  return math.type(value) and os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(value)) or value
end

local function check_filter(name, value)
  if not (filters[name] or name == "limit") then
    local near = require("host.execution").nearest(tostring(name), fields)
    errors.raise("usage", ("project:commits knows no '%s'"):format(tostring(name)),
      near and ("Did you mean '%s'?"):format(near) or "It takes " .. table.concat(fields, ", ") .. ".")
  end
  if name == "limit" then
    if math.type(value) == "integer" and value > 0 then return end
    errors.raise("usage", "limit is " .. tostring(value), "Expected a number of commits, such as 20.")
  end
  if type(value) == "string" and value ~= "" then return end
  if (name == "since" or name == "before") and type(value) == "number" and value - value == 0 then return end
  errors.raise("usage", ("%s is %s"):format(name, tostring(value)), "Expected a text.")
end

local function query_of(options)
  local query = {}
  for _, name in ipairs(fields) do
    local value = options[name]
    if filters[name] and value ~= nil then
      query[#query + 1] = ("%s=%s"):format(filters[name], url.encode(date(value)))
    end
  end
  return #query > 0 and "?" .. table.concat(query, "&") or ""
end

---Its latest commits, newest first.
---@async
---@param options? { branch?: string, path?: string, author?: string, since?: string|number, before?: string|number,
---  limit?: integer } dates as "2030-01-31T12:00:00Z" or in seconds since 1970; `limit` default 20
---@return moonsail.Commit[]
function Repository:commits(options)
  options = options or {}
  for name, value in pairs(options) do check_filter(name, value) end
  return list(self, "commits" .. query_of(options), "commits", commit, options.limit or 20)
end

---Raises `api` when there is none.
---@async
---@param revision string
---@return moonsail.Commit
function Repository:commit(revision)
  check_name(revision, "commit", 'project:commit "5a1b2c3"')
  return commit(reading.one(self, path_of(self, "commits"), revision, "commit"))
end

return M

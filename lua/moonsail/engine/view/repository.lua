--- Members, commits, branches, tags and pull requests as JSON text. A commit never changes, but which tags are on it
--- and which branch is the default one may: that is looked up again after a second.
local date = require "moonsail.engine.date"
local fragment = require "moonsail.engine.fragment"
local json = require "host.json"
local task = require "host.task"

local M = {}

local null, text, maybe = fragment.null, fragment.text, fragment.maybe

local FRESH = 1 -- seconds
local MAX_KEPT = 1000

---@class engine.view.Repository
---@field owner engine.catalog.Member who runs the engine: the creator of everything
local View = {}
View.__index = View

---@param urls engine.Urls
---@param project engine.Project
---@param catalog engine.Catalog
---@return engine.view.Repository
function M.new(urls, project, catalog)
  local user = os.getenv "USER" or os.getenv "LOGNAME" or "local"
  local self = setmetatable({ urls = urls, project = project, catalog = catalog, members = {}, kept = {}, count = 0,
    owner = catalog:member(user, user .. "@localhost") }, View)
  return self
end

-- The text under a key, written anew when it is older than a second.
function View:fresh(key, write, ...)
  local known, now = self.kept[key], task.monotonic()
  if known and now - known.at < FRESH then return known.text end
  if not known then
    if self.count >= MAX_KEPT then self.kept, self.count = {}, 0 end
    self.count = self.count + 1
  end
  local written = write(self, ...)
  self.kept[key] = { at = now, text = written }
  return written
end

---@param member engine.catalog.Member
---@return table
function View:member_object(member)
  local owner = member.id == self.owner.id
  return { url = self.urls:member(member.id), html_url = self.urls:member_web(member.id), id = member.id,
    name = member.name, email = member.email, avatar_url = "", admin = owner, workspace_owner = owner }
end

---@param member engine.catalog.Member
---@return string
function View:member(member)
  local known = self.members[member.id]
  if not known then
    known = json.encode(self:member_object(member))
    self.members[member.id] = known
  end
  return known
end

local write_commit = fragment.object { "url", "html_url", "revision", "short_revision", "author_date", "commit_date",
  "message", "tags", "committer", "author" }

local function tags_of(self, revision)
  local names = json.list {}
  for _, tag in ipairs(self.project.repository:tags()) do
    if tag.revision == revision then table.insert(names, tag.name) end
  end
  return names
end

local function encode_commit(self, revision)
  local commit = self.project:commit(revision)
  local function member(person)
    return person and self:member(self.catalog:member(person.name, person.email)) or null
  end
  return write_commit {
    url = text(self.urls:repository("commits", revision)),
    html_url = text(self.urls:repository_web("commit", revision)),
    revision = text(revision),
    short_revision = text(revision:sub(1, 7)),
    author_date = maybe(commit and date.format_whole(commit.author_date)),
    commit_date = maybe(commit and date.format_whole(commit.commit_date)),
    message = maybe(commit and commit.message),
    tags = text(tags_of(self, revision)),
    committer = member(commit and commit.committer),
    author = member(commit and commit.author),
  }
end

---A commit; of one that is not in the repository any more only the SHA is known.
---@param revision? string
---@return string
function View:commit(revision)
  return revision and self:fresh(revision, encode_commit, revision) or null
end

local write_branch = fragment.object({ "url", "html_url", "name", "default", "description" }, { "commit" })

local function encode_branch(self, name, commit)
  local _, default = self.project:head()
  return write_branch {
    url = text(self.urls:repository("branches", name)),
    html_url = text(self.urls:repository_web("branch", name)),
    name = text(name),
    default = text(name == default),
    description = null,
    commit = commit,
  }
end

---@param name string
---@return string
function View:branch(name)
  return self:fresh("refs/heads/" .. name, encode_branch, name)
end

---@param name string
---@param revision string
---@return string
function View:branch_with_commit(name, revision)
  return encode_branch(self, name, self:commit(revision))
end

local write_tag = fragment.object({ "url", "html_url", "name", "message" }, { "commit" })

---@param name string
---@param message? string
---@param revision? string
---@return string
function View:tag(name, message, revision)
  return write_tag {
    url = text(self.urls:repository("tags", name)),
    html_url = text(self.urls:repository_web("tag", name)),
    name = text(name),
    message = maybe(message),
    commit = revision and self:commit(revision),
  }
end

---@param name string such as "pull/1"
---@return string
function View:pull_request(name)
  local number = name:match "%d+$"
  return json.encode { url = self.urls:repository("pulls", number), html_url = self.urls:repository_web("pull", number),
    name = name, number = math.tointeger(number), github_html_url = json.null }
end

return M

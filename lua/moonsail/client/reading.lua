--- Reading what belongs to a workspace, a project or a pipeline. A 404 is explained: one of the names is wrong.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local missing = require "moonsail.client.missing"
local pages = require "moonsail.client.pages"
local private = require "moonsail.client.private"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

---Whether an error says that there is nothing at a path.
---@param err any
---@return boolean
function M.is_missing(err)
  return errors.is(err) and err.status == 404
end

local function explained(owner, ok, ...)
  if ok then return ... end
  local err = ...
  if M.is_missing(err) then err = missing.explain(private[owner].session, private[owner].place(), err) end
  error(err, 0)
end

---Reads. Raises an `api` or a `network` error.
---@async
---@param owner table a workspace, project or pipeline
---@param path string
---@return table
function M.get(owner, path)
  return explained(owner, pcall(api.get, private[owner].session, path))
end

---Goes through a list, a page at a time, as it comes to it.
---@async
---@param owner table
---@param path string
---@param key string of the entries in the answer
---@param per_page integer
---@return fun(): table?
function M.each(owner, path, key, per_page)
  return pages.each(function(page) return M.get(owner, page) end, path, key, per_page)
end

---All entries of a list.
---@async
---@param owner table
---@param path string
---@param key string of the entries in the answer
---@param limit? integer
---@return table[]
function M.list(owner, path, key, limit)
  return pages.all(function(page) return M.get(owner, page) end, path, key, limit)
end

local function names_of(owner, path, key)
  local ok, entries = pcall(M.list, owner, path, key)
  if not ok and not errors.is(entries) then error(entries, 0) end
  local names = {}
  for _, entry in ipairs(ok and entries or {}) do names[#names + 1] = view.text(entry, "name") end
  return names
end

---Reads one of a list, by its name. When there is none, the error says which there are.
---@async
---@param owner table
---@param path string of the list
---@param name string|integer as it stands in its path
---@param what string such as "branch"
---@param key? string of the entries in the list's answer, where they have names
---@return table
function M.one(owner, path, name, what, key)
  local session = private[owner].session
  local ok, answer = pcall(api.get, session, path .. url.path(name))
  if ok then return answer end
  if not M.is_missing(answer) then error(answer, 0) end
  local err = missing.explain(session, private[owner].place(), answer)
  if err ~= answer then error(err, 0) end
  if key then error(missing.unknown(what, name, "in " .. tostring(owner), names_of(owner, path, key)), 0) end
  errors.raise("api", ("there is no %s %s in %s"):format(what, name, owner), "Look it up, and name another.",
    { status = 404, field = what })
end

return M

--- Facts of the git repository in the current directory.

local effect = require "host.effect"
local errors = require "moonsail.errors"

local M = {}

local opened = setmetatable({}, { __mode = "k" }) -- the repository of each session

local function repository_of(session)
  if not opened[session] then
    local repository, message, code = require("host.repository").open(session.directory)
    if not repository then
      local what, hint = errors.split(message)
      errors.raise("usage", what, hint or "Start moonsail in a git repository.", { code = code })
    end
    opened[session] = repository
  end
  return opened[session]
end

local function checked(value, message, code)
  if value ~= nil then return value end
  local what, hint = errors.split(message)
  errors.raise("recipe", what, hint or "Check the names.", { code = code })
end

local read = effect.define("git.read", { write = false }, function(session, what, ...)
  local repository = repository_of(session)
  return checked(repository[what](repository, ...))
end)

---What a recipe gets.
---@param session moonsail.Session
---@return table<string, table>
function M.fields(session)
  ---A revision is anything git understands, such as "HEAD~2" or "v1.0". Every function raises `usage` without a
  ---repository, and `recipe` when something is not in it.
  ---@class moonsail.Git
  local git = {}

  ---@return { revision: string, branch?: string }
  function git.head() return read(session, "head") end

  ---@return host.Branch[] # sorted by name
  function git.branches() return read(session, "branches") end

  ---@return { name: string, revision: string, message?: string }[] # sorted by name
  function git.tags() return read(session, "tags") end

  ---@return { name: string, number: integer, revision: string }[]
  function git.pull_requests() return read(session, "pull_requests") end

  ---@param revision string
  ---@return host.Commit
  function git.commit(revision) return read(session, "commit", revision) end

  ---Commits reachable from `to` and not from `from`, newest first.
  ---@param from? string
  ---@param to? string default "HEAD"
  ---@param options? { limit?: integer } default 100
  ---@return host.Commit[]
  function git.commits(from, to, options) return read(session, "commits", from, to or "HEAD", options) end

  ---@param from? string nil: everything is added
  ---@param to? string default "HEAD"
  ---@return { added: string[], changed: string[], deleted: string[] }
  function git.changed_paths(from, to) return read(session, "changed_paths", from, to or "HEAD") end

  ---A file's content at a revision.
  ---@param revision string
  ---@param path string
  ---@return string
  function git.read(revision, path) return read(session, "read", revision, path) end

  ---The full SHA of a revision.
  ---@param revision string
  ---@return string
  function git.resolve(revision) return read(session, "commit", revision).revision end

  return { git = git }
end

return M

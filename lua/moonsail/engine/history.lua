--- The history of a repository as lists of commits, by what a query asks for.
local task = require "host.task"

local M = {}

local MAX_LOOKED_AT = 10000 -- commits
local AT_ONCE = 50          -- of which the changed paths are read before others have their turn

---@class engine.history.Filter
---@field author? string a part of the name or the e-mail address, in any case
---@field path? string a file, or a folder with what is in it
---@field since? number seconds since 1970
---@field until_? number

local function by(person, wanted)
  return (person.name .. " <" .. person.email .. ">"):lower():find(wanted, 1, true) ~= nil
end

local function touches(repository, commit, path)
  local changes = repository:changed_paths(commit.parents[1], commit.revision)
  for _, paths in pairs(changes or {}) do
    for _, changed in ipairs(paths) do
      if changed == path or changed:sub(1, #path + 1) == path .. "/" then return true end
    end
  end
  return false
end

local function fits(repository, commit, filter)
  return not (filter.author and not by(commit.author, filter.author:lower()))
    and not (filter.since and commit.commit_date < filter.since)
    and not (filter.until_ and commit.commit_date > filter.until_)
    and not (filter.path and not touches(repository, commit, filter.path))
end

---The newest commits that pass a filter.
---@async
---@param repository host.Repository
---@param tip string
---@param filter engine.history.Filter
---@param count integer how many are wanted
---@return host.Commit[]
function M.list(repository, tip, filter, count)
  local found = {}
  local limit = next(filter) and MAX_LOOKED_AT or count
  for index, commit in ipairs(repository:commits(nil, tip, { limit = limit }) or {}) do
    if fits(repository, commit, filter) then table.insert(found, commit) end
    if #found == count then break end
    if filter.path and index % AT_ONCE == 0 then task.yield() end
  end
  return found
end

return M

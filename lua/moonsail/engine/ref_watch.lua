--- The refs of the repository as they were seen last, which the store keeps, and what has changed since.
local refs = require "moonsail.engine.refs"

local M = {}

---@class engine.RefWatch
---@field seen table<string, string> revisions by the full names of refs
local RefWatch = {}
RefWatch.__index = RefWatch

---The first time ever the refs are taken as they are.
---@param sql table<string, host.Statement>
---@param repository host.Repository
---@return engine.RefWatch? watch
---@return string? message
function M.open(sql, repository)
  local self = setmetatable({ sql = sql, repository = repository, seen = {} }, RefWatch)
  for _, row in ipairs(sql.seen_refs:rows()) do self.seen[row.name] = row.revision end
  if sql.setting:row "refs_seen" then return self end
  local changes, message = self:changes()
  if not changes then return nil, message end
  sql.set_setting:run("refs_seen", "yes")
  return self
end

local KINDS = { branch = "branches", tag = "tags", pull_request = "pull_requests" }
local ORDER = { "branch", "tag", "pull_request" }

-- All refs, in order. What cannot be read is not taken for deleted.
function RefWatch:now()
  local list = {}
  for _, kind in ipairs(ORDER) do
    local found, message = self.repository[KINDS[kind]](self.repository)
    if not found then return nil, message end
    for _, item in ipairs(found) do
      table.insert(list, { kind = kind, name = item.name, revision = item.revision })
    end
  end
  return list
end

function RefWatch:remember(full, revision)
  self.seen[full] = revision
  if revision then self.sql.see_ref:run(full, revision) else self.sql.forget_ref:run(full) end
end

-- Git may move a ref into its packed file while the refs are listed: asked for by its name, it is still there.
function RefWatch:is_gone(full)
  local _, _, code = self.repository:commit(refs.in_repository(refs.split(full)))
  return code == "ENOTFOUND"
end

-- Those that were seen, and are no more.
function RefWatch:gone(present)
  local names, changes = {}, {}
  for full in pairs(self.seen) do
    if not present[full] and self:is_gone(full) then table.insert(names, full) end
  end
  table.sort(names)
  for index, full in ipairs(names) do
    local kind, name = refs.split(full)
    changes[index] = { kind = kind, name = name, before = self.seen[full] }
    self:remember(full, nil)
  end
  return changes
end

---What has changed since the last call; from now on it is seen. Does not wait, so that what its caller writes in the
---same turn is kept with it, or not at all.
---@return engine.RefChange[]? changes
---@return string? message
function RefWatch:changes()
  local list, message = self:now()
  if not list then return nil, message end
  local changes, present = {}, {}
  for _, ref in ipairs(list) do
    local full = refs.full(ref.kind, ref.name)
    ref.before, present[full] = self.seen[full], true
    if ref.before ~= ref.revision then
      table.insert(changes, ref)
      self:remember(full, ref.revision)
    end
  end
  local gone = self:gone(present)
  return table.move(gone, 1, #gone, #changes + 1, changes)
end

return M

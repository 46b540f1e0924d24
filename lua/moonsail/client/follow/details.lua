--- What a list does not tell: the actions of executions, for whoever watches them, and their logs. It is asked for
--- beside the looks at the list, for as many as the session's pace allows, in turn.

local errors = require "moonsail.errors"
local task = require "host.task"

local M = {}

M.MOST = 8 -- executions of a pipeline that are looked at by themselves, in one look

local function runs(entry)
  local status = entry.execution.last_status
  return status ~= "ENQUEUED" and status ~= "INITIAL"
end

local function by_age(a, b)
  return a.execution.id < b.execution.id
end

local function by_turn(a, b)
  if a.detailed ~= b.detailed then return a.detailed < b.detailed end
  return by_age(a, b)
end

-- Those whose logs are read, in turn, and the oldest ones that run, if a reporter wants to see their actions.
local function wanted(poller)
  local read, watched = {}, {}
  local watching = poller.session:reports "changed"
  for _, entry in pairs(poller.followed) do
    if not runs(entry) then
      goto continue
    elseif entry.tails then
      read[#read + 1] = entry
    elseif watching then
      watched[#watched + 1] = entry
    end
    ::continue::
  end
  table.sort(read, by_turn)
  table.sort(watched, by_age)
  return table.move(watched, 1, M.MOST, #read + 1, read)
end

---Reads what the logs of an execution have that is new, as far as the pace allows.
---@async
---@param entry moonsail.Followed
function M.read_logs(entry)
  local poller, tails = entry.poller, {}
  local function get(path) return poller:get(path) end
  local function may_go_on() return not entry.over and poller.following.pace.logs:take(0) end
  for tail in pairs(entry.tails or {}) do tails[#tails + 1] = tail end -- waiters come and go meanwhile
  for _, tail in ipairs(tails) do
    tail:read(get, may_go_on)
    if tail:has_news() then entry.event:notify() end
  end
end

-- The list decides what becomes of an execution; that this look at it fails means nothing.
local function look(entry)
  local ok, err = pcall(entry.look, entry)
  if not ok and not errors.is(err) then error(err, 0) end
  if ok and not entry.over then M.read_logs(entry) end
end

---Looks at some executions by themselves.
---@async
---@param poller moonsail.Poller
---@param most integer
function M.look(poller, most)
  local pace, some = poller.following.pace.details, {}
  for _, entry in ipairs(wanted(poller)) do
    if #some == most or not pace:take(0) then break end
    entry.detailed = poller.looks
    some[#some + 1] = entry
  end
  task.map(some, { limit = M.MOST }, look)
end

return M

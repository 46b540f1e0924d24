--- One execution that is followed, and what each look shows of it. There may be ten thousand, so it is small.

local doubt = require "moonsail.client.follow.doubt"
local errors = require "moonsail.errors"
local status = require "moonsail.client.status"
local task = require "host.task"
local view = require "moonsail.client.view"

local M = {}

local UNKNOWN, VANISHED = 600, 10 -- seconds; the second in shortest polling intervals

---@class moonsail.Followed
---@field execution moonsail.Execution
---@field poller moonsail.Poller
---@field waiters integer
---@field idle integer of them, those that wait for `event`
---@field event host.Event it is over, there are lines for a waiter, or somebody is to drive
---@field sweep integer the last sweep through the list that has met it
---@field tails? table<moonsail.Tail, integer> the logs that are read, and for how many waiters
---@field detailed integer when it was last looked at by itself, counted in looks
---@field over? boolean whether nothing is to be learned of it any more
---@field outcome? moonsail.Outcome once it is over; `actions` may be missing
---@field seen? string the actions as last reported
---@field unknown? moonsail.Doubt while it has a status that we do not know
---@field missing? moonsail.Doubt while the API says that there is no such execution
---@field told? boolean whether its end has been reported
local Followed = {}
Followed.__index = Followed
Followed.idle, Followed.detailed = 0, 0

---@param poller moonsail.Poller
---@param execution moonsail.Execution
---@return moonsail.Followed
function M.new(poller, execution)
  return setmetatable({
    poller = poller, execution = execution, waiters = 0, event = task.event(), sweep = poller.sweep.number,
  }, Followed)
end

---Its logs are read for one more waiter.
---@param tail moonsail.Tail
function Followed:listen(tail)
  self.tails = self.tails or {}
  self.tails[tail] = (self.tails[tail] or 0) + 1
end

---They are read for one less.
---@param tail moonsail.Tail
function Followed:stop_listening(tail)
  local count = self.tails[tail]
  self.tails[tail] = count > 1 and count - 1 or nil
  if not next(self.tails) then self.tails = nil end
end

---It is over.
---@param outcome moonsail.Outcome
function Followed:finish(outcome)
  if self.over then return end
  outcome.status = outcome.status or self.execution.last_status
  self.over, self.outcome = true, outcome
  self.poller.changed = true
  self.poller:drop(self)
  self.event:notify()
end

-- ---- What is not certain at once.

local function note(self, ...)
  self.poller.session:report("note", ("%s %s"):format(self.execution, string.format(...)))
end

local function check_unknown(self, found, is_new)
  if is_new then self.unknown = nil end
  if status.is_known(found) then return end
  if not self.unknown then
    self.unknown = doubt.new()
    note(self, "has the status %s, which moonsail does not know; waiting on", found)
  end
  local limit = self.poller.session.timing.unknown or UNKNOWN
  if self.unknown:seen(limit, self.poller:longest_gap()) then self:finish { stuck = true, seconds = limit } end
end

---The API says that there is no such execution. `is_readable` tells whether its pipeline's list can be read, and does
---not hold it.
---@async
---@param is_readable fun(): boolean
function Followed:miss(is_readable)
  local poller = self.poller
  if not self.missing then
    self.missing = doubt.new()
    note(self, "is not found; looking again")
  end
  poller.changed = true
  local limit = poller.session.timing.vanished or VANISHED * poller.first
  if self.missing:seen(limit, poller:longest_gap()) and is_readable() and self.missing then
    self:finish { vanished = true }
  end
end

-- ---- What is.

-- One string for all that a reporter shows of the actions, to see changes by.
local function signature(actions)
  local parts = {}
  for i, action in ipairs(actions) do parts[i] = action.status .. " " .. action.progress end
  return table.concat(parts, ",")
end

---Whether an answer tells of this execution.
---@param answer table
---@return boolean
function Followed:is_told_by(answer)
  return view.field(answer, "id") == self.execution.id and view.text(answer, "status") ~= nil
end

local function without_progress(seen)
  return seen and seen:gsub(" [^,]*", "")
end

-- Tells of what has changed, unless it is the end: that is told by those who wait for it. Progress alone is told, but
-- nothing that calls for looking more often.
local function report(self, found, actions, is_new)
  local seen = actions and signature(actions) or self.seen
  if not is_new and seen == self.seen then return end
  if is_new or without_progress(seen) ~= without_progress(self.seen) then self.poller.changed = true end
  self.seen = seen
  if not status.terminal[found] then self.poller.session:report("changed", self.execution, actions) end
end

---Takes what an answer tells: the short view of a list, or the full one.
---@param answer table
function Followed:show(answer)
  local execution = self.execution
  local found, actions = view.text(answer, "status"), view.actions(answer)
  local is_new = found ~= execution.last_status
  execution.last_status, self.missing = found, nil
  for tail in pairs(actions and self.tails or {}) do tail:note(actions) end
  report(self, found, actions, is_new)
  if not status.terminal[found] then return check_unknown(self, found, is_new) end
  execution.start_date, execution.finish_date = view.text(answer, "start_date"), view.text(answer, "finish_date")
  self:finish { actions = actions, start_date = execution.start_date, finish_date = execution.finish_date }
end

---Asks the API for it and takes what that tells. Raises when it tells nothing.
---@async
function Followed:look()
  local poller = self.poller
  local ok, answer = pcall(poller.get, poller, poller:path_of(self.execution))
  if self.over then return end -- its last waiter has left meanwhile
  if not ok then error(answer, 0) end
  if not self:is_told_by(answer) then
    errors.raise("api", ("the answer for %s is not an execution"):format(self.execution), nil, { transient = true })
  end
  self.sweep = poller.sweep.number
  self:show(answer)
end

return M

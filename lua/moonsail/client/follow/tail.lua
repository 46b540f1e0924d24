--- The logs of one execution, told as they come: every line once, in the order of its action, whatever fails meanwhile.
--- An action that is run again, after a RETRY, begins a new log.

local errors = require "moonsail.errors"
local logs = require "moonsail.client.logs"
local status = require "moonsail.client.status"
local task = require "host.task"

local M = {}

local silent = { INITIAL = true, ENQUEUED = true, NOT_EXECUTED = true }

---@class moonsail.TailedLog
---@field action moonsail.ActionExecution as last seen
---@field offset integer lines that have been told
---@field turn integer when it was last read, counted in reads
---@field ended? number when it was first seen that the action had ended
---@field done? boolean whether nothing more is to come

---@class moonsail.Tail
---@field path string of the execution
---@field tell fun(action: moonsail.ActionExecution, lines: string[])
---@field quiet number seconds that an ended action's log must have said nothing
---@field form moonsail.LogForm
---@field logs moonsail.TailedLog[]
---@field by_key table<any, moonsail.TailedLog>
---@field turns integer
---@field count integer lines that have been told, in all
---@field queue? { first: integer, last: integer, [integer]: table } { line, action }, for who waits to be called with
---@field reader? boolean whether somebody reads
---@field refused? moonsail.Error why the logs may not be read
local Tail = {}
Tail.__index = Tail

local function queue_in(queue)
  return function(action, lines)
    for i, line in ipairs(lines) do queue[queue.last + i] = { line, action } end
    queue.last = queue.last + #lines
  end
end

---@param path string of the execution
---@param quiet number seconds
---@param sink fun(action: moonsail.ActionExecution, lines: string[]) told at once
---@return moonsail.Tail
function M.telling(path, quiet, sink)
  return setmetatable({
    path = path, quiet = quiet, tell = sink, form = {}, logs = {}, by_key = {}, turns = 0, count = 0,
  }, Tail)
end

---One whose lines are kept for `deliver`.
---@param path string of the execution
---@param quiet number seconds
---@param call fun(line: string, action: moonsail.ActionExecution)
---@return moonsail.Tail
function M.calling(path, quiet, call)
  local queue = { first = 1, last = 0 }
  local self = M.telling(path, quiet, queue_in(queue))
  self.queue, self.call = queue, call
  return self
end

---Whether there is something to deliver.
---@return boolean
function Tail:has_news()
  return self.queue ~= nil and self.queue.first <= self.queue.last
end

---Calls the function with each line that has come. Raises what it raises; the line counts as delivered then.
---@async
function Tail:deliver()
  while self:has_news() do
    local queue = self.queue
    local item = queue[queue.first]
    queue[queue.first], queue.first = nil, queue.first + 1
    self.call(item[1], item[2])
  end
end

-- ---- Which logs there are.

local function begin_log(self, key, action)
  local log = { action = action, offset = 0, turn = 0 }
  self.logs[#self.logs + 1] = log
  self.by_key[key] = log
  return log
end

-- Without an id of its own, an action that runs again is known by its date, or by its having run to an end before.
local function is_another_run(before, action)
  if before.start_date and action.start_date then return before.start_date ~= action.start_date end
  return status.terminal[before.status] and not status.terminal[action.status]
end

local function log_of(self, action)
  local key = action.execution_id or action.id
  local log = self.by_key[key]
  if not log or not action.execution_id and is_another_run(log.action, action) then
    return begin_log(self, key, action)
  end
  return log
end

---Takes the actions as they are now.
---@param actions moonsail.ActionExecution[]
function Tail:note(actions)
  for _, action in ipairs(actions) do
    if action.id and not silent[action.status] then
      local log = log_of(self, action)
      log.action = action
      if not status.terminal[action.status] then
        log.ended, log.done = nil, nil
      else
        log.ended = log.ended or task.monotonic()
      end
    end
  end
end

---The execution has ended, so all its actions have.
function Tail:finish()
  for _, log in ipairs(self.logs) do log.ended = log.ended or task.monotonic() end
end

---Whether nothing more is to come of what is known.
---@return boolean
function Tail:is_done()
  for _, log in ipairs(self.logs) do
    if not log.done then return false end
  end
  return true
end

-- ---- Reading.

local function in_turn(self)
  local list = {}
  for _, log in ipairs(self.logs) do
    if not log.done then list[#list + 1] = log end
  end
  table.sort(list, function(a, b)
    if a.turn ~= b.turn then return a.turn < b.turn end
    return (a.action.id or 0) < (b.action.id or 0)
  end)
  return list
end

-- Reads once. Returns whether there is more already.
local function advance(self, log, get)
  local begun = task.monotonic()
  self.turns = self.turns + 1
  log.turn = self.turns
  local lines, total = logs.after(get, self.path, log.action, log.offset, self.form)
  if not lines and log.offset > 0 then return false end -- a log that was there is not gone
  lines = lines or {}
  log.offset, self.count = log.offset + #lines, self.count + #lines
  -- The log may lag behind the status.
  log.done = #lines == 0 and log.offset >= (total or 0) and log.ended ~= nil and begun - log.ended >= self.quiet
  if #lines > 0 then self.tell(log.action, lines) end
  return #lines > 0 and log.offset < (total or math.huge)
end

local reading_mt = { __close = function(reading) reading.tail.reader = nil end }

local function read_each(self, get, may_go_on)
  for _, log in ipairs(in_turn(self)) do
    repeat
      if not may_go_on() then return end
    until not advance(self, log, get)
  end
end

---Reads what there is, in turn, while `may_go_on()`. One that somebody is reading is left alone.
---@async
---@param get fun(path: string): table raises what reading raises
---@param may_go_on fun(): boolean asked before each request
---@return boolean ok false when reading has failed; what is missing comes with a later read
function Tail:read(get, may_go_on)
  if self.reader or self.refused then return true end
  self.reader = true
  local _ <close> = setmetatable({ tail = self }, reading_mt)
  local ok, err = pcall(read_each, self, get, may_go_on)
  if ok then return true end
  if not errors.is(err) then error(err, 0) end
  if (err.status == 401 or err.status == 403) and not err.transient and not err.foreign then self.refused = err end
  return false
end

return M

--- The queue: which execution may start next. A lane for each pipeline: in it priority goes before age, and one at a
--- time runs unless the pipeline allows several. Between lanes priority goes first, then the lane that has waited
--- longest for its turn. Holds numbers only, so that it can be long.
local task = require "host.task"

local M = {}

local PRIORITIES = { "HIGH", "NORMAL", "LOW" }

---@class engine.Queue
---@field changed host.Event something may start that could not before
local Queue = {}
Queue.__index = Queue

---@param limit integer how many executions run at once at most
---@return engine.Queue
function M.new(limit)
  return setmetatable({ limit = limit, running = 0, turn = 0, lanes = {}, parked = {},
    changed = task.event() }, Queue)
end

local function new_lane()
  local lane = { running = 0, turn = 0, concurrent = false }
  for rank in ipairs(PRIORITIES) do lane[rank] = { first = 1, last = 0 } end
  return lane
end

local function rank_of(priority)
  for rank, name in ipairs(PRIORITIES) do
    if name == priority then return rank end
  end
end

---@param pipeline integer
---@param number integer
---@param priority "HIGH"|"NORMAL"|"LOW"
---@param concurrent boolean whether this pipeline runs several at once
function Queue:push(pipeline, number, priority, concurrent)
  local lane = self.lanes[pipeline]
  if not lane then
    lane = new_lane()
    self.lanes[pipeline] = lane
  end
  lane.concurrent = concurrent
  local line = lane[rank_of(priority)]
  line.last = line.last + 1
  line[line.last] = number
  self.changed:notify()
end

local function first_rank(lane)
  if lane.running > 0 and not lane.concurrent then return nil end
  for rank in ipairs(PRIORITIES) do
    if lane[rank].first <= lane[rank].last then return rank end
  end
end

function Queue:best_lane()
  local best, best_rank, best_pipeline
  for pipeline, lane in pairs(self.lanes) do
    local rank = first_rank(lane)
    if rank and (not best or rank < best_rank or rank == best_rank and lane.turn < best.turn) then
      best, best_rank, best_pipeline = lane, rank, pipeline
    end
  end
  return best, best_rank, best_pipeline
end

---Takes the execution that may start now; :done must be called when it has ended.
---@return integer? pipeline nil when none may
---@return integer number
function Queue:take()
  if self.running >= self.limit then return nil end
  local lane, rank, pipeline = self:best_lane()
  if not lane then return nil end
  local line = lane[rank]
  local number = line[line.first]
  line[line.first] = nil
  line.first = line.first + 1
  self.running, self.turn = self.running + 1, self.turn + 1
  lane.running, lane.turn = lane.running + 1, self.turn
  return pipeline, number
end

-- How many run, for the limit: those that only wait for people or for another execution do not count.
function Queue:count(difference)
  self.running = self.running + difference
  if difference < 0 then self.changed:notify() end
end

---An execution that runs does nothing but wait, so another may run meanwhile. May be said again before it ends.
---@param key any of the execution
---@return table parked to be closed when it goes on; then more may run for a while than the limit says
function Queue:park(key)
  self.parked[key] = (self.parked[key] or 0) + 1
  if self.parked[key] == 1 then self:count(-1) end
  return setmetatable({}, { __close = function() self:unpark(key) end })
end

function Queue:unpark(key)
  self.parked[key] = self.parked[key] - 1
  if self.parked[key] > 0 then return end
  self.parked[key] = nil
  self:count(1)
end

---@param pipeline integer
function Queue:done(pipeline)
  local lane = self.lanes[pipeline]
  lane.running = lane.running - 1
  self:count(-1)
end

return M

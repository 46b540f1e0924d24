--- Spreads requests over time. However many executions and pipelines are followed, a session asks no faster than its
--- lanes let it, and never with all of them in one instant.

local task = require "host.task"

local M = {}

local LOOKS, DETAILS = 20, 8 -- requests in the time of one shortest polling interval

---@class moonsail.Lane
---@field gap number seconds between two requests
---@field burst number seconds by which requests may come too early, when there were none before
---@field free number when the next one may come
local Lane = {}
Lane.__index = Lane

local function lane(seconds, number, burst)
  local gap = seconds / number
  return setmetatable({ gap = gap, burst = gap * (burst - 1), free = -math.huge }, Lane)
end

---Takes the next free place, and waits for it.
---@async
---@param longest? number seconds that it may be away; default for ever
---@return boolean taken false when it is further away; then nothing was waited
function Lane:take(longest)
  local now = task.monotonic()
  local due = math.max(self.free, now)
  local pause = due - self.burst - now
  if pause > (longest or math.huge) then return false end
  self.free = due + self.gap
  if pause > 0 then task.sleep(pause) end
  return true
end

---@class moonsail.Pace
---@field looks moonsail.Lane at the lists of pipelines
---@field details moonsail.Lane at single executions beside them
---@field logs moonsail.Lane at logs

---@param shortest number seconds of the shortest polling interval
---@return moonsail.Pace
function M.new(shortest)
  return {
    looks = lane(shortest, LOOKS, 1),
    details = lane(shortest, DETAILS, DETAILS),
    logs = lane(shortest, DETAILS, DETAILS),
  }
end

return M

--- A doubt: what an answer says that may be a stale replica's or a proxy's word, and so counts only when it has been
--- seen again and again. Time in which nobody looked does not count: a laptop may have been asleep.

local task = require "host.task"

local M = {}

local LOOKS = 3 -- at least, however long it takes

---@class moonsail.Doubt
---@field looks integer
---@field seconds number that it has lasted under our eyes
---@field last? number when it was last seen
local Doubt = {}
Doubt.__index = Doubt

---It has been seen. Returns whether it is certain now.
---@param seconds number that it must have lasted for that
---@param longest number seconds between two looks; what is more was no looking
---@return boolean
function Doubt:seen(seconds, longest)
  local now = task.monotonic()
  if self.last then self.seconds = self.seconds + math.min(now - self.last, longest) end
  self.last, self.looks = now, self.looks + 1
  return self.looks >= LOOKS and self.seconds > seconds
end

---@return moonsail.Doubt
function M.new()
  return setmetatable({ looks = 0, seconds = 0 }, Doubt)
end

return M

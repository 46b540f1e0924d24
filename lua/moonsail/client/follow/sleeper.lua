--- Notices that the machine was asleep: the monotonic clock stands still meanwhile, and the wall clock has jumped.
--- What was under way then will not come back, and what was to be waited for is over.

local task = require "host.task"

local M = {}

local JUMP = 10 -- seconds; less is the wall clock being set right

M.STEP = 1 -- seconds between two looks at the clocks

---@class moonsail.Sleeper
---@field drift number of the wall clock against the monotonic one
local Sleeper = {}
Sleeper.__index = Sleeper

local function drift()
  return task.now() - task.monotonic()
end

---Whether the machine has slept since this was last asked.
---@return boolean
function Sleeper:has_slept()
  local before = self.drift
  self.drift = drift()
  return self.drift - before > JUMP
end

local function until_slept(self)
  repeat task.sleep(M.STEP) until self:has_slept()
end

---Runs `fn(...)`, and cancels it when the machine has slept.
---@async
---@return boolean done
function Sleeper:awake(fn, ...)
  local arguments = table.pack(...)
  local _, first = task.race {
    function() return fn(table.unpack(arguments, 1, arguments.n)) end,
    function() return until_slept(self) end,
  }
  return first == 1
end

---@return moonsail.Sleeper
function M.new()
  return setmetatable({ drift = drift() }, Sleeper)
end

return M

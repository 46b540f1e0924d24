--- Processes that outlived the engine that started them, say after kill -9. They are known by their number and the
--- time of their start, since a number alone may be another process's by now.
local process = require "host.process"

local M = {}

local function start_time(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid), "r")
  local fields = file and file:read "a":match "%) (.*)$" -- the name before it may hold anything
  local index = 0
  for field in (fields or ""):gmatch "%S+" do
    index = index + 1
    if index == 20 then return field end
  end
end

---What to remember of a process.
---@param pid integer
---@return string? name nil where there is no /proc
function M.name(pid)
  local started = start_time(pid)
  return started and ("%d@%s"):format(pid, started)
end

---Ends the process group of a process, if that process still runs.
---@async
---@param name string
---@return boolean ended
function M.finish(name)
  local pid, started = name:match "^(%d+)@(%d+)$"
  if not pid or start_time(tonumber(pid)) ~= started then return false end
  process.run { command = { "sh", "-c", 'kill -s KILL -- "-$1"', "sh", pid } }
  return true
end

return M

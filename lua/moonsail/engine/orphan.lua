--- Processes that outlived the engine that started them, say after kill -9. What runs an action is known by its number
--- and the time of its start, since a number alone may be another process's by now. What has left its process group, or
--- was left in it alone, is known by its environment.
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

-- One may start another meanwhile; one that waits for a broken disk does not end.
local SWEEP = [[
for _ in 1 2 3 4 5 6 7 8 9; do
  pids=$(grep -lzE "^BUDDY_RUN_HASH=$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
  [ -n "$pids" ] || exit 0
  kill -s KILL $pids
done
]]

---Ends all that was started with a BUDDY_RUN_HASH that begins so: an engine gives all of its executions the same eight
---digits, so that before it has started anything, such a process is left over.
---@async
---@param digits string hexadecimal
function M.sweep(digits)
  process.run { command = { "sh", "-c", SWEEP, "sh", digits } }
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

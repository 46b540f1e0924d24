--- SLEEP: waits.
local shape = require "moonsail.engine.shape"
local task = require "host.task"

local M = {}

M.keys = { sleep_in_sec = { shape.integer(0, 1200), required = true } }

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local seconds = context.action.sleep_in_sec
  context.log:note(("Sleeping for %d s"):format(seconds))
  local started, timeout = task.monotonic(), context.action.timeout or math.huge
  local step = math.max(seconds / 100, 1) -- no more than a hundred changes of the progress
  while true do
    local passed = task.monotonic() - started
    if passed >= seconds then return "SUCCESSFUL" end
    if passed >= timeout then return "FAILED", ("not done after %d s"):format(timeout) end
    context:progress(passed / seconds)
    if context:wait(math.min(step, seconds - passed, timeout - passed)) then return "TERMINATED" end
  end
end

return M

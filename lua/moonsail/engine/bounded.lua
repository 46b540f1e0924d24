--- Work that an action does within the engine itself, such as a request: it ends when the execution is cancelled, or
--- when the action's time is over.
local task = require "host.task"

local M = {}

---@async
---@param context engine.Context
---@param work fun(): string, string? gives the action's status, and a message
---@return "SUCCESSFUL"|"FAILED"|"TERMINATED" status
---@return string? message
function M.run(context, work)
  local outcome = task.race {
    function() return { work() } end,
    function()
      if context:wait(context.action.timeout) then return { "TERMINATED" } end
      return { "FAILED", ("not done after %d s"):format(context.action.timeout) }
    end,
  }
  return table.unpack(outcome, 1, 2)
end

return M

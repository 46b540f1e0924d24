--- WAIT_FOR_VARIABLES: waits until somebody gives the values that it asks for.
local approval = require "moonsail.engine.approval"
local shape = require "moonsail.engine.shape"

local M = {}

M.keys = { comment = shape.text, permissions = approval.PERMISSIONS, variables = approval.VARIABLES }

---@async
---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local questions, message = approval.questions(context)
  if not questions then return "FAILED", message end
  return approval.await(context, "APPLY_VARIABLES", questions)
end

return M

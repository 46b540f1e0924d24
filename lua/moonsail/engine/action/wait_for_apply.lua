--- WAIT_FOR_APPLY: waits until somebody approves.
local approval = require "moonsail.engine.approval"
local shape = require "moonsail.engine.shape"

local M = {}

M.keys = { comment = shape.text, permissions = approval.PERMISSIONS }

---@async
---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  return approval.await(context, "APPLY", {})
end

return M

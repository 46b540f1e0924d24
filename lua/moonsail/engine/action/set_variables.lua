--- SET_VARIABLES: waits until somebody gives values to settable variables. One that is not given keeps its value.
local approval = require "moonsail.engine.approval"
local shape = require "moonsail.engine.shape"

local M = {}

M.keys = { comment = shape.text, permissions = approval.PERMISSIONS, variables = approval.VARIABLES }

-- What they are now; nil and a message when one of them cannot be set.
local function add_current(context, questions)
  local known = context.job.variables:of(context.action)
  for _, asked in ipairs(questions) do
    local found = known[asked.key]
    if not found or not found.settable then return nil, ("%s is not a settable variable"):format(asked.key) end
    asked.default = asked.default or found.value
    asked.encrypted = asked.encrypted or found.settable.variable.encrypted
  end
  return questions
end

---@async
---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local questions, message = approval.questions(context)
  if questions then questions, message = add_current(context, questions) end
  if not questions then return "FAILED", message end
  return approval.await(context, "SET_VARIABLES", questions)
end

return M

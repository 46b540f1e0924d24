--- What failed says why in its log, so its end is shown at once.

local terminal = require "host.terminal"

local M = {}

local TAIL = 12 -- lines

---Shows the end of the log of every action that has failed.
---@async
---@param execution moonsail.Execution
---@param actions? moonsail.ActionExecution[]
function M.show(execution, actions)
  for _, action in ipairs(actions or {}) do
    if action.status == "FAILED" then
      local ok, lines = pcall(execution.logs, execution, action.id)
      if ok and #lines > 0 then
        local first = math.max(1, #lines - TAIL + 1)
        local head = ("the log of '%s'%s:\n  | "):format(action.name, first > 1 and ", its end" or "")
        terminal.write("stderr", head .. table.concat(lines, "\n  | ", first) .. "\n")
      end
    end
  end
end

return M

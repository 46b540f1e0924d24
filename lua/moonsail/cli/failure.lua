--- What failed says why in its log, so its end is shown at once.

local terminal = require "host.terminal"
local text = require "moonsail.cli.display.text"

local M = {}

local TAIL = 12 -- lines

local function show_log(action, lines)
  local first = math.max(1, #lines - TAIL + 1)
  local to = terminal.is_terminal "stderr" and "terminal" or "pipe"
  local shown = { ("the log of '%s'%s:"):format(text.name(action), first > 1 and ", its end" or "") }
  for i = first, #lines do
    for _, part in ipairs(text.log_lines(lines[i], to)) do shown[#shown + 1] = "  | " .. part end
  end
  terminal.write("stderr", table.concat(shown, "\n") .. "\n")
end

---Shows the end of the log of every action that has failed.
---@async
---@param execution moonsail.Execution
---@param actions? moonsail.ActionExecution[]
function M.show(execution, actions)
  for _, action in ipairs(actions or {}) do
    if action.status == "FAILED" then
      local ok, lines = pcall(execution.logs, execution, action.id)
      if ok and #lines > 0 then show_log(action, lines) end
    end
  end
end

return M

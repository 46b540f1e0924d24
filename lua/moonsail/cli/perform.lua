--- Performs what a command does in a session of its own: with a display, with words for what went wrong, and with an
--- exit code.

local display = require "moonsail.cli.display"
local errors = require "moonsail.errors"
local failure = require "moonsail.cli.failure"
local report = require "moonsail.cli.report"
local task = require "host.task"
local terminal = require "host.terminal"

local M = {}

-- Ctrl-C ends moonsail, and not what runs at Buddy: so that is said. The embedded engine ends with us.
local function tell_when_interrupted(screen, session)
  return setmetatable({}, {
    __close = function(_, problem)
      if errors.exit_code(problem) ~= 130 then return end
      local open = screen:open()
      screen:close()
      local lines = { "moonsail: interrupted" }
      for _, execution in ipairs(session.engine and {} or open) do
        lines[#lines + 1] = ("  %s goes on: %s"):format(display.title(execution), execution.url)
      end
      terminal.write("stderr", table.concat(lines, "\n") .. "\n")
    end,
  })
end

---@class moonsail.Performance
---@field settings table of the command line
---@field parameters? table of a recipe
---@field recipe? string its path, for the places of faults
---@field screen? moonsail.Reporter default: a display on standard error; is closed

---Runs `fn(session)` in a task, and tells of what it raises.
---@async
---@param options moonsail.Performance
---@param fn fun(session: moonsail.Session): integer? # the exit code, default 0
---@return integer exit code
function M.perform(options, fn)
  local screen <close> = options.screen or display.new()
  local session <close> = require("moonsail.client.session").new {
    settings = options.settings, parameters = options.parameters, progress = screen, embedded = true,
  }
  local guard <close> = tell_when_interrupted(screen, session) -- luacheck: ignore 211
  local body = task.spawn(fn, session)
  local done, result = pcall(body.join, body)
  if done then return result or 0 end
  screen:close() -- what it still holds comes before the error
  if errors.is(result) and result.kind == "execution" then failure.show(result.execution, result.actions) end
  return report.error(result, options.recipe)
end

return M

--- moonsail executions logs PIPELINE EXECUTION [ACTION]

local choice = require "moonsail.cli.executions.choice"
local following = require "moonsail.cli.following"
local output = require "moonsail.cli.output"
local text = require "moonsail.cli.display.text"

-- One action's lines as they are; those of several with whose they are.
local function printer(wanted)
  return function(line, action)
    if not wanted then return output.log_line(line, text.name(action) .. " | ") end
    if action.name == wanted or tostring(action.id) == wanted then output.log_line(line, "") end
  end
end

local function run(context, options)
  local execution = choice.one(context)
  if options.follow then return following.follow({ execution }, context, printer(options.action)) end
  for _, line in ipairs(execution:logs(options.action)) do output.log_line(line, "") end
end

return {
  name = "logs",
  summary = "Prints the log of an action, or of all.",
  examples = "  moonsail executions logs deploy 42 Compile\n  moonsail executions logs deploy 42 --follow",
  declare = function(p)
    choice.declare(p)
    p:argument("action", "By id or name; all by default."):argname "ACTION":args "?"
    p:flag("--follow", "Goes on until the execution has ended, whose success is the exit code.")
  end,
  run = run,
}

--- moonsail executions approve PIPELINE EXECUTION

local choice = require "moonsail.cli.executions.choice"
local variables = require "moonsail.cli.variables"

return {
  name = "approve",
  summary = "Lets an action go on that waits for a person, with the variables that it asks for.",
  examples = "  moonsail executions approve deploy 42\n"
    .. "  moonsail executions approve deploy 42 --action Values --variable REGION=eu --secret PASSWORD",
  declare = function(p)
    choice.declare(p)
    p:option("--action", "Which one, by id or name, where several wait."):argname "ACTION"
    variables.declare(p)
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = function(context, options)
    local answer = { action = options.action, variables = variables.of(options, context.sail) }
    choice.tell(choice.one(context):approve(answer), options)
  end,
}

--- moonsail executions cancel PIPELINE EXECUTION

local choice = require "moonsail.cli.executions.choice"

return {
  name = "cancel",
  summary = "Asks for an execution to be stopped.",
  examples = "  moonsail executions cancel deploy 42 && moonsail executions follow deploy 42",
  declare = function(p)
    choice.declare(p)
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = function(context, options) choice.tell(choice.one(context):cancel(), options) end,
}

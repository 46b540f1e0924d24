--- moonsail executions retry PIPELINE EXECUTION

local choice = require "moonsail.cli.executions.choice"

return {
  name = "retry",
  summary = "Runs an execution again that has failed or was cancelled.",
  examples = "  moonsail executions retry deploy 42 && moonsail executions follow deploy 42",
  declare = function(p)
    choice.declare(p)
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = function(context, options) choice.tell(choice.one(context):retry(), options) end,
}

--- moonsail executions COMMAND: looking at executions, waiting for them, changing them.

local command = require "moonsail.cli.command"

return command.new("executions", "Looks at executions, waits for them, changes them.", {
  examples = [[
  moonsail executions list deploy --limit 5
  moonsail executions follow deploy 41 42 --logs
  moonsail executions logs deploy 42 Compile
  moonsail executions approve deploy 42 --action Ship --variable REGION=eu]],
  require "moonsail.cli.executions.list",
  require "moonsail.cli.executions.show",
  require "moonsail.cli.executions.follow",
  require "moonsail.cli.executions.cancel",
  require "moonsail.cli.executions.retry",
  require "moonsail.cli.executions.approve",
  require "moonsail.cli.executions.logs",
})

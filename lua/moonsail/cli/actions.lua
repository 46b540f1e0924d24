--- moonsail actions PIPELINE: the actions of a pipeline, with when they run.

local command = require "moonsail.cli.command"
local json = require "host.json"
local output = require "moonsail.cli.output"

local columns = {
  { key = "id", title = "ID" }, { key = "name", title = "NAME" }, { key = "type", title = "TYPE" },
  { key = "trigger_time", title = "RUNS" }, { key = "state", title = "LAST STATUS" },
}

local function run(context, options)
  local actions = context.project:pipeline(options.pipeline):actions { trigger_time = options.trigger_time }
  if options.json then return output.json(json.list(actions)) end
  for _, action in ipairs(actions) do
    action.state = action.disabled and "disabled" or action.last_execution_status
  end
  output.table(actions, columns)
end

return command.new("actions", "Shows the actions of a pipeline.", {
  declare = function(p)
    p:argument("pipeline", "By id, identifier or name."):argname "PIPELINE"
    p:option("--trigger-time", "Only those that run then, such as ON_FAILURE."):argname "TIME"
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = run,
  examples = "  moonsail actions build\n  moonsail actions build --trigger-time ON_FAILURE --json",
})

--- moonsail executions list PIPELINE

local facts = require "moonsail.cli.facts"
local json = require "host.json"
local output = require "moonsail.cli.output"
local parser = require "moonsail.cli.parser"

local columns = {
  { key = "id", title = "ID" }, { key = "status", title = "STATUS" }, { key = "ref", title = "REF" },
  { key = "revision", title = "REVISION" }, { key = "start", title = "STARTED" },
  { key = "finish", title = "FINISHED" }, { key = "comment", title = "COMMENT" },
}

local function row(execution)
  return {
    id = execution.id, status = execution.last_status, revision = execution.revision and execution.revision:sub(1, 8),
    ref = execution.tag or execution.pull_request or execution.branch, start = output.date(execution.start_date),
    finish = output.date(execution.finish_date), comment = execution.comment,
  }
end

return {
  name = "list",
  summary = "Lists the latest executions of a pipeline.",
  examples = "  moonsail executions list deploy --limit 5\n  moonsail executions list deploy --json",
  declare = function(p)
    p:argument("pipeline", "The pipeline, by id, identifier or name."):argname "PIPELINE"
    p:option("--limit", "How many."):argname "N":convert(parser.count):default "20"
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = function(context, options)
    local list = json.list(context.project:pipeline(options.pipeline):executions { limit = options.limit })
    for i, execution in ipairs(list) do
      list[i] = options.json and facts.execution(execution) or row(execution)
    end
    if options.json then output.json(list) else output.table(list, columns) end
  end,
}

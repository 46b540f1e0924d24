--- Which executions a command is about.

local errors = require "moonsail.errors"
local facts = require "moonsail.cli.facts"
local output = require "moonsail.cli.output"
local parser = require "moonsail.cli.parser"

local M = {}

---Declares the pipeline and one execution of it.
---@param p table a parser
function M.declare(p)
  p:argument("pipeline", "The pipeline, by id, identifier or name."):argname "PIPELINE"
  p:argument("execution", "The number of the execution."):argname "EXECUTION":convert(parser.count)
end

---Declares the pipeline, and any number of its executions.
---@param p table a parser
---@param count string of argparse
---@param help string
function M.declare_some(p, count, help)
  p:argument("pipeline", "The pipeline, by id, identifier or name."):argname "PIPELINE"
  p:argument("execution", help):argname "EXECUTION":args(count):convert(parser.count)
end

---The execution that was named, or the latest one.
---@async
---@param context moonsail.CommandContext
---@return moonsail.Execution
function M.one(context)
  local options = context.options
  local pipeline = context.project:pipeline(options.pipeline)
  if options.execution then return pipeline:execution(options.execution) end
  local latest = pipeline:executions { limit = 1 }[1]
  if latest then return pipeline:execution(latest.id) end
  errors.raise("usage", ("the pipeline %s has no executions"):format(pipeline),
    ("Start one: moonsail execute %s"):format(options.pipeline), { on_command_line = true })
end

---Says how an execution stands after it was changed.
---@param execution moonsail.Execution
---@param options table
function M.tell(execution, options)
  if options.json then return output.json(facts.execution(execution)) end
  output.line(("%s: %s%s"):format(execution, execution.last_status, execution.url and "  " .. execution.url or ""))
end

return M

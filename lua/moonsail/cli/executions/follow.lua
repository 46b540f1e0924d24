--- moonsail executions follow PIPELINE [EXECUTION...]

local choice = require "moonsail.cli.executions.choice"
local errors = require "moonsail.errors"
local executions = require "moonsail.client.execution"
local following = require "moonsail.cli.following"
local task = require "host.task"

local LIMIT = 8 -- that are looked up at once

-- That there is no such execution ends it at once. That the API fails just now does not: it is waited out.
local function find(pipeline, id)
  local ok, found = pcall(pipeline.execution, pipeline, id)
  if ok then return found end
  if not errors.is(found) or not found.transient then error(found, 0) end
  return executions.new(pipeline, { id = id })
end

local function executions_of(context)
  local options = context.options
  if #options.execution == 0 then
    options.execution = nil
    return { choice.one(context) }
  end
  local pipeline = context.project:pipeline(options.pipeline)
  return task.map(options.execution, { limit = LIMIT }, function(id) return find(pipeline, id) end)
end

return {
  name = "follow",
  summary = "Waits for executions to end; the exit code tells how they did.",
  examples = "  moonsail executions follow deploy\n  moonsail executions follow deploy 41 42 --logs --timeout 1h\n"
    .. "  moonsail executions follow deploy 42 --jsonl",
  declare = function(p)
    choice.declare_some(p, "*", "Their numbers; the latest one by default.")
    following.declare(p)
  end,
  run = function(context) return following.follow(executions_of(context), context) end,
}

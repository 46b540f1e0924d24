--- Executions, actions and pipelines as plain facts for `--json`: the names of the members are stable, every one is
--- always there, and null is what is not known. Members may be added.

local json = require "host.json"

local M = {}

local function pick(object, names)
  local facts = {}
  for _, name in ipairs(names) do
    local value = object[name]
    facts[name] = value == nil and json.null or value
  end
  return facts
end

local PIPELINE = { "id", "identifier", "name", "url", "disabled", "last_status", "last_revision" }

---@param pipeline moonsail.Pipeline
---@return table
function M.pipeline(pipeline)
  return pick(pipeline, PIPELINE)
end

local ACTION = { "id", "execution_id", "name", "type", "status", "progress", "start_date", "finish_date", "error" }

local EXECUTION = { "id", "url", "revision", "branch", "tag", "pull_request", "comment", "priority", "trigger",
  "delay_until", "start_date", "finish_date" }

---@param execution moonsail.Execution
---@param actions? moonsail.ActionExecution[] where they are known
---@return table
function M.execution(execution, actions)
  local facts, pipeline = pick(execution, EXECUTION), execution.pipeline
  facts.status = execution.last_status or json.null
  facts.project = tostring(pipeline.project)
  facts.pipeline = pick(pipeline, { "id", "identifier", "name" })
  if actions then
    facts.actions = json.list {}
    for i, action in ipairs(actions) do facts.actions[i] = pick(action, ACTION) end
  end
  return facts
end

return M

--- Starting an execution: from what a recipe writes to one POST, and from its answer to an execution or an error.

local effect = require "host.effect"
local errors = require "moonsail.errors"
local execution = require "host.execution"
local executions = require "moonsail.client.execution"
local outcomes = require "moonsail.client.outcome"
local private = require "moonsail.client.private"
local secret = require "moonsail.secret"

local M = {}

local submit = effect.define("execution.run", { write = true }, function(session, path, request)
  return session:transport().submit(path, request)
end)

-- The fields as host.execution wants them: secrets as encrypted variables, the chosen actions as ids.
local function prepare(pipeline, fields)
  local variables, actions = fields.variables, fields.actions
  local revealed = type(variables) == "table" and secret.reveal_variables(variables) or variables
  if actions == nil and revealed == variables then return fields end
  local copy = {}
  for name, value in pairs(fields) do copy[name] = value end
  copy.variables, copy.actions = revealed, nil
  if actions ~= nil then
    if fields.actions_to_run ~= nil then
      errors.raise("usage", "both `actions` and `actions_to_run` are given", "Give one of them.")
    end
    local choose = require("moonsail.client.actions").choose
    copy.actions_to_run = choose(actions, function() return pipeline:actions() end)
  end
  return copy
end

local function make_request(pipeline, fields)
  if fields ~= nil and type(fields) ~= "table" then
    errors.raise("usage", ("pipeline:run takes a table, not a %s"):format(type(fields)),
      'Such as pipeline:run { branch = "main" }.')
  end
  local request, faults = execution.request(fields and prepare(pipeline, fields) or {})
  if request then return request end
  error(outcomes.faulty(("the request to run the pipeline %s"):format(pipeline), faults), 0)
end

---Starts an execution: see `pipeline:run`.
---@async
---@param pipeline moonsail.Pipeline
---@param fields? moonsail.Run
---@return moonsail.Execution
function M.run(pipeline, fields)
  local request = make_request(pipeline, fields)
  local path, session = private[pipeline].path() .. "/executions", private[pipeline].session
  local outcome = submit(session, path, request)
  if outcome.outcome ~= "accepted" then error(outcomes.failure(pipeline, outcome, path), 0) end
  local started = executions.new(pipeline, outcome.execution)
  session:report("started", started)
  return started
end

return M

--- What trigger conditions are about, as far as an execution knows it. Nothing is looked up before a condition asks.
local environment = require "moonsail.engine.environment"
local task = require "host.task"

local M = {}

local LATEST = math.maxinteger

---How the newest execution before this one ended that was not cancelled or skipped.
---@param sql table<string, host.Statement>
---@param pipeline integer
---@param before? integer default: the newest of all
---@return "SUCCESSFUL"|"FAILED"|nil
function M.outcome_before(sql, pipeline, before)
  local row = sql.last_outcome:row(pipeline, before or LATEST)
  return row and row.status
end

-- All paths that differ from the execution before; everything when there is none, when its commit is gone, or when all
-- is to be done anew.
local function changed_paths(job)
  local e, git, list = job.execution, job.project.repository, {}
  local changes = e.refresh ~= 1 and e.from_revision and git:changed_paths(e.from_revision, e.revision)
    or git:changed_paths(nil, e.revision)
  for _, paths in pairs(changes or {}) do table.move(paths, 1, #paths, #list + 1, list) end
  return list
end

local function last_status(job, project, name)
  if project and project ~= job.urls.project_name then return nil end
  for _, pipeline in ipairs((job.project:pipelines() or { list = {} }).list) do
    if pipeline.identifier == name or pipeline.name == name then return M.outcome_before(job.sql, pipeline.id) end
  end
end

local function action_status(job, name)
  for position, action in ipairs(job.pipeline.actions) do
    if action.name == name then
      local status = job.rows[position].status
      return status == "FAILED" and action.ignore_errors and "SUPPRESSED" or status
    end
  end
end

---@param job engine.Job
---@param action? engine.Action nil: the pipeline itself is what the conditions are of
---@param row? engine.ActionExecution
---@return engine.condition.Facts
function M.of(job, action, row)
  local facts = { now = task.now(), user = job.owner.email }
  function facts.variables()
    if action then return environment.of_action(job, action, row) end
    return environment.of_pipeline(job)
  end
  function facts.changed()
    job.changed = job.changed or changed_paths(job)
    return job.changed
  end
  function facts.last_status(...) return last_status(job, ...) end
  function facts.action_status(name) return action_status(job, name) end
  return facts
end

return M

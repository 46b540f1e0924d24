--- What the statuses of executions mean to somebody who waits for their end.
--- Source: ExecutionView in Buddy's REST types (npm @buddy-works/unit-tests)

local M = {}

---Statuses after which nothing changes any more.
M.terminal = { SUCCESSFUL = true, FAILED = true, TERMINATED = true, SKIPPED = true, NOT_EXECUTED = true }

---Statuses from which it goes on by itself.
M.going = { INITIAL = true, ENQUEUED = true, INPROGRESS = true, TERMINATING = true }

---Statuses in which it waits for a person, and what that person is to do; `%s` is where.
M.waiting = {
  WAITING_FOR_APPLY = "to approve it: moonsail executions approve %s",
  WAITING_FOR_VARIABLES = "to give it its variables: moonsail executions approve %s --variable NAME=VALUE",
  WAITING_FOR_SETTABLE_VARIABLES = "to set its variables: moonsail executions approve %s --variable NAME=VALUE",
  WAITING_FOR_VT_SESSION = "it waits for its visual tests to be reviewed",
}

---Whether a status is one that we know.
---@param status string
---@return boolean
function M.is_known(status)
  return (M.terminal[status] or M.going[status] or M.waiting[status]) ~= nil
end

local function place(execution)
  local pipeline = execution.pipeline
  local project = pipeline.project
  local where = project and project.workspace and ("--project %s/%s "):format(project.workspace, project.name) or ""
  return ("%s%s %d"):format(where, pipeline.identifier or pipeline.id or pipeline.name, execution.id)
end

---What a person is to do for an execution that waits for one; nil for any other.
---@param execution moonsail.Execution
---@return string?
function M.advice(execution)
  local advice = M.waiting[execution.last_status]
  return advice and advice:format(place(execution))
end

return M

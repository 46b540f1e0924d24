--- Executions and the executions of their actions as JSON text.
local date = require "moonsail.engine.date"
local fragment = require "moonsail.engine.fragment"
local pipeline_view = require "moonsail.engine.view.pipeline"
local plan = require "moonsail.engine.plan"

local M = {}

local null, text, plain, maybe, list = fragment.null, fragment.text, fragment.plain, fragment.maybe, fragment.list

---@class engine.view.Execution
local View = {}
View.__index = View

---@param parts { urls: engine.Urls, project: engine.Project, catalog: engine.Catalog, book: engine.Book,
---  repository: engine.view.Repository, pipelines: engine.view.Pipeline }
---@return engine.view.Execution
function M.new(parts)
  return setmetatable(parts, View)
end

---The pipeline of an execution as its revision defines it; a stand-in when that is not in the repository any more.
---@param e engine.Execution
---@return engine.Pipeline
function View:pipeline_of(e)
  local pipelines = self.project:pipelines_at(e.revision)
  return pipelines and pipelines.by_id[e.pipeline] or pipeline_view.forgotten(self.catalog.pipelines[e.pipeline])
end

-- What an execution that has not started is going to do, as if it were in the book.
local function planned(pipeline, e)
  local rows = {}
  for position, item in ipairs(plan.of(pipeline, e)) do
    local status = e.status == "ENQUEUED" and item.status or "NOT_EXECUTED"
    rows[position] = { position = position, action = item.action.id, status = status, progress = 0 }
  end
  return rows
end

---The actions of an execution.
---@param e engine.Execution
---@param pipeline engine.Pipeline at the execution's revision
---@return engine.ActionExecution[] rows those of an execution that has not started have no `id`
function View:action_rows(e, pipeline)
  return e.started and self.book:actions(e) or planned(pipeline, e)
end

local write_action = fragment.object({ "status", "progress", "action", "action_execution_id", "url", "html_url",
  "start_date", "finish_date", "error_message", "approver_id", "approval_date", "terminator_id", "termination_date",
  "passed_variables", "outputted_variables", "visual_tests_output" }, { "log", "log_url" })

local function date_of(seconds)
  return seconds and plain(date.format(seconds)) or null
end

local function write_row(self, place, pipeline, row, log)
  local id, url, web = self.urls:action_execution(place, row.position)
  local terminated = row.status == "TERMINATED"
  return write_action {
    status = plain(row.status),
    progress = text(row.progress),
    action = pipeline.actions[row.position] and self.pipelines:action(pipeline, row.position)
      or self.pipelines:forgotten_action(self.catalog.actions[row.action]),
    action_execution_id = plain(id),
    url = plain(url),
    html_url = plain(web),
    start_date = date_of(row.started),
    finish_date = date_of(row.finished),
    error_message = maybe(row.message),
    approver_id = row.approver and text(row.approver) or null,
    approval_date = date_of(row.approved),
    terminator_id = terminated and text(self.repository.owner.id) or null,
    termination_date = terminated and date_of(row.finished) or null,
    passed_variables = row.passed or "[]",
    outputted_variables = row.outputted or "[]",
    visual_tests_output = "[]",
    log = log,
    log_url = log and plain(url .. "/logs"),
  }
end

---@param e engine.Execution
---@param pipeline engine.Pipeline
---@param row engine.ActionExecution
---@param log string JSON text of the list of lines
---@return string
function View:action(e, pipeline, row, log)
  return write_row(self, self.urls:execution(e), pipeline, row, log)
end

local SHORT = { "url", "html_url", "id", "start_date", "finish_date", "triggeredOn", "triggered_on", "priority",
  "refresh", "clear_cache", "status", "comment", "delay_until", "branch", "from_revision", "to_revision", "creator" }
local OPTIONAL = { "tag", "pull_request" }

local write_short = fragment.object(SHORT, OPTIONAL)
local write_execution = fragment.object(table.move({ "pipeline", "action_executions", "logs_removed" }, 1, 3,
  #SHORT + 1, table.move(SHORT, 1, #SHORT, 1, {})), OPTIONAL)

local function members_of(self, e, place)
  local repository = self.repository
  return {
    url = plain(place.url),
    html_url = plain(place.web),
    id = text(e.number),
    start_date = date_of(e.started),
    finish_date = date_of(e.finished),
    triggeredOn = plain(e.triggered_on), -- samples and schema differ in the name
    triggered_on = plain(e.triggered_on),
    priority = plain(e.priority),
    refresh = e.refresh == 1 and "true" or "false",
    clear_cache = e.clear_cache == 1 and "true" or "false",
    status = plain(e.status),
    comment = text(e.comment),
    delay_until = date_of(e.delay_until),
    branch = e.ref_kind == "branch" and repository:branch(e.ref_name) or null,
    tag = e.ref_kind == "tag" and repository:tag(e.ref_name) or nil,
    pull_request = e.ref_kind == "pull_request" and repository:pull_request(e.ref_name) or nil,
    from_revision = repository:commit(e.from_revision),
    to_revision = repository:commit(e.revision),
    creator = repository:member(repository.owner),
  }
end

---An execution as it stands in lists.
---@param e engine.Execution
---@return string
function View:short(e)
  return write_short(members_of(self, e, self.urls:execution(e)))
end

---@param e engine.Execution
---@return string
function View:full(e)
  local pipeline, place, actions = self:pipeline_of(e), self.urls:execution(e), {}
  for index, row in ipairs(self:action_rows(e, pipeline)) do actions[index] = write_row(self, place, pipeline, row) end
  local members = members_of(self, e, place)
  members.pipeline = self.pipelines:pipeline(pipeline)
  members.action_executions = list(actions)
  members.logs_removed = "false"
  return write_execution(members)
end

return M

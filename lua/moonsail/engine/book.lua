--- The book of executions: every change of an execution or of one of its actions goes through here to the store.
--- Knows how many are unfinished; does not know how one is run.
local action_log = require "moonsail.engine.log"
local task = require "host.task"

local M = {}

---@class engine.Execution a row of the table `execution`, see schema.lua
---@field pipeline integer
---@field number integer
---@field status string
---@field priority string
---@field revision string
---@field from_revision? string
---@field ref_kind engine.RefKind
---@field ref_name string
---@field comment string
---@field refresh integer
---@field clear_cache integer
---@field request string the JSON that it was asked for with, encrypted values masked
---@field sealed? string the same with encrypted values, for the engine's key
---@field triggered_on "CLICK"|"PIPELINE"|"EVENT"|"SCHEDULE"
---@field caller_pipeline? integer of the execution that asked for this one
---@field caller_number? integer
---@field attempt integer from 1; one more with each RETRY
---@field delay_until? number
---@field created number
---@field started? number
---@field finished? number

---@class engine.ActionExecution a row of the table `action_execution`
---@field id integer
---@field position integer
---@field action integer
---@field status string
---@field progress integer
---@field started? number
---@field finished? number
---@field message? string
---@field process? string see orphan.lua
---@field approver? integer the member who let it go on
---@field approved? number
---@field passed? string JSON of the variables that were given to it, encrypted values masked
---@field outputted? string JSON of those that it gave

---@class engine.Book
---@field unfinished integer executions that are queued or running
---@field on_change? fun(e: engine.Execution) told when one has started or ended, in the turn that writes it
local Book = {}
Book.__index = Book

local function key_of(e)
  return e.pipeline .. "/" .. e.number
end

---@param store host.Store
---@param sql table<string, host.Statement>
---@param catalog engine.Catalog
---@return engine.Book
function M.open(store, sql, catalog)
  local self = setmetatable({ store = store, sql = sql, catalog = catalog, last = {}, unfinished = 0,
    idle = task.event(), ends = {} }, Book)
  for _, row in ipairs(sql.last_executions:rows()) do self.last[row.pipeline] = row end
  return self
end

---The revision of a pipeline's newest execution.
---@param pipeline integer
---@return string?
function Book:last_revision(pipeline)
  local last = self.last[pipeline]
  return last and last.revision
end

---How many executions a pipeline has.
---@param pipeline integer
---@return integer
function Book:count(pipeline)
  local last = self.last[pipeline]
  return last and last.number or 0
end

---Writes a new execution: gives it its number, the status ENQUEUED, and, unless the request says from where it counts
---its changes, the revision of the execution before.
---@param e engine.Execution
function Book:add(e)
  e.from_revision = e.from_revision or self:last_revision(e.pipeline)
  e.number = self:count(e.pipeline) + 1
  e.status, e.attempt = "ENQUEUED", 1
  e.created = task.now()
  self.sql.add_execution:run(e.pipeline, e.number, e.status, e.priority, e.revision, e.from_revision, e.ref_kind,
    e.ref_name, e.comment, e.refresh, e.clear_cache, e.sealed, e.request, e.delay_until, e.created, e.triggered_on,
    e.caller_pipeline, e.caller_number)
  self.last[e.pipeline] = { number = e.number, revision = e.revision }
  self.unfinished = self.unfinished + 1
end

---@param pipeline integer
---@param number integer
---@return engine.Execution?
function Book:execution(pipeline, number)
  return self.sql.execution:row(pipeline, number)
end

---A page of a pipeline's executions, newest first.
---@param pipeline integer
---@param page integer from 1
---@param per_page integer
---@return engine.Execution[]
function Book:page(pipeline, page, per_page)
  return self.sql.executions:rows(pipeline, self:count(pipeline) - (page - 1) * per_page, per_page)
end

---What the last life of the engine left unfinished, as far as it matters for the queue.
---@return { pipeline: integer, number: integer, status: string, priority: string, revision: string,
---  delay_until?: number }[]
function Book:left_over()
  local rows = self.sql.unfinished:rows()
  self.unfinished = #rows
  return rows
end

---@param e engine.Execution
function Book:start(e)
  e.status, e.started = "INPROGRESS", task.now()
  self.sql.start_execution:run(e.pipeline, e.number, e.started)
  self.catalog:set_pipeline_status(e.pipeline, e.status, e.revision)
  if self.on_change then self.on_change(e) end
end

---@param e engine.Execution that has started and not ended
---@param status "INPROGRESS"|"TERMINATING"|"WAITING_FOR_APPLY"|"WAITING_FOR_VARIABLES"|"WAITING_FOR_SETTABLE_VARIABLES"
function Book:change(e, status)
  e.status = status
  self.sql.change_execution:run(e.pipeline, e.number, status)
  self.catalog:set_pipeline_status(e.pipeline, status)
end

---Its time has come, whatever it was to wait for.
---@param e engine.Execution
function Book:hurry(e)
  e.delay_until = nil
  self.sql.hurry_execution:run(e.pipeline, e.number)
end

---An execution that has ended waits for its turn again, as it was asked for. What its last try left goes.
---@param e engine.Execution
function Book:retry(e)
  self.sql.forget_logs:run(e.pipeline, e.number)
  self.sql.forget_actions:run(e.pipeline, e.number)
  self.sql.retry_execution:run(e.pipeline, e.number)
  e.status, e.attempt, e.delay_until, e.started, e.finished = "ENQUEUED", e.attempt + 1, nil, nil, nil
  self.unfinished = self.unfinished + 1
end

---Gives an execution a comment that was asked for without one.
---@param e engine.Execution
---@param text string
function Book:comment(e, text)
  e.comment = text
  self.sql.comment_execution:run(e.pipeline, e.number, text)
end

---@param e engine.Execution
---@param status "SUCCESSFUL"|"FAILED"|"TERMINATED"|"SKIPPED"
function Book:finish(e, status)
  e.status, e.finished = status, task.now()
  self.sql.finish_execution:run(e.pipeline, e.number, status, e.finished)
  if e.started then self.catalog:set_pipeline_status(e.pipeline, status) end
  self.unfinished = self.unfinished - 1
  if self.unfinished == 0 then self.idle:notify() end
  local key = key_of(e)
  local ended = self.ends[key]
  self.ends[key] = nil
  if ended then ended:notify(status) end
  if self.on_change then self.on_change(e) end
end

---Waits until an execution has ended.
---@async
---@param e engine.Execution
---@return string status
function Book:ended(e)
  local now = self:execution(e.pipeline, e.number)
  if now.finished then return now.status end
  local key = key_of(e)
  self.ends[key] = self.ends[key] or task.event()
  local _, status = self.ends[key]:wait()
  return status
end

---Writes the actions of an execution that starts.
---@param e engine.Execution
---@param plan { action: engine.Action, status: string }[]
---@return engine.ActionExecution[]
function Book:add_actions(e, plan)
  for position, item in ipairs(plan) do
    self.sql.add_action_execution:run(e.pipeline, e.number, position, item.action.id, item.status)
  end
  return self:actions(e)
end

---The actions of an execution, in the order of the pipeline; none while it is queued.
---@param e engine.Execution
---@return engine.ActionExecution[]
function Book:actions(e)
  return self.sql.action_executions:rows(e.pipeline, e.number)
end

---@param row engine.ActionExecution
function Book:start_action(row)
  row.status = "INPROGRESS"
  self.sql.start_action:run(row.id, task.now())
  self.catalog:set_action_status(row.action, row.status)
end

---@param row engine.ActionExecution
---@param progress integer 0 to 100
function Book:progress(row, progress)
  if progress == row.progress then return end
  row.progress = progress
  self.sql.progress_action:run(row.id, progress)
end

---Remembers the process of an action, in case this engine does not live to see its end.
---@param row engine.ActionExecution
---@param process string
function Book:set_process(row, process)
  self.sql.set_process:run(row.id, process)
end

---@param row engine.ActionExecution
---@param status string
---@param message? string why it failed
function Book:finish_action(row, status, message)
  row.status = status
  self.sql.finish_action:run(row.id, status, task.now(), message)
  self.catalog:set_action_status(row.action, status)
end

---An action that does not run at all.
---@param row engine.ActionExecution
---@param status "NOT_EXECUTED"|"SKIPPED"
function Book:skip_action(row, status)
  row.status = status
  self.sql.change_action_execution:run(row.id, status)
end

---An action that waits for people.
---@param row engine.ActionExecution
---@param status "WAITING_FOR_APPLY"|"WAITING_FOR_VARIABLES"|"WAITING_FOR_SETTABLE_VARIABLES"
function Book:await_action(row, status)
  row.status = status
  self.sql.change_action_execution:run(row.id, status)
  self.catalog:set_action_status(row.action, status)
end

---Somebody lets it go on.
---@param row engine.ActionExecution
---@param approver integer a member
---@param passed string JSON of variables
---@param outputted string JSON of variables
function Book:approve_action(row, approver, passed, outputted)
  row.status = "INPROGRESS"
  self.sql.approve_action:run(row.id, approver, task.now(), passed, outputted)
  self.catalog:set_action_status(row.action, row.status)
end

---@param row engine.ActionExecution
---@param secrets string[]
---@return engine.Log
function Book:log(row, secrets)
  return action_log.open(self.sql, row.id, secrets)
end

---Waits until everything written so far is on disk.
---@async
---@return true? ok
---@return string? message
function Book:durable()
  return self.store:durable()
end

---Waits until nothing is queued or running.
---@async
function Book:drain()
  while self.unfinished > 0 do self.idle:wait() end
end

return M

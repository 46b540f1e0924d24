--- Runs one execution from its start to its end: the actions in order, their statuses, and the end of the whole.
local action_types = require "moonsail.engine.action"
local environment = require "moonsail.engine.environment"
local json = require "host.json"
local orphan = require "moonsail.engine.orphan"
local plan = require "moonsail.engine.plan"
local task = require "host.task"

local M = {}

-- Which actions follow the base workflow when it has ended so.
local AFTER = { SUCCESSFUL = "ON_SUCCESS", FAILED = "ON_FAILURE" }

---@class engine.Job an execution that runs
---@field execution engine.Execution
---@field pipeline engine.Pipeline
---@field request table the decoded request, encrypted values included
---@field secrets string[] values that are masked in logs
---@field stopping boolean it has been cancelled
---@field stop host.Event notified at that moment
---@field failed? engine.ActionExecution the first action that failed
---@field passed engine.Variable[] what people have given while it ran: it goes before all other variables
---@field waits engine.Wait[] actions that wait for people, the first one first; see approval.lua
---@field dispatcher engine.Dispatcher
local Job = {}
Job.__index = Job

---@class engine.Context what an action type sees of the execution
---@field action engine.Action
---@field log engine.Log
---@field kill_after number seconds between SIGTERM and SIGKILL
local Context = {}
Context.__index = Context

---Waits, but not beyond a cancellation.
---@async
---@param seconds? number longest wait
---@return boolean cancelled
function Context:wait(seconds)
  return self.job.stopping or self.job.stop:wait(seconds)
end

---@param part number from 0 to 1
function Context:progress(part)
  self.job.book:progress(self.row, math.floor(part * 100))
end

---The folder with the execution's revision.
---@async
---@return string? path
---@return string? message
function Context:checkout()
  local job = self.job
  if job.folder then return job.folder end
  local message
  job.folder, message = job.checkouts:prepare(job.pipeline, job.execution)
  return job.folder, message
end

---To be told of the process that runs the action.
---@param pid integer
function Context:started(pid)
  local name = orphan.name(pid)
  if name then self.job.book:set_process(self.row, name) end
end

---@return table<string, string>
function Context:environment()
  return environment.of_action(self.job, self.action, self.row)
end

---Cancels: what runs is told so at once.
function Job:cancel()
  self.stopping = true
  self.stop:notify()
end

local function encrypted_values(...)
  local values = {}
  for _, variables in ipairs { ... } do
    for _, variable in ipairs(variables) do
      if variable.encrypted then table.insert(values, variable.value) end
    end
  end
  return values
end

---@param engine engine.Inside
---@param e engine.Execution
---@param pipeline engine.Pipeline
---@param request? table decoded, with its encrypted values; default: as the book has it
---@return engine.Job
function M.job(engine, e, pipeline, request)
  request = request or json.decode(e.request)
  return setmetatable({
    execution = e, pipeline = pipeline, request = request, stopping = false, stop = task.event(),
    secrets = encrypted_values(request.variables or {}, pipeline.variables), passed = {}, waits = {},
    dispatcher = engine.dispatcher,
    book = engine.book, sql = engine.sql, checkouts = engine.checkouts, project = engine.project, urls = engine.urls,
    owner = engine.repository_view.owner,
    home = engine.home, kill_after = engine.kill_after, report = engine.report,
  }, Job)
end

local function perform(context)
  local action = context.action
  local ok, status, message = xpcall(action_types[action.type].run, debug.traceback, context)
  if ok then return status, message end
  context.job.report(("action %q broke: %s"):format(action.name, status))
  return "FAILED", "a fault in the engine; it is in the engine's own output"
end

function Job:run_action(action, row)
  self.book:start_action(row)
  local secrets = encrypted_values(action.variables)
  local log = self.book:log(row, table.move(self.secrets, 1, #self.secrets, #secrets + 1, secrets))
  local context = setmetatable({ job = self, action = action, row = row, log = log, kill_after = self.kill_after },
    Context)
  local status, message = perform(context)
  if status == "FAILED" then
    if message then log:note(message) end
    log:note "Action failed: see logs above for details"
    self.failed = self.failed or row
  elseif status == "TERMINATED" then
    log:note "Action terminated"
  end
  log:close()
  self.book:finish_action(row, status, message)
  return status == "FAILED" and action.ignore_errors and "SUCCESSFUL" or status
end

-- Runs those that may run and that `when` names, up to the first that does not succeed.
function Job:run_phase(rows, when, outcome)
  for position, row in ipairs(rows) do
    local action = self.pipeline.actions[position]
    if row.status == "INITIAL" and action.trigger_time == when then
      if self.stopping then outcome = "TERMINATED" end
      if outcome ~= "SUCCESSFUL" then return outcome end
      outcome = self:run_action(action, row)
    end
  end
  return outcome
end

function Job:run_actions(rows)
  local base = self:run_phase(rows, "ON_EVERY_EXECUTION", "SUCCESSFUL")
  local after = AFTER[base] and self:run_phase(rows, AFTER[base], "SUCCESSFUL")
  for _, row in ipairs(rows) do
    if row.status == "INITIAL" then self.book:skip_action(row, "NOT_EXECUTED") end
  end
  if self.stopping then return "TERMINATED" end
  return base == "SUCCESSFUL" and after or base
end

---Runs the execution.
---@async
function Job:run()
  local e = self.execution
  self.book:start(e)
  local rows = self.book:add_actions(e, plan.of(self.pipeline, e))
  local status = self:run_actions(rows)
  self.checkouts:release(self.pipeline, e)
  self.book:finish(e, status)
end

-- The action whose turn it was.
local function current(rows)
  local first
  for _, row in ipairs(rows) do
    if row.status == "INPROGRESS" then return row end
    if row.status == "INITIAL" then first = first or row end
  end
  return first
end

---Ends the execution without running anything (more): the action whose turn it was ends for this reason.
---@async
---@param reason string
function Job:give_up(reason)
  local e, rows = self.execution, self.book:actions(self.execution)
  local status = e.status == "TERMINATING" and "TERMINATED" or "FAILED"
  if #rows == 0 then
    self.book:start(e)
    rows = self.book:add_actions(e, plan.of(self.pipeline, e))
  end
  local blamed = current(rows)
  if blamed then
    if blamed.process then orphan.finish(blamed.process) end
    self.book:log(blamed, self.secrets):note(reason)
    self.book:finish_action(blamed, status, reason)
  end
  for _, row in ipairs(rows) do
    if row.status == "INITIAL" then self.book:skip_action(row, "NOT_EXECUTED") end
  end
  self.checkouts:release(self.pipeline, e)
  self.book:finish(e, status)
end

return M

--- Runs one execution from its start to its end: whether it runs at all, its actions phase by phase, their statuses,
--- and the end of the whole.
local action_types = require "moonsail.engine.action"
local condition = require "moonsail.engine.condition"
local context = require "moonsail.engine.context"
local environment = require "moonsail.engine.environment"
local facts = require "moonsail.engine.facts"
local json = require "host.json"
local mask = require "moonsail.engine.mask"
local orphan = require "moonsail.engine.orphan"
local plan = require "moonsail.engine.plan"
local task = require "host.task"
local variables = require "moonsail.engine.variables"

local M = {}

---@class engine.Job an execution that runs
---@field execution engine.Execution
---@field pipeline engine.Pipeline
---@field request table the decoded request, encrypted values included
---@field rows engine.ActionExecution[] in the order of the pipeline
---@field variables engine.Variables
---@field stopping boolean it has been cancelled
---@field stop host.Event notified at that moment
---@field failed? engine.ActionExecution the first action that made it fail
---@field suppressed? engine.ActionExecution the first action whose failure is ignored
---@field passed engine.Variable[] what people have given while it ran: it goes before all other variables
---@field approver? engine.catalog.Member who let it go on last
---@field waits engine.Wait[] actions that wait for people, the first one first; see approval.lua
---@field dispatcher engine.Dispatcher
local Job = {}
Job.__index = Job

---@param engine engine.Inside
---@param e engine.Execution
---@param pipeline engine.Pipeline
---@param request? table decoded, with its encrypted values; default: as the book has it
---@return engine.Job
function M.job(engine, e, pipeline, request)
  request = request or json.decode(e.request)
  local known = variables.new(engine, pipeline, request.variables)
  return setmetatable({
    execution = e, pipeline = pipeline, request = request, rows = {}, stopping = false, stop = task.event(),
    variables = known, passed = known.passed, waits = {}, dispatcher = engine.dispatcher,
    book = engine.book, sql = engine.sql, checkouts = engine.checkouts, project = engine.project, urls = engine.urls,
    owner = engine.repository_view.owner,
    home = engine.home, kill_after = engine.kill_after, report = engine.report,
  }, Job)
end

---Cancels: what runs is told so at once.
function Job:cancel()
  self.stopping = true
  self.stop:notify()
end

---The folder with the execution's revision. Actions that run side by side share it.
---@async
---@return string? path
---@return string? message
function Job:checkout()
  while self.preparing do self.preparing:wait() end
  if self.folder then return self.folder end
  local prepared = task.event()
  self.preparing = prepared
  local _ <close> = setmetatable({}, { __close = function()
    self.preparing = nil
    prepared:notify()
  end })
  local folder, message = self.checkouts:prepare(self.pipeline, self.execution)
  self.folder = folder
  return folder, message
end

-- Whether the execution before failed. Asked for only when it matters, as it may lie far back.
function Job:follows_failure()
  local e = self.execution
  self.before = self.before or { facts.outcome_before(self.sql, e.pipeline, e.number) }
  return self.before[1] == "FAILED"
end

function Job:log(row, action)
  return self.book:log(row, self.variables:secrets(action))
end

-- ---- One action.

local function perform(seen)
  local action = seen.action
  local ok, status, message = xpcall(action_types[action.type].run, debug.traceback, seen)
  if ok then return status, message end
  seen.job.report(("action %q broke: %s"):format(action.name, status))
  return "FAILED", "a fault in the engine; it is in the engine's own output"
end

-- Performs it until it does not fail, as often as it may be tried.
local function perform_with_retries(seen)
  local log, tries = seen.log, seen.action.retry_count + 1
  for try = 1, tries do
    if try > 1 then log:note(("Attempt %d of %d"):format(try, tries)) end
    local status, message = perform(seen)
    if status ~= "FAILED" or try == tries then return status, message end
    log:note(("Attempt %d of %d failed%s"):format(try, tries, message and ": " .. message or ""))
    if seen:wait(seen.action.retry_interval) then return "TERMINATED" end
  end
end

-- Why an action is skipped whose turn it is; nil when it is not.
function Job:reason_to_skip(action, row)
  if action.run_only_on_first_failure and self:follows_failure() then
    return "Action skipped: the execution before failed, too"
  end
  local unmet = condition.unmet(action.trigger_conditions, facts.of(self, action, row))
  return unmet and "Action skipped: trigger conditions were not met: " .. condition.describe(unmet)
end

function Job:skip(row, action, reason)
  local log = self:log(row, action)
  log:note(reason)
  log:close()
  self.book:skip_action(row, "SKIPPED")
end

-- Remembers a failure. Returns what it means for the execution.
function Job:judge(action, row, status)
  if status ~= "FAILED" then return status end
  if action.ignore_errors then
    self.suppressed = self.suppressed or row
    return "SUCCESSFUL"
  end
  self.failed = self.failed or row
  return status
end

function Job:run_action(position)
  local action, row = self.pipeline.actions[position], self.rows[position]
  local reason = self:reason_to_skip(action, row)
  if reason then
    self:skip(row, action, reason)
    return "SUCCESSFUL"
  end
  self.book:start_action(row)
  local log = self:log(row, action)
  local status, message = perform_with_retries(context.new(self, action, row, log))
  message = message and log:masked(message)
  if status == "FAILED" then
    if message then log:note(message) end
    log:note "Action failed: see logs above for details"
  elseif status == "TERMINATED" then
    log:note "Action terminated"
  end
  log:close()
  self.book:finish_action(row, status, message)
  return self:judge(action, row, status)
end

-- ---- Actions side by side, and one after the other.

-- The one that counts: a cancellation before a failure, and that before success.
local function worst(outcomes)
  local found = {}
  for _, outcome in ipairs(outcomes) do found[outcome] = true end
  return found.TERMINATED and "TERMINATED" or found.FAILED and "FAILED" or "SUCCESSFUL"
end

-- Runs those of a group that may run; it ends when all have ended.
function Job:run_group(positions)
  local runs = {}
  for _, position in ipairs(positions) do
    if self.rows[position].status == "INITIAL" then
      table.insert(runs, function() return self:run_action(position) end)
    end
  end
  if #runs == 1 then return runs[1]() end
  return worst(task.all(runs))
end

---Runs the actions of a trigger time, up to the first group that does not succeed. An action runs once in an execution.
---@async
---@param when string a trigger time
---@return "SUCCESSFUL"|"FAILED"|"TERMINATED"
function Job:run_phase(when)
  for _, positions in ipairs(plan.groups(self.pipeline, when)) do
    if self.stopping and when ~= "ON_TERMINATE" then return "TERMINATED" end
    local outcome = self:run_group(positions)
    if outcome ~= "SUCCESSFUL" then return outcome end
  end
  return "SUCCESSFUL"
end

-- What follows the base workflow, in this order, and when. An approval's actions run while it waits.
local AFTER = {
  { "ON_SUCCESS", function(_, base) return base == "SUCCESSFUL" end },
  { "ON_BACK_TO_SUCCESS", function(job, base) return base == "SUCCESSFUL" and job:follows_failure() end },
  { "ON_FAILURE", function(_, base) return base == "FAILED" end },
  { "ON_WARNING", function(job) return job.suppressed ~= nil end },
  { "ON_TERMINATE", function(job) return job.stopping end },
}

function Job:run_actions()
  local base = self:run_phase "ON_EVERY_EXECUTION"
  local status = base
  for _, item in ipairs(AFTER) do
    local when, due = table.unpack(item)
    if #plan.groups(self.pipeline, when) > 0 and due(self, base) then
      local outcome = self:run_phase(when)
      if status == "SUCCESSFUL" then status = outcome end
    end
  end
  return self.stopping and "TERMINATED" or status
end

-- ---- The whole.

-- An execution without a comment has the pipeline's.
function Job:add_comment()
  local e, template = self.execution, self.pipeline.execution_message_template
  if not template or e.comment ~= "" then return end
  local text = environment.expand(template, environment.of_pipeline(self))
  self.book:comment(e, mask.new(self.variables:secrets()):feed(text, true))
end

function Job:end_others(status)
  for _, row in ipairs(self.rows) do
    if row.status == "INITIAL" then self.book:skip_action(row, status) end
  end
end

---Runs the execution.
---@async
function Job:run()
  local e = self.execution
  self.book:start(e)
  self:add_comment()
  self.rows = self.book:add_actions(e, plan.of(self.pipeline, e))
  local unmet = condition.unmet(self.pipeline.trigger_conditions, facts.of(self))
  if unmet then
    self:skip(self.rows[1], nil, "Execution skipped: trigger conditions were not met: " .. condition.describe(unmet))
    self:end_others "SKIPPED"
    return self.book:finish(e, "SKIPPED")
  end
  local status = self:run_actions()
  self:end_others "NOT_EXECUTED"
  self.checkouts:release(self.pipeline, e)
  self.book:finish(e, status)
end

-- ---- An end without a run.

-- The actions whose turn it was.
local function current(rows)
  local running, first = {}, nil
  for _, row in ipairs(rows) do
    if row.status == "INITIAL" then
      first = first or row
    elseif row.started and not row.finished then
      table.insert(running, row)
    end
  end
  return #running > 0 and running or { first }
end

---Ends the execution without running anything (more): the actions whose turn it was end for this reason.
---@async
---@param reason string
function Job:give_up(reason)
  local e = self.execution
  local status = e.status == "TERMINATING" and "TERMINATED" or "FAILED"
  self.rows = self.book:actions(e)
  if #self.rows == 0 then
    self.book:start(e)
    self.rows = self.book:add_actions(e, plan.of(self.pipeline, e))
  end
  local blamed = current(self.rows)
  for _, row in ipairs(blamed) do
    if row.process then orphan.finish(row.process) end
    self:log(row):note(reason)
    self.book:finish_action(row, status, reason)
  end
  if #blamed == 0 then self:log(self.rows[#self.rows]):note(reason) end -- all had ended, only not the whole
  self:end_others "NOT_EXECUTED"
  self.checkouts:release(self.pipeline, e)
  self.book:finish(e, status)
end

return M

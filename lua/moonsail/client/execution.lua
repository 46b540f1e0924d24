--- An execution: what is known of it, waiting for it, its logs, and the operations that change it.

local api = require "moonsail.client.api"
local approval = require "moonsail.client.approval"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local status = require "moonsail.client.status"
local url = require "moonsail.client.url"
local verdict = require "moonsail.client.verdict"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Execution
---@field pipeline moonsail.Pipeline
---@field id integer counted from 1 in its pipeline
---@field url? string its page
---@field revision? string the commit that it runs at
---@field branch? string
---@field tag? string
---@field pull_request? string
---@field comment? string
---@field priority? string
---@field trigger? string what started it, such as "CLICK"
---@field delay_until? string when it starts, if it waits for that
---@field start_date? string
---@field finish_date? string
---@field last_status string as last seen; `status()` asks
local Execution = {}
Execution.__index = Execution
Execution.__name = "moonsail.Execution"

function Execution:__tostring()
  return ("%s #%d"):format(self.pipeline, self.id)
end

local function session_of(self)
  return private[self.pipeline].session
end

local function path_of(self)
  return private[self.pipeline].path() .. url.path("executions", self.id)
end

local function refresh(self)
  local answer = reading.get(self.pipeline, path_of(self))
  view.describe(self, answer)
  return answer
end

-- ---- Waiting.

local follow = effect.define("execution.wait", { write = false }, function(session, execution, options)
  return require("moonsail.client.follow").wait(session, execution, options)
end)

local function check_wait(options)
  local timeout, logs = options.timeout, options.logs
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout < 0) then
    errors.raise("usage", "timeout is " .. tostring(timeout), "Expected a number of seconds.")
  end
  if logs ~= nil and type(logs) ~= "boolean" and type(logs) ~= "function" then
    errors.raise("usage", "logs is " .. tostring(logs), "Expected true, or a function of a line and its action.")
  end
end

---Waits until it has ended, or until the time is over, and tells what became of it. Trouble on the way to the API is
---waited out. With `logs`, every line of every action's log is told once, in the action's order, as it comes: shown, or
---given to a function.
---@async
---@param options? { timeout?: number, logs?: boolean|fun(line: string, action: moonsail.ActionExecution) } `timeout` in
---  seconds, default for ever
---@return moonsail.Outcome
function Execution:outcome(options)
  options = options or {}
  check_wait(options)
  local outcome = follow(session_of(self), self, options)
  self.last_status = outcome.status or self.last_status
  self.start_date, self.finish_date = outcome.start_date or self.start_date, outcome.finish_date or self.finish_date
  outcome.execution = self
  return outcome
end

---Waits until it has ended, and returns it. Raises `execution` unless it was SUCCESSFUL, and when the time is over.
---@async
---@param options? { timeout?: number, logs?: boolean|function } see `outcome`
---@return moonsail.Execution
function Execution:wait(options)
  local err = verdict.error(self:outcome(options))
  if err ~= nil then error(err, 0) end
  return self
end

---Asks for its status, such as "INPROGRESS".
---@async
---@return string
function Execution:status()
  refresh(self)
  return self.last_status
end

---Whether it has ended. Asks unless that is known.
---@async
---@return boolean
function Execution:finished()
  return status.terminal[self.last_status] or status.terminal[self:status()] or false
end

---Whether it has ended and succeeded. Asks unless that is known.
---@async
---@return boolean
function Execution:ok()
  return self:finished() and self.last_status == "SUCCESSFUL"
end

---Its actions, in the pipeline's order.
---Source: GET …/executions/:id in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return moonsail.ActionExecution[]
function Execution:actions()
  return view.actions(refresh(self)) or {}
end

---The lines of the log of one action, or of all of them.
---@async
---@param action? string|integer name or id
---@return string[]
function Execution:logs(action)
  return require("moonsail.client.logs").read(session_of(self), path_of(self), self, action)
end

---One of its actions, with what only its own page tells: who approved or stopped it, which variables went in and out.
---Source: https://buddy.works/docs/api/executions/get-action-execution-details
---@async
---@param choice string|integer name or id
---@return moonsail.ActionDetails
function Execution:action(choice)
  return require("moonsail.client.action_details").read(self.pipeline, path_of(self), self:actions(), choice)
end

-- ---- Operations. Source: https://buddy.works/docs/api/runs/cancel-retry-approve

---Asks for any operation, in the API's own words. What has a name of its own is better said with that.
---@async
---@param fields { operation: string, variables?: table, approve_action_id?: integer } variables as `run` takes them
---@return moonsail.Execution # another one, where the API goes on with a new number
function Execution:change(fields)
  local answer = api.write(session_of(self), "PATCH", path_of(self), approval.body(self, fields))
  local id = view.field(answer, "id")
  if id and id ~= self.id then return M.new(self.pipeline, answer) end
  if id then view.describe(self, answer) end
  return self
end

---Asks for it to be stopped. Does not wait for that.
---@async
---@return moonsail.Execution
function Execution:cancel()
  return self:change { operation = "CANCEL" }
end

---Runs it again, with the same variables and settings. Only what has failed or was cancelled can be.
---@async
---@return moonsail.Execution # to wait for; another one, where the API goes on with a new number
function Execution:retry()
  return self:change { operation = "RETRY" }
end

---Starts at once what waits for its time (`delay_until`).
---@async
---@return moonsail.Execution
function Execution:run_now()
  return self:change { operation = "RUN_DELAYED" }
end

---The actions that wait for a person, and what they ask for.
---@async
---@return moonsail.Waiting[]
function Execution:waiting()
  local path = private[self.pipeline].path() .. "/actions"
  local list = approval.waiting(self:actions())
  for _, waiting in ipairs(list) do approval.describe(waiting, self.pipeline, path .. url.path(waiting.id)) end
  return list
end

---Lets an action go on that waits for a person: approves it, or gives it the variables that it asks for. Raises `usage`
---when none waits, or several do and none is named.
---@async
---@param answer? { action?: string|integer, variables?: table } name or id; variables as `run` takes them
---@return moonsail.Execution
function Execution:approve(answer)
  return self:change(approval.answer(self, self:actions(), answer or {}))
end

---Makes an execution of what the API says of it.
---@param pipeline moonsail.Pipeline
---@param answer table
---@return moonsail.Execution
function M.new(pipeline, answer)
  view.name_pipeline(pipeline, view.field(answer, "pipeline"))
  return setmetatable(view.describe({ pipeline = pipeline }, answer), Execution)
end

return M

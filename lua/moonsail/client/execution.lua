--- An execution: what is known of it, waiting for it, its logs, its end.

local api = require "moonsail.client.api"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local private = require "moonsail.client.private"
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
  return private[self.pipeline.project].session
end

local function path_of(self)
  return private[self.pipeline].path() .. url.path("executions", self.id)
end

local function refresh(self)
  local answer = api.get(session_of(self), path_of(self))
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

---Waits until it has ended, and returns it. Raises `execution` unless it was SUCCESSFUL, and when the time is over.
---Trouble on the way to the API is waited out. With `logs`, every line of every action's log is told once, in the
---action's order, as it comes: shown, or given to a function.
---@async
---@param options? { timeout?: number, logs?: boolean|fun(line: string, action: moonsail.ActionExecution) } `timeout` in
---  seconds, default for ever
---@return moonsail.Execution
function Execution:wait(options)
  options = options or {}
  check_wait(options)
  local outcome = follow(session_of(self), self, options)
  self.last_status = outcome.status or self.last_status
  self.start_date, self.finish_date = outcome.start_date or self.start_date, outcome.finish_date or self.finish_date
  outcome.execution = self
  local err = verdict.error(outcome)
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

---Asks for it to be stopped. Does not wait for that.
---Source: https://buddy.works/docs/api/runs/cancel-retry-approve
---@async
---@return moonsail.Execution
function Execution:cancel()
  view.describe(self, api.write(session_of(self), "PATCH", path_of(self), { operation = "CANCEL" }))
  return self
end

---Makes an execution of what the API says of it.
---@param pipeline moonsail.Pipeline
---@param answer table
---@return moonsail.Execution
function M.new(pipeline, answer)
  return setmetatable(view.describe({ pipeline = pipeline }, answer), Execution)
end

return M

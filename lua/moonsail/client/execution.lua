--- An execution: what is known of it, waiting for it, its logs, its end.

local api = require "moonsail.client.api"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local private = require "moonsail.client.private"
local task = require "host.task"
local url = require "moonsail.client.url"
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

---Statuses after which nothing changes any more.
---Source: ExecutionView in Buddy's REST types (npm @buddy-works/unit-tests)
M.terminal = { SUCCESSFUL = true, FAILED = true, TERMINATED = true, SKIPPED = true, NOT_EXECUTED = true }

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

local follow = effect.define("execution.wait", { write = false }, function(session, execution, timeout)
  local wait = require("moonsail.client.follow").wait
  if not timeout then return wait(session, execution) end
  local in_time, result = task.timeout(timeout, wait, session, execution)
  return in_time and result or { status = execution.last_status, timed_out = true }
end)

local function failed_actions(actions)
  local names = {}
  for _, action in ipairs(actions or {}) do
    if action.status == "FAILED" then names[#names + 1] = ("'%s'"):format(action.name) end
  end
  return names
end

local function failure(self, result)
  local names = failed_actions(result.actions)
  local why = #names == 0 and ""
    or (": %s %s failed"):format(#names == 1 and "action" or "actions", table.concat(names, ", "))
  return errors.new("execution", ("%s is %s%s"):format(self, result.status, why),
    self.url and "See " .. self.url or "See its logs.",
    { execution = self, status = result.status, url = self.url, actions = result.actions })
end

local function late(self, timeout)
  return errors.new("execution", ("%s is still %s after %g s"):format(self, self.last_status, timeout),
    "It goes on. Wait longer, or cancel it with execution:cancel().",
    { execution = self, status = self.last_status, url = self.url, timeout = timeout })
end

---Waits until it has ended, and returns it. Raises `execution` unless it was SUCCESSFUL, and when the time is over.
---Trouble on the way to the API is waited out.
---@async
---@param options? { timeout?: number } seconds; default for ever
---@return moonsail.Execution
function Execution:wait(options)
  local timeout = options and options.timeout
  if timeout ~= nil and (type(timeout) ~= "number" or timeout < 0) then
    errors.raise("usage", "timeout is " .. tostring(timeout), "Expected a number of seconds.")
  end
  local result = follow(session_of(self), self, timeout)
  if result.timed_out then error(late(self, timeout), 0) end
  self.last_status, self.start_date, self.finish_date = result.status, result.start_date, result.finish_date
  if result.status ~= "SUCCESSFUL" then error(failure(self, result), 0) end
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
  return M.terminal[self.last_status] or M.terminal[self:status()] or false
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

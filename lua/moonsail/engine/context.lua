--- What an action type sees of the execution that its action is part of.
local environment = require "moonsail.engine.environment"
local orphan = require "moonsail.engine.orphan"

local M = {}

---@class engine.Context
---@field job engine.Job
---@field action engine.Action
---@field row engine.ActionExecution
---@field log engine.Log
---@field kill_after number seconds between SIGTERM and SIGKILL
---@field undisturbed boolean cancelling the execution does not concern the action: it is there for that
local Context = {}
Context.__index = Context

---@param job engine.Job
---@param action engine.Action
---@param row engine.ActionExecution
---@param log engine.Log
---@return engine.Context
function M.new(job, action, row, log)
  return setmetatable({ job = job, action = action, row = row, log = log, kill_after = job.kill_after,
    undisturbed = action.trigger_time == "ON_TERMINATE" }, Context)
end

---Waits, but not beyond a cancellation.
---@async
---@param seconds? number longest wait
---@return boolean cancelled
function Context:wait(seconds)
  return self.job.stopping and not self.undisturbed or self.job.stop:wait(seconds)
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
  return self.job:checkout()
end

---To be told of the process that runs the action.
---@param pid integer
function Context:started(pid)
  local name = orphan.name(pid)
  if name then self.job.book:set_process(self.row, name) end
end

---Whose secrets the log then hides: people may have given some since the action started.
---@return table<string, string>
function Context:environment()
  self.log:hide(self.job.variables:secrets(self.action))
  return environment.of_action(self.job, self.action, self.row)
end

---A text with $NAME and ${NAME} replaced by the action's environment. Names that it does not have stay as they are.
---@param text string
---@return string
function Context:expand(text)
  return environment.expand(text, self:environment())
end

---Takes the variables that the action's shell had exported at its end.
---@param variables table<string, string>
function Context:exported(variables)
  self.job.variables:export(self.action, variables)
end

return M

--- What happens to executions as JSON, one event a line on standard output, for programs. Implements moonsail.Reporter.
---
--- Every event has `time` (in UTC, to the millisecond), `event`, `pipeline` (its identifier or name) and `execution`
--- (its id), and besides:
---
---   started   url, status                  moonsail has started it
---   status    url, status                  its status is another one
---   action    action, action_id, status    the status of one of its actions is another one
---   log       action, action_id, line      a line of the log of an action: each once, in order
---   finished  url, status, revision        nobody waits for it any more; `status` is a status of the API, or VANISHED,
---                                          STUCK, TIMED_OUT or ERROR where it has not ended
---
--- Members may be added. What moonsail itself has to say goes to standard error.

local json = require "host.json"
local task = require "host.task"
local terminal = require "host.terminal"

local M = {}

---@class moonsail.Events: moonsail.Reporter
local Events = {}
Events.__index = Events

local function date(seconds)
  local whole = math.floor(seconds)
  return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", whole), math.floor((seconds - whole) * 1000))
end

function Events:emit(event, execution, more)
  local pipeline = execution.pipeline
  more.time, more.event, more.execution = date(task.now()), event, execution.id
  more.pipeline = tostring(pipeline.identifier or pipeline.name or pipeline.id)
  self.write("stdout", json.encode(more) .. "\n")
end

function Events:started(execution)
  self.seen[execution] = { status = execution.last_status, actions = {} }
  self:emit("started", execution, { url = execution.url, status = execution.last_status })
end

function Events:changed(execution, actions)
  local seen = self.seen[execution] or { actions = {} }
  self.seen[execution] = seen
  if execution.last_status ~= seen.status then
    seen.status = execution.last_status
    self:emit("status", execution, { url = execution.url, status = execution.last_status })
  end
  for _, action in ipairs(actions or {}) do
    if seen.actions[action.id or action.name] ~= action.status then
      seen.actions[action.id or action.name] = action.status
      self:emit("action", execution, { action = action.name, action_id = action.id, status = action.status })
    end
  end
end

function Events:lines(execution, action, lines)
  for _, line in ipairs(lines) do
    self:emit("log", execution, { action = action.name, action_id = action.id, line = line })
  end
end

function Events:finished(execution, actions, name)
  self.seen[execution] = self.seen[execution] or { actions = {} }
  self.seen[execution].status = execution.last_status -- the event below has it
  self:changed(execution, actions)
  self:emit("finished", execution, { url = execution.url, status = name, revision = execution.revision })
  self.seen[execution] = nil
end

function Events:note(message)
  self.write("stderr", ("moonsail: %s\n"):format(message))
end

---The executions that somebody still waits for.
---@return moonsail.Execution[]
function Events:open()
  local list = {}
  for execution in pairs(self.seen) do list[#list + 1] = execution end
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end

function Events:close() end -- luacheck: ignore 212

Events.__close = Events.close

---@param write? fun(stream: string, text: string)
---@return moonsail.Events
function M.new(write)
  return setmetatable({ write = write or terminal.write, seen = {} }, Events)
end

return M

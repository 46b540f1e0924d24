--- One plain line a change, for pipes and files.

local task = require "host.task"
local text = require "moonsail.cli.display.text"

local Plain = {}
Plain.__index = Plain

-- The lines of one turn of the loop leave together: a fan-out of thousands is not held up by as many writes.
function Plain:line(line)
  local lines = self.waiting
  lines[#lines + 1] = line
  if #lines == 1 then self.wake:notify() end
end

function Plain:tell(execution, ...)
  self:line(("%s: %s"):format(text.title(execution), table.concat({ ... }, ": ")))
end

---The executions that somebody still waits for.
---@return moonsail.Execution[]
function Plain:open()
  local list = {}
  for execution in pairs(self.seen) do list[#list + 1] = execution end
  table.sort(list, function(a, b) return text.title(a) < text.title(b) end)
  return list
end

function Plain:flush()
  if #self.waiting == 0 then return end
  local lines = table.concat(self.waiting, "\n") .. "\n"
  self.waiting = {}
  self.write("stderr", lines)
end

function Plain:keep_writing()
  while true do
    if #self.waiting == 0 then self.wake:wait() end
    self:flush()
  end
end

-- What has been told of an execution: its status, and those of its actions by their ids.
function Plain:find(execution)
  local seen = self.seen[execution]
  if not seen then
    self.many = self.many or next(self.seen) ~= nil
    seen = { actions = {} }
    self.seen[execution] = seen
  end
  return seen
end

function Plain:started(execution)
  local seen = self:find(execution)
  seen.since, seen.status = task.monotonic(), execution.last_status
  self:tell(execution, "sent, " .. (execution.url or ""))
end

local quiet = { INITIAL = true, ENQUEUED = true, NOT_EXECUTED = true }

function Plain:changed(execution, actions)
  local seen = self:find(execution)
  if execution.last_status and execution.last_status ~= seen.status then
    self:tell(execution, text.status(execution))
    seen.status = execution.last_status
  end
  seen.listed = actions or seen.listed
  for _, action in ipairs(actions or {}) do
    if seen.actions[action.id or action.name] ~= action.status and not quiet[action.status] then
      self:tell(execution, text.name(action), action.status == "INPROGRESS" and "started" or action.status)
    end
    seen.actions[action.id or action.name] = action.status
  end
end

function Plain:lines(execution, action, lines)
  local prefix = text.prefix(execution, action, self:find(execution).listed, self.many)
  for _, line in ipairs(lines) do
    for _, part in ipairs(text.log_lines(line, self.logs_to)) do self:line(prefix .. part) end
  end
end

function Plain:finished(execution, actions, name)
  local seen = self:find(execution)
  seen.status = execution.last_status -- it has a line of its own below
  self:changed(execution, actions)
  local duration = seen.since and " after " .. text.duration(task.monotonic() - seen.since) or ""
  self:tell(execution, (name or execution.last_status) .. duration)
  self.seen[execution] = nil
end

function Plain:note(message)
  self:line("moonsail: " .. message)
end

function Plain:print(words)
  self:flush()
  self.write("stdout", words)
end

function Plain:close()
  self.writer:cancel()
  self:flush()
end

Plain.__close = Plain.close

local M = {}

---@param options { write: fun(stream: string, text: string), logs_to: "pipe"|"terminal"|"colors" }
---@return moonsail.Reporter
function M.new(options)
  local self = setmetatable({
    write = options.write, logs_to = options.logs_to, waiting = {}, wake = task.event(), many = false,
    seen = setmetatable({}, { __mode = "k" }),
  }, Plain)
  self.writer = task.spawn(self.keep_writing, self)
  return self
end

return M

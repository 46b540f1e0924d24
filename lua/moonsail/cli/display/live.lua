--- What goes on, redrawn in place at the end of a terminal. What stays (ends, logs, notes) is written above it.

local task = require "host.task"
local terminal = require "host.terminal"
local text = require "moonsail.cli.display.text"

local MARKS = {
  SUCCESSFUL = { "✓", 32 }, FAILED = { "✗", 31 }, TERMINATED = { "✗", 31 }, INPROGRESS = { "●", 36 },
  TERMINATING = { "●", 33 }, SKIPPED = { "-", 90 }, NOT_EXECUTED = { "-", 90 },
  VANISHED = { "✗", 31 }, STUCK = { "✗", 31 }, ERROR = { "✗", 31 },
}
local WAITING_MARK = { "·", 90 }
local FRAME_SECONDS = 0.2

local Live = {}
Live.__index = Live

function Live:paint(code, words)
  return self.colors and words ~= "" and ("\27[%dm%s\27[0m"):format(code, words) or words
end

function Live:mark(status)
  local mark = MARKS[status] or WAITING_MARK
  return self:paint(mark[2], mark[1])
end

function Live:headline(shown, width, name)
  local execution = shown.execution
  name = name or execution.last_status
  local words = ("%s  %s  %s"):format(text.title(execution), name, text.duration(task.monotonic() - shown.since))
  local room = width - 3 - (utf8.len(words) or #words)
  local url = room > 20 and execution.url and "  " .. text.fit(execution.url, room - 2) or ""
  return ("%s %s%s"):format(self:mark(name), text.fit(words, width - 2), self:paint(90, url))
end

function Live:action_line(shown, action, width)
  local since = shown.actions_since[action.id]
  local detail = since and text.duration((shown.actions_until[action.id] or task.monotonic()) - since) or ""
  if action.status == "INPROGRESS" and (action.progress or 0) > 0 then
    detail = ("%s  %.0f%%"):format(detail, action.progress)
  elseif action.status:find "^WAITING" then
    detail = action.status
  end
  local name_width = math.max(8, math.min(40, width - 20))
  local name = text.fit(text.name(action), name_width - 1)
  local line = ("    %s %s"):format(self:mark(action.status), name)
  if detail == "" then return line end
  return line .. (" "):rep(name_width - (utf8.len(name) or #name)) .. self:paint(90, detail)
end

-- The lines of the executions that go on: with their actions while all fit, else as many head lines as fit.
function Live:frame()
  local columns, rows = terminal.size()
  local lines, height = {}, 0
  for _, shown in ipairs(self.shown) do height = height + 1 + #(shown.actions or {}) end
  local brief = height > rows - 1
  local last = brief and math.min(#self.shown, rows - 2) or #self.shown
  for place = 1, last do
    local shown = self.shown[place]
    lines[#lines + 1] = self:headline(shown, columns - 1)
    for _, action in ipairs(not brief and shown.actions or {}) do
      lines[#lines + 1] = self:action_line(shown, action, columns - 1)
    end
  end
  if last < #self.shown then lines[#lines + 1] = ("  and %d more"):format(#self.shown - last) end
  return lines
end

-- One write a frame: back to its first line, what stays, the new frame.
function Live:draw()
  local lines, above = self:frame(), self.above
  local parts = { self.height > 0 and ("\r\27[%dA\27[J"):format(self.height) or "" }
  for _, line in ipairs(above) do parts[#parts + 1] = line .. "\n" end
  for _, line in ipairs(lines) do parts[#parts + 1] = line .. "\n" end
  self.height, self.above, self.dirty = #lines, {}, false
  local words = table.concat(parts)
  if words ~= "" then self.write("stderr", words) end
end

---Draws what has changed since the last frame.
function Live:flush()
  if self.dirty then self:draw() end
end

-- What changes in one turn of the loop is one frame; the times go on between two changes.
function Live:keep_drawing()
  while true do
    if #self.shown == 0 and not self.dirty then self.wake:wait() end
    if not self.dirty then self.wake:wait(FRAME_SECONDS) end
    self:draw()
  end
end

function Live:change(line)
  self.above[#self.above + 1] = line
  self.dirty = true
  self.wake:notify()
end

---@return moonsail.Execution[]
function Live:open()
  local list = {}
  for place, shown in ipairs(self.shown) do list[place] = shown.execution end
  return list
end

-- What is shown of an execution; it is added when it is new.
function Live:find(execution)
  local shown = self.by_execution[execution]
  if not shown then
    shown = { execution = execution, since = task.monotonic(), actions_since = {}, actions_until = {} }
    self.shown[#self.shown + 1] = shown
    self.by_execution[execution] = shown
    self.many = self.many or #self.shown > 1
  end
  return shown
end

function Live:remove(shown)
  self.by_execution[shown.execution] = nil
  for place, other in ipairs(self.shown) do
    if other == shown then return table.remove(self.shown, place) end
  end
end

local function update(shown, actions)
  shown.actions = actions or shown.actions
  for _, action in ipairs(actions or {}) do
    local id, running = action.id or action.name, action.status == "INPROGRESS"
    if running and not shown.actions_since[id] then shown.actions_since[id] = task.monotonic() end
    if not running and shown.actions_since[id] and not shown.actions_until[id] then
      shown.actions_until[id] = task.monotonic()
    end
  end
end

function Live:started(execution)
  self:find(execution)
  self:change()
end

-- That it waits for a person stays readable, with what to do, however many others there are.
local function advise(self, shown)
  local execution = shown.execution
  if shown.status == execution.last_status then return end
  shown.status = execution.last_status
  local words = text.status(execution)
  if words ~= shown.status then self:change(self:paint(33, ("%s: %s"):format(text.title(execution), words))) end
end

function Live:changed(execution, actions)
  local shown = self:find(execution)
  update(shown, actions)
  advise(self, shown)
  self:change()
end

function Live:lines(execution, action, lines)
  local prefix = self:paint(90, text.prefix(execution, action, self:find(execution).actions, self.many))
  local to = self.colors and "colors" or "terminal"
  for _, line in ipairs(lines) do
    for _, part in ipairs(text.log_lines(line, to)) do self:change(prefix .. part) end
  end
end

-- Its last state stays on the screen, above what goes on.
function Live:finished(execution, actions, name)
  local shown = self:find(execution)
  update(shown, actions)
  self:remove(shown)
  local columns = terminal.size()
  self:change(self:headline(shown, columns - 1, name))
  for _, action in ipairs(execution.last_status ~= "SUCCESSFUL" and shown.actions or {}) do
    self:change(self:action_line(shown, action, columns - 1))
  end
end

function Live:note(message)
  local columns = terminal.size()
  self:change(self:paint(33, text.fit("moonsail: " .. message, columns - 1)))
end

function Live:print(words)
  self:flush()
  if self.height == 0 or not words:find "\n$" then
    self.write("stdout", words)
    return
  end
  self.write("stderr", ("\r\27[%dA\27[J"):format(self.height))
  self.height = 0
  self.write("stdout", words)
  self:draw()
end

function Live:close()
  self.drawer:cancel()
  self:flush()
end

Live.__close = Live.close

local M = {}

---@param options { write: fun(stream: string, text: string), colors: boolean }
---@return moonsail.Reporter
function M.new(options)
  local self = setmetatable({
    write = options.write, colors = options.colors, wake = task.event(), above = {}, dirty = false, height = 0,
    shown = {}, by_execution = {}, many = false,
  }, Live)
  self.drawer = task.spawn(self.keep_drawing, self)
  return self
end

return M

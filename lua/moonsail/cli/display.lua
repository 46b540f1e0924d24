--- What people see while executions run. Implements moonsail.Reporter twice over the same facts: redrawn in place on a
--- terminal, one plain line a change elsewhere. It goes to standard error, so that standard output is the recipe's own.

local task = require "host.task"
local terminal = require "host.terminal"

local M = {}

local MARKS = {
  SUCCESSFUL = { "✓", 32 }, FAILED = { "✗", 31 }, TERMINATED = { "✗", 31 }, INPROGRESS = { "●", 36 },
  TERMINATING = { "●", 33 }, SKIPPED = { "-", 90 }, NOT_EXECUTED = { "-", 90 },
}
local WAITING_MARK = { "·", 90 }
local FRAME_SECONDS = 0.2

local function duration(seconds)
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  seconds = math.max(0, math.floor(seconds + 0.5))
  if seconds < 3600 then return ("%d:%02d"):format(seconds // 60, seconds % 60) end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

local function title(execution)
  return ("%s #%s"):format(execution.pipeline.name or execution.pipeline.id, execution.id)
end

-- Cuts a text to a number of characters.
local function fit(text, width)
  local length = utf8.len(text)
  if not length or length <= width then return text end
  return text:sub(1, utf8.offset(text, math.max(1, width)) - 1) .. "…"
end

-- ---- Plain lines.

local Plain = {}
Plain.__index = Plain

-- The lines of one turn of the loop leave together: a fan-out of thousands is not held up by as many writes.
function Plain:line(...)
  local lines = self.lines
  lines[#lines + 1] = string.format(...)
  if #lines == 1 then self.wake:notify() end
end

---The executions that somebody still waits for.
---@return moonsail.Execution[]
function Plain:open()
  local list = {}
  for execution in pairs(self.seen) do list[#list + 1] = execution end
  table.sort(list, function(a, b) return title(a) < title(b) end)
  return list
end

function Plain:flush()
  if #self.lines == 0 then return end
  local text = table.concat(self.lines, "\n") .. "\n"
  self.lines = {}
  self.write("stderr", text)
end

function Plain:keep_writing()
  while true do
    if #self.lines == 0 then self.wake:wait() end
    self:flush()
  end
end

function Plain:started(execution)
  self.since[execution], self.seen[execution] = task.monotonic(), { status = execution.last_status }
  self:line("%s: sent, %s", title(execution), execution.url or "")
end

local function action_text(action)
  return action.status == "INPROGRESS" and "started" or action.status
end

function Plain:changed(execution, actions)
  local seen = self.seen[execution] or {}
  self.seen[execution] = seen
  if execution.last_status and execution.last_status ~= seen.status then
    self:line("%s: %s", title(execution), execution.last_status)
    seen.status = execution.last_status
  end
  for _, action in ipairs(actions or {}) do
    local quiet = action.status == "INITIAL" or action.status == "ENQUEUED" or action.status == "NOT_EXECUTED"
    if seen[action.id] ~= action.status and not quiet then
      self:line("%s: %s: %s", title(execution), action.name, action_text(action))
    end
    seen[action.id] = action.status
  end
end

function Plain:finished(execution, actions)
  self.seen[execution] = self.seen[execution] or {}
  self.seen[execution].status = execution.last_status -- it has a line of its own below
  self:changed(execution, actions)
  local since = self.since[execution]
  self:line("%s: %s%s", title(execution), execution.last_status,
    since and " after " .. duration(task.monotonic() - since) or "")
  self.seen[execution], self.since[execution] = nil, nil
end

function Plain:note(message)
  self:line("moonsail: %s", message)
end

function Plain:print(text)
  self:flush()
  self.write("stdout", text)
end

function Plain:close()
  self.writer:cancel()
  self:flush()
end

-- ---- Redrawn in place.

local Live = {}
Live.__index = Live

function Live:paint(code, text)
  return self.colors and ("\27[%dm%s\27[0m"):format(code, text) or text
end

function Live:mark(status)
  local mark = MARKS[status] or WAITING_MARK
  return self:paint(mark[2], mark[1])
end

function Live:headline(shown, width)
  local execution = shown.execution
  local text = ("%s  %s  %s"):format(title(execution), execution.last_status, duration(task.monotonic() - shown.since))
  local room = width - 3 - (utf8.len(text) or #text)
  local url = room > 20 and execution.url and "  " .. fit(execution.url, room - 2) or ""
  return ("%s %s%s"):format(self:mark(execution.last_status), fit(text, width - 2), self:paint(90, url))
end

function Live:action_line(shown, action, width)
  local since = shown.actions_since[action.id]
  local detail = since and duration((shown.actions_until[action.id] or task.monotonic()) - since) or ""
  if action.status == "INPROGRESS" and (action.progress or 0) > 0 then
    detail = ("%s  %d%%"):format(detail, action.progress)
  elseif action.status:find "^WAITING" then
    detail = action.status
  end
  local name_width = math.max(8, math.min(40, width - 20))
  local name = fit(action.name, name_width - 1)
  local text = ("    %s %s"):format(self:mark(action.status), name)
  if detail == "" then return text end
  return text .. (" "):rep(name_width - (utf8.len(name) or #name)) .. self:paint(90, detail)
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

-- One write a frame: back to its first line, the text that stays, the new frame.
function Live:draw(above)
  local lines = self:frame()
  local parts = { self.height > 0 and ("\r\27[%dA\27[J"):format(self.height) or "", above or "" }
  for _, line in ipairs(lines) do parts[#parts + 1] = line .. "\n" end
  self.height = #lines
  local text = table.concat(parts)
  if text ~= "" then self.write("stderr", text) end
end

---@return moonsail.Execution[]
function Live:open()
  local list = {}
  for place, shown in ipairs(self.shown) do list[place] = shown.execution end
  return list
end

function Live:find(execution)
  for place, shown in ipairs(self.shown) do
    if shown.execution == execution then return shown, place end
  end
end

local function update(shown, actions)
  shown.actions = actions or shown.actions
  for _, action in ipairs(actions or {}) do
    local running = action.status == "INPROGRESS"
    if running and not shown.actions_since[action.id] then shown.actions_since[action.id] = task.monotonic() end
    if not running and shown.actions_since[action.id] and not shown.actions_until[action.id] then
      shown.actions_until[action.id] = task.monotonic()
    end
  end
end

function Live:add(execution)
  local shown = { execution = execution, since = task.monotonic(), actions_since = {}, actions_until = {} }
  self.shown[#self.shown + 1] = shown
  self.wake:notify()
  return shown
end

function Live:started(execution)
  self:add(execution)
  self:draw()
end

function Live:changed(execution, actions)
  update(self:find(execution) or self:add(execution), actions)
  self:draw()
end

-- Its last state stays on the screen, above what goes on.
function Live:finished(execution, actions)
  local shown, place = self:find(execution)
  if not shown then
    shown = self:add(execution)
    place = #self.shown
  end
  update(shown, actions)
  table.remove(self.shown, place)
  local columns = terminal.size()
  local lines = { self:headline(shown, columns - 1) }
  if execution.last_status ~= "SUCCESSFUL" then
    for _, action in ipairs(shown.actions or {}) do
      lines[#lines + 1] = self:action_line(shown, action, columns - 1)
    end
  end
  self:draw(table.concat(lines, "\n") .. "\n")
end

function Live:note(message)
  local columns = terminal.size()
  self:draw(self:paint(33, fit("moonsail: " .. message, columns - 1)) .. "\n")
end

function Live:print(text)
  if self.height == 0 or not text:find "\n$" then
    self.write("stdout", text)
    return
  end
  self.write("stderr", ("\r\27[%dA\27[J"):format(self.height))
  self.height = 0
  self.write("stdout", text)
  self:draw()
end

-- The times go on between two changes.
function Live:keep_time()
  while true do
    if #self.shown == 0 then self.wake:wait() end
    task.sleep(FRAME_SECONDS)
    if #self.shown > 0 then self:draw() end
  end
end

function Live:close()
  self.clock:cancel()
end

M.title = title

---Makes the display that fits standard error. It belongs to the running task, and is to be closed.
---@param options? { live?: boolean, colors?: boolean, write?: fun(stream: string, text: string) }
---@return moonsail.Reporter
function M.new(options)
  options = options or {}
  local live = options.live
  if live == nil then live = terminal.is_terminal "stderr" and os.getenv "TERM" ~= "dumb" end
  local colors = options.colors
  if colors == nil then colors = (os.getenv "NO_COLOR" or "") == "" end
  local self = { write = options.write or terminal.write, colors = colors }
  self.wake = task.event()
  if not live then
    self.lines = {}
    self.seen, self.since = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })
    setmetatable(self, Plain)
    self.writer = task.spawn(self.keep_writing, self)
    return self
  end
  self.shown, self.height = {}, 0
  setmetatable(self, Live)
  self.clock = task.spawn(self.keep_time, self)
  return self
end

Plain.__close, Live.__close = Plain.close, Live.close

return M

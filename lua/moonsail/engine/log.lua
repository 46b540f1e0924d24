--- Logs of actions: lines in the store, written as the output comes. A row holds the lines that came at once.
--- A log is cut after 16 MiB, a line after 64 KiB; bytes that are not UTF-8 become U+FFFD.
local mask = require "moonsail.engine.mask"

local M = {}

M.MAX_BYTES = 16 * 1024 * 1024
M.MAX_LINE = 64 * 1024

local CUT = "The log is cut here: it is larger than %d MiB. The action goes on."

---@class engine.Log
local Log = {}
Log.__index = Log

---Opens the log of an action execution for writing; what it has already is kept.
---@param sql table<string, host.Statement>
---@param action integer the row of the action execution
---@param secrets string[] values that are masked
---@return engine.Log
function M.open(sql, action, secrets)
  local last = sql.log_length:row(action)
  return setmetatable({ sql = sql, action = action, mask = mask.new(secrets), partial = "", bytes = 0,
    lines = last and last.length or 0 }, Log)
end

local function repair(text)
  local pieces, from = {}, 1
  while true do
    local ok, bad = utf8.len(text, from)
    if ok then
      table.insert(pieces, text:sub(from))
      return table.concat(pieces)
    end
    table.insert(pieces, text:sub(from, bad - 1))
    table.insert(pieces, "\u{FFFD}")
    from = bad + 1
  end
end

-- Appends whole lines, without the newline of the last one.
function Log:append(text)
  if not utf8.len(text) then text = repair(text) end
  local _, newlines = text:gsub("\n", "\n")
  self.sql.add_log:run(self.action, self.lines, newlines + 1, text)
  self.lines = self.lines + newlines + 1
  self.bytes = self.bytes + #text + 1
end

function Log:flush()
  local rest = self.partial .. self.mask:feed("", true)
  self.partial = ""
  if rest ~= "" and not self.cut then self:append((rest:gsub("\n$", ""))) end
end

---Output of the action, in pieces of any size.
---@param chunk string
function Log:write(chunk)
  if self.cut then return end
  local text = self.partial .. self.mask:feed(chunk)
  local lines, rest = text:match "^(.*)\n([^\n]*)$"
  self.partial = rest or text
  if lines then self:append(lines) end
  if #self.partial > M.MAX_LINE then
    self:append(self.partial)
    self.partial = ""
  end
  if self.bytes > M.MAX_BYTES then
    self.cut, self.partial = true, ""
    self:append(CUT:format(M.MAX_BYTES // 1024 // 1024))
  end
end

---A text as the log would show it.
---@param text string
---@return string
function Log:masked(text)
  return mask.new(self.mask.values):feed(text, true)
end

---From now on these values are masked.
---@param secrets string[]
function Log:hide(secrets)
  self.mask:hide(secrets)
end

---A line of the engine's own.
---@param line string
function Log:note(line)
  self:flush()
  self:append(self:masked(line))
end

---Writes what was held back.
function Log:close()
  self:flush()
end

---@param sql table<string, host.Statement>
---@param action integer
---@return integer lines
function M.length(sql, action)
  local last = sql.log_length:row(action)
  return last and last.length or 0
end

---Lines from `offset` (counted from 0) on, at most `limit`.
---@param sql table<string, host.Statement>
---@param action integer
---@param offset? integer default 0
---@param limit? integer default all
---@return string[]
function M.read(sql, action, offset, limit)
  local lines = {}
  local first, last = offset or 0, (offset or 0) + (limit or math.maxinteger // 2)
  for _, row in ipairs(sql.read_log:rows(action, first, last)) do
    local number = row.first
    for line in (row.text .. "\n"):gmatch "([^\n]*)\n" do
      if number >= first and number < last then table.insert(lines, line) end
      number = number + 1
    end
  end
  return lines
end

return M

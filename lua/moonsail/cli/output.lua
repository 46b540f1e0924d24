--- What a command puts out: a table for people, JSON for programs. On standard output, without colors.

local console = require "moonsail.console"
local json = require "host.json"
local terminal = require "host.terminal"
local text = require "moonsail.cli.display.text"

local M = {}

---Writes a line, or lines, without what a terminal would obey: much of it comes from outside.
---@param line string
function M.line(line)
  terminal.write("stdout", line:gsub("[\1-\9\11-\31\127]", "") .. "\n")
end

---Writes a line of a log: to a pipe as it is, to a terminal without what could harm it.
---@param line string
---@param prefix string whose it is
function M.log_line(line, prefix)
  local to = terminal.is_terminal "stdout" and "terminal" or "pipe"
  for _, part in ipairs(text.log_lines(line, to)) do terminal.write("stdout", prefix .. part .. "\n") end
end

---Writes a value as JSON; a list may be empty.
---@param value table
function M.json(value)
  M.line(json.encode(value, { indent = 2 }))
end

---Writes rows as a table, each on one line of a terminal.
---@param rows table[]
---@param columns (string|moonsail.Column)[]
function M.table(rows, columns)
  local lines = console.format_table(rows, columns)
  if terminal.is_terminal "stdout" then
    local width = terminal.size()
    lines = lines:gsub("[^\n]+", function(line) return text.fit(line, width) end)
  end
  terminal.write("stdout", lines)
end

---A date of the API as a table has room for it.
---@param date? string
---@return string?
function M.date(date)
  return date and date:gsub("T", " "):gsub("%.%d+Z$", ""):gsub("Z$", "")
end

return M

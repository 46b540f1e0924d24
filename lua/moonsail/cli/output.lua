--- What a command puts out: a table for people, JSON for programs. On standard output, without colors.

local console = require "moonsail.console"
local json = require "host.json"
local terminal = require "host.terminal"

local M = {}

---Writes a line, or lines.
---@param text string
function M.line(text)
  terminal.write("stdout", text .. "\n")
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
  local text = console.format_table(rows, columns)
  if terminal.is_terminal "stdout" then
    local width = terminal.size()
    text = text:gsub("[^\n]+", function(line) return console.fit(line, width) end)
  end
  terminal.write("stdout", text)
end

-- A date of the API as a table has room for it.
---@param text? string
---@return string?
function M.date(text)
  return text and text:gsub("T", " "):gsub("%.%d+Z$", ""):gsub("Z$", "")
end

return M

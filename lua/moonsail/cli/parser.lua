--- Command lines over argparse: what is wrong with one is a usage error like any other, on two lines.

local argparse = require "argparse"
local errors = require "moonsail.errors"

local M = {}

local WIDTH = 100

---Makes a parser.
---@param name string the command, such as "executions"
---@param summary string
---@param epilog? string what follows the options in its help, such as examples
---@return table
function M.new(name, summary, epilog)
  return argparse("moonsail " .. name, summary, epilog):usage_max_width(WIDTH):help_max_width(WIDTH)
end

---Reads a command line. Raises `usage`.
---@param parser table
---@param arguments string[]
---@param name string the command
---@return table options
function M.parse(parser, arguments, name)
  local ok, options = parser:pparse(arguments)
  if ok then return options end
  local what, suggestion = options:match "^(.-)\n(.*)$"
  errors.raise("usage", what or options, ("%sSee: moonsail %s --help"):format(suggestion and suggestion .. " " or "",
    name), { on_command_line = true })
end

---Converts an argument to a whole number that is not below one.
---@param text string
---@return integer?
---@return string? problem
function M.count(text)
  local number = text:find "^%d+$" and math.tointeger(tonumber(text))
  if number and number > 0 then return number end
  return nil, ("'%s' is not a number above zero"):format(text)
end

local units = { s = 1, m = 60, h = 3600, d = 86400 }

---Converts a length of time, such as "90", "90s" or "1h30m", to seconds.
---@param text string
---@return number?
---@return string? problem
function M.seconds(text)
  local sum, rest = 0, text
  if text:find "^%d+%.?%d*$" then return tonumber(text) end
  repeat
    local number, unit, more = rest:match "^(%d+)([dhms])(.*)$"
    if not number or #number > 9 then return nil, ("'%s' is not a time such as 90s or 1h30m"):format(text) end
    sum, rest = sum + tonumber(number) * units[unit], more
  until rest == ""
  return sum
end

return M

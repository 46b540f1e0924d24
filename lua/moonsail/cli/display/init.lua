--- What people see while executions run. Two displays of the same facts, both a moonsail.Reporter: redrawn in place on
--- a terminal, one plain line a change elsewhere. They write to standard error: standard output is the recipe's own.

local terminal = require "host.terminal"
local text = require "moonsail.cli.display.text"

local M = {}

M.title = text.title

local function is_set(name)
  return (os.getenv(name) or "") ~= ""
end

---Makes the display that fits standard error. It belongs to the running task, and is to be closed.
---@param options? { live?: boolean, colors?: boolean, write?: fun(stream: string, text: string) }
---@return moonsail.Reporter
function M.new(options)
  options = options or {}
  local is_terminal = terminal.is_terminal "stderr"
  local write, colors, live = options.write or terminal.write, options.colors, options.live
  if colors == nil then colors = not is_set "NO_COLOR" end
  if live == nil then live = is_terminal and os.getenv "TERM" ~= "dumb" end
  if live then return require("moonsail.cli.display.live").new { write = write, colors = colors } end
  return require("moonsail.cli.display.plain").new { write = write, logs_to = is_terminal and "terminal" or "pipe" }
end

return M

--- A command over the library: its command line is parsed, and what it does is performed in a session.
---
---   return command.new("pipelines", "Shows the pipelines of a project.", {
---     { name = "list", summary = …, declare = function(p) … end, run = function(context, options) … end },
---   })

local parser = require "moonsail.cli.parser"
local perform = require "moonsail.cli.perform"
local report = require "moonsail.cli.report"
local settings = require "moonsail.cli.settings"

local M = {}

---@class moonsail.Command
---@field name string
---@field summary string
---@field examples? string
---@field declare? fun(p: table) declares its arguments
---@field run fun(context: moonsail.CommandContext, options: table): integer? # the exit code, default 0

---@class moonsail.CommandContext
---@field sail moonsail.Library
---@field project moonsail.Project of the settings
---@field session moonsail.Session
---@field options table of the command line

local function epilog(command)
  local examples = command.examples and "Examples:\n" .. command.examples .. "\n\n" or ""
  return examples .. settings.NOTE
end

local function declare(p, command)
  if command.declare then command.declare(p) end
  settings.declare(p)
end

local function run(command, options)
  local screen = options.jsonl and require("moonsail.cli.events").new() or nil
  return perform.perform({ settings = settings.of(options), screen = screen }, function(session)
    local sail = require("moonsail.library").new(session)
    return command.run({ sail = sail, project = sail.project(), session = session, options = options }, options)
  end)
end

-- A command that has others below it.
local function declare_all(p, commands)
  p:require_command(not commands.default):command_target "command"
  for _, command in ipairs(commands) do
    declare(p:command(command.name, command.summary, epilog(command)), command)
  end
end

local function chosen(commands, options)
  for _, command in ipairs(commands) do
    if command.name == (options.command or commands.default) then return command end
  end
end

---Makes the function of a command, as cli/init.lua calls it.
---@param name string
---@param summary string
---@param command moonsail.Command|moonsail.Command[] several: the commands below it; `default` names the one that may
---  be left out
---@return fun(arguments: string[]): integer
function M.new(name, summary, command)
  return function(arguments)
    local p = parser.new(name, summary, epilog(command))
    if command.run then
      declare(p, command)
    else
      declare_all(p, command)
      if command.default then settings.declare(p) end
    end
    local ok, options = pcall(parser.parse, p, arguments, name)
    if not ok then return report.error(options) end
    return run(command.run and command or chosen(command, options), options)
  end
end

return M

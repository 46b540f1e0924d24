--- moonsail run RECIPE [--NAME VALUE...]

local arguments_of = require "moonsail.cli.arguments"
local display = require "moonsail.cli.display"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local loader = require "moonsail.recipe.loader"
local report = require "moonsail.cli.report"
local task = require "host.task"
local terminal = require "host.terminal"

local usage = [[
usage: moonsail run [--workspace NAME] [--project NAME] [--endpoint URL] RECIPE [--NAME VALUE...]

Runs a recipe. What follows the recipe are the recipe's own parameters;
moonsail run RECIPE --help lists them.

  --workspace NAME   the workspace, when the recipe does not name one
  --project NAME     the project, or WORKSPACE/PROJECT
  --endpoint URL     the API's address
  --allow-http       plain http also to other machines

The token comes from BUDDY_TOKEN or the configuration file, never from the
command line, where other users could read it. With neither a token nor an
endpoint, moonsail serves the git repository of the current directory itself.
]]

local value_options = { workspace = true, project = true, endpoint = true }

-- Our own options stand before the recipe, the recipe's behind it.
local function split(arguments)
  local settings, place = {}, 1
  while arguments[place] and arguments[place]:find "^%-" do
    local name, value = arguments[place]:match "^%-%-([%w-]+)=?(.*)$"
    if name == "help" or arguments[place] == "-h" then return nil end
    if name == "allow-http" then
      settings.allow_http = true
    elseif value_options[name] then
      if not arguments[place]:find("=", 1, true) then
        place = place + 1
        value = arguments[place]
      end
      if not value then errors.raise("usage", ("--%s has no value"):format(name), "See: moonsail run --help") end
      settings[name] = value
    else
      errors.raise("usage", ("moonsail run has no option %s"):format(arguments[place]),
        "See moonsail run --help. A recipe's own parameters stand behind the recipe.")
    end
    place = place + 1
  end
  if not arguments[place] then errors.raise("usage", "no recipe is given", "See: moonsail run --help") end
  return settings, arguments[place], { table.unpack(arguments, place + 1) }
end

local function asks_for_help(arguments)
  for _, argument in ipairs(arguments) do
    if argument == "--help" or argument == "-h" then return true end
  end
end

local function parameter_help(declared)
  local lines = {}
  for _, parameter in ipairs(declared) do
    local value = parameter.type == "boolean" and "" or " " .. parameter.type:upper()
    local default = parameter.default
    if type(default) == "table" then default = table.concat(default, ",") end
    local note = parameter.required and "required" or default ~= nil and "default " .. tostring(default) or nil
    lines[#lines + 1] = ("  %-24s %s%s"):format("--" .. parameter.name:gsub("_", "-") .. value, parameter.help or "",
      note and (" (%s)"):format(note) or "")
  end
  return lines
end

local function help(path, source, declared)
  local lines = { ("usage: moonsail run %s%s"):format(path, #declared > 0 and " [--NAME VALUE...]" or ""), "" }
  local description = loader.description(source)
  table.move(description, 1, #description, #lines + 1, lines)
  if #description > 0 then lines[#lines + 1] = "" end
  local parameters = #declared > 0 and parameter_help(declared) or { "It takes no parameters." }
  table.move(parameters, 1, #parameters, #lines + 1, lines)
  terminal.write("stdout", table.concat(lines, "\n") .. "\n")
end

-- Runs the recipe up to its declaration, with every effect refused.
local function show_help(path, session)
  local recipe = loader.load(path, require("moonsail.library").new(session))
  local enough = {}
  local declared = {}
  session.on_parameters = function(list)
    declared = list
    error(enough, 0)
  end
  effect.refuse(enough)
  local ok, problem = pcall(recipe.run)
  effect.refuse(nil)
  if not ok and problem ~= enough then error(problem, 0) end
  help(path, recipe.source, declared)
end

-- Parameters that nobody asked for are a mistake; it is found before the first effect.
local function expect_declaration(session)
  local name = next(session.parameters)
  if not name then return function() end end
  local problem = errors.new("usage", ("the recipe takes no parameters, but was given --%s"):format(name),
    "A recipe names them with sail.parameters, before it does anything else.", { on_command_line = true })
  local declared = false
  session.on_parameters = function()
    declared = true
    effect.refuse(nil)
  end
  effect.refuse(problem)
  return function()
    effect.refuse(nil)
    if not declared then error(problem, 0) end
  end
end

local function run_recipe(path, session)
  local recipe = loader.load(path, require("moonsail.library").new(session))
  local check = expect_declaration(session)
  recipe.run()
  check()
end

local TAIL = 12 -- lines of a failed action's log

-- What failed says why in its log, so its end is shown at once.
local function show_failure(problem)
  for _, action in ipairs(problem.actions or {}) do
    if action.status == "FAILED" then
      local ok, lines = pcall(problem.execution.logs, problem.execution, action.id)
      if ok and #lines > 0 then
        local first = math.max(1, #lines - TAIL + 1)
        local head = ("the log of '%s'%s:\n  | "):format(action.name, first > 1 and ", its end" or "")
        terminal.write("stderr", head .. table.concat(lines, "\n  | ", first) .. "\n")
      end
    end
  end
end

-- Ctrl-C ends moonsail, and not what runs at Buddy: so that is said. The embedded engine ends with us.
local function tell_when_interrupted(screen, session)
  return setmetatable({}, {
    __close = function(_, problem)
      if errors.exit_code(problem) ~= 130 then return end
      local open = screen:open()
      screen:close()
      local lines = { "moonsail: interrupted" }
      for _, execution in ipairs(session.engine and {} or open) do
        lines[#lines + 1] = ("  %s goes on: %s"):format(display.title(execution), execution.url)
      end
      terminal.write("stderr", table.concat(lines, "\n") .. "\n")
    end,
  })
end

return function(arguments)
  local ok, settings, path, rest = pcall(split, arguments)
  if not ok then return report.error(settings) end
  if not settings then
    terminal.write("stdout", usage)
    return 0
  end
  local screen <close> = display.new()
  local helping = asks_for_help(rest)
  local parsed, parameters = pcall(arguments_of.parse, helping and {} or rest)
  if not parsed then return report.error(parameters) end
  local session <close> = require("moonsail.client.session").new {
    settings = settings, parameters = parameters, progress = screen, embedded = true,
  }
  local guard <close> = tell_when_interrupted(screen, session) -- luacheck: ignore 211
  local recipe = task.spawn(helping and show_help or run_recipe, path, session)
  local done, problem = pcall(recipe.join, recipe)
  if done then return 0 end
  screen:close() -- what it still holds comes before the error
  if errors.is(problem) and problem.kind == "execution" then show_failure(problem) end
  return report.error(problem, path)
end

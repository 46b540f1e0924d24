--- moonsail run RECIPE [--NAME VALUE...]

local arguments_of = require "moonsail.cli.arguments"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local loader = require "moonsail.recipe.loader"
local parser = require "moonsail.cli.parser"
local perform = require "moonsail.cli.perform"
local report = require "moonsail.cli.report"
local settings = require "moonsail.cli.settings"
local terminal = require "host.terminal"

local function make_parser()
  local p = parser.new("run", "Runs a recipe. What follows the recipe are the recipe's own parameters; moonsail run "
    .. "RECIPE --help lists them.", settings.NOTE):usage "Usage: moonsail run [OPTION...] RECIPE [--NAME VALUE...]"
  settings.declare(p)
  return p
end

-- Our own options stand before the recipe, the recipe's behind it.
local function split(arguments)
  local place = 1
  while arguments[place] and settings.length(arguments, place) > 0 do
    place = place + settings.length(arguments, place)
  end
  local options = parser.parse(make_parser(), { table.unpack(arguments, 1, place - 1) }, "run")
  if not arguments[place] then errors.raise("usage", "no recipe is given", "See: moonsail run --help") end
  return settings.of(options), arguments[place], { table.unpack(arguments, place + 1) }
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

return function(arguments)
  local ok, given, path, rest = pcall(split, arguments)
  if not ok then return report.error(given) end
  local helping = asks_for_help(rest)
  local parsed, parameters = pcall(arguments_of.parse, helping and {} or rest)
  if not parsed then return report.error(parameters) end
  return perform.perform({ settings = given, parameters = parameters, recipe = path }, function(session)
    if helping then show_help(path, session) else run_recipe(path, session) end
  end)
end

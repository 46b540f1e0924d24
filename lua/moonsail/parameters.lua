--- A recipe's parameters: what it declares, and the values that the runner gives, checked and converted.

local errors = require "moonsail.errors"
local execution = require "host.execution"

local M = {}

---@class moonsail.Parameter
---@field type? "string"|"integer"|"number"|"boolean"|"list"|"choice"|"version"|"ref" default "string"
---@field required? boolean
---@field default? any used as it is
---@field help? string
---@field choices? string[] the only values; needed for the type "choice"
---@field name? string filled in

local function is_version(text)
  local core, rest = text:match("^v?(%d[%d.]*)(.*)$")
  return core and not core:find("..", 1, true) and core:sub(-1) ~= "."
    and (rest == "" or rest:find("^[-+][%w.+-]+$")) and true or false
end

-- What git takes as a name, see git-check-ref-format(1).
local function is_ref(text)
  for _, wrong in ipairs { "^$", "[%c ~^:?*%[\\]", "%.%.", "@{", "//", "^[-/.]", "/%.", "[/.]$", "%.lock$" } do
    if text:find(wrong) then return false end
  end
  return true
end

-- "1e400" is infinite, and stands in no request.
local function finite(text)
  local value = text:find("^-?[%d.]") and tonumber(text)
  return value and value - value == 0 and value or nil
end

local words = {
  ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false,
}

-- Each takes the text and returns the value, or nil when the text is not one; and says what it expects.
local kinds = {
  string = { "a text", function(text) return text end },
  integer = { "an integer", function(text) return text:find("^-?%d+$") and math.tointeger(tonumber(text)) or nil end },
  number = { "a number", finite },
  boolean = { "true or false", function(text) return words[text:lower()] end },
  choice = { "a text", function(text) return text end },
  version = { "a version such as 1.2.0", function(text) return is_version(text) and text:gsub("^v", "") or nil end },
  ref = { "a branch or a tag", function(text) return is_ref(text) and text or nil end },
}

local function is_choice(parameter, value)
  if not parameter.choices then return true end
  for _, choice in ipairs(parameter.choices) do
    if choice == value then return true end
  end
  return false
end

-- One text to one value; nil and what was expected when it is not one.
local function convert(parameter, text)
  local kind = kinds[parameter.type == "list" and "string" or parameter.type]
  local value = kind[2](text)
  if value == nil then return nil, kind[1] end
  if is_choice(parameter, value) then return value end
  local near = execution.nearest(text, parameter.choices)
  return nil, "one of " .. table.concat(parameter.choices, ", ") .. (near and ("; did you mean %s?"):format(near) or "")
end

-- "a,b" and a repeated option both make a list.
local function split(given)
  local texts = {}
  for _, text in ipairs(type(given) == "table" and given or { given }) do
    for item in tostring(text):gmatch("[^,]+") do texts[#texts + 1] = item:match("^%s*(.-)%s*$") end
  end
  return texts
end

local function read_list(parameter, given)
  local values = split(given)
  for i, text in ipairs(values) do
    local value, expected = convert(parameter, text)
    if value == nil then return nil, ("%s: found '%s', expected %s"):format(parameter.name, text, expected) end
    values[i] = value
  end
  return values
end

local function read(parameter, given)
  if parameter.type == "list" and given ~= true then return read_list(parameter, given) end
  if type(given) == "table" then given = given[#given] end
  if type(given) == "boolean" and parameter.type == "boolean" then return given end
  if given == true then return nil, parameter.name .. ": a value is missing" end
  local value, expected = convert(parameter, tostring(given))
  if value ~= nil then return value end
  return nil, ("%s: found '%s', expected %s"):format(parameter.name, given, expected)
end

-- ---- What is declared.

local function check(name, parameter)
  local function fault(what)
    errors.raise("recipe", ("the parameter '%s' %s"):format(tostring(name), what),
      'Such as version = { type = "version", required = true, help = "what to ship" }.')
  end
  if type(name) ~= "string" or not name:find("^%a[%w_]*$") then fault "needs a name of letters, digits and _" end
  if type(parameter) ~= "table" then fault("is a " .. type(parameter)) end
  local kind = parameter.type or "string"
  if kind ~= "list" and not kinds[kind] then fault("has the unknown type " .. tostring(kind)) end
  if kind == "choice" and type(parameter.choices) ~= "table" then fault "needs `choices`" end
end

---The declared parameters, in the order of their names.
---@param declared table<string, moonsail.Parameter>
---@return moonsail.Parameter[]
function M.list(declared)
  local list = {}
  for name, parameter in pairs(declared) do
    check(name, parameter)
    local copy = { name = name }
    for key, value in pairs(parameter) do copy[key] = value end
    copy.type = copy.type or "string"
    list[#list + 1] = copy
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- ---- What is given.

-- The command line writes dry-run for dry_run.
local function normalize(values)
  local normal = {}
  for name, value in pairs(values) do normal[(name:gsub("-", "_"))] = value end
  return normal
end

local function add_unknown(faults, list, values)
  local known, names = {}, {}
  for i, parameter in ipairs(list) do names[i], known[parameter.name] = parameter.name, true end
  local unknown = {}
  for name in pairs(values) do
    if not known[name] then unknown[#unknown + 1] = name end
  end
  table.sort(unknown)
  for _, name in ipairs(unknown) do
    local near = execution.nearest(name, names)
    faults[#faults + 1] = ("%s: the recipe has no such parameter%s"):format(name,
      near and ("; did you mean %s?"):format(near) or "")
  end
end

---Checks and converts values. Raises `usage` with every fault.
---@param list moonsail.Parameter[] of `list`
---@param values table<string, string|string[]|boolean>
---@return table<string, any>
function M.read(list, values)
  values = normalize(values)
  local result, faults = {}, {}
  for _, parameter in ipairs(list) do
    local given = values[parameter.name]
    if given ~= nil then
      result[parameter.name], faults[#faults + 1] = read(parameter, given)
    elseif parameter.required then
      faults[#faults + 1] = ("%s: is required%s"):format(parameter.name,
        parameter.help and " (" .. parameter.help .. ")" or "")
    else
      result[parameter.name] = parameter.default
    end
  end
  add_unknown(faults, list, values)
  if #faults == 0 then return result end
  errors.raise("usage", #faults == 1 and "a parameter is wrong" or #faults .. " parameters are wrong",
    table.concat(faults, "\n"), { faults = faults, on_command_line = true })
end

---What a recipe gets.
---@param session moonsail.Session
---@return table<string, function>
function M.fields(session)
  return {
    ---Declares the recipe's parameters and returns their values. Raises `usage` with everything that is wrong.
    ---@param declared table<string, moonsail.Parameter>
    ---@return table<string, any>
    parameters = function(declared)
      local list = M.list(declared)
      if session.on_parameters then session.on_parameters(list) end
      return M.read(list, session.parameters)
    end,
  }
end

return M

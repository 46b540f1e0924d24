--- What is left of the command line for a recipe: "--version 1.2 --region eu --region us --dry-run".

local errors = require "moonsail.errors"

local M = {}

local function add(parameters, name, value)
  local before = parameters[name]
  if before == nil then
    parameters[name] = value
  elseif type(before) == "table" then
    before[#before + 1] = value
  else
    parameters[name] = { before, value }
  end
end

---Reads "--name value", "--name=value" and "--name" alone, which is true. A name that is repeated becomes a list.
---@param arguments string[]
---@return table<string, string|boolean|(string|boolean)[]> parameters by name, with "-" in it as "_"
function M.parse(arguments)
  local parameters, place = {}, 1
  while arguments[place] do
    local name, value = arguments[place]:match "^%-%-([%w][%w_-]*)=?(.*)$"
    if not name then
      errors.raise("usage", ("the recipe was given '%s', which is not a parameter's name"):format(arguments[place]),
        "Give parameters as --NAME VALUE.")
    end
    if not arguments[place]:find("=", 1, true) then
      local following = arguments[place + 1]
      local has_value = following and not following:find "^%-%-"
      value = not has_value and true or following
      place = place + (has_value and 1 or 0)
    end
    add(parameters, (name:gsub("-", "_")), value)
    place = place + 1
  end
  return parameters
end

return M

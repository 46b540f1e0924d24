--- Secrets: values that a recipe passes on and does not see.

local effect = require "host.effect"
local errors = require "moonsail.errors"

local M = {}

---@class moonsail.Secret prints as "••••"

local values = setmetatable({}, { __mode = "k" }) -- what each secret hides

local secret_mt = {
  __name = "secret",
  __metatable = "secret",
  __tostring = function() return "••••" end,
}

local function clone(fields)
  local copy = {}
  for name, value in pairs(fields) do copy[name] = value end
  return copy
end

local read = effect.define("secret.read", { write = false }, function(name)
  local value = os.getenv(name)
  if not value then
    errors.raise("usage", ("the secret %s is not set"):format(name), "Set the environment variable of that name.",
      { field = name })
  end
  local secret = setmetatable({}, secret_mt)
  values[secret] = value
  return secret
end)

---The same table, or a copy in which every secret is its value.
---@generic T: table<string, any>?
---@param fields T
---@return T
function M.reveal(fields)
  local copy
  for name, value in pairs(fields or {}) do
    if values[value] then
      copy = copy or clone(fields)
      copy[name] = values[value]
    end
  end
  return copy or fields
end

-- A secret, alone or as the `value` of a variable, becomes an encrypted one.
local function reveal_variable(variable)
  if values[variable] then return { value = values[variable], encrypted = true } end
  if type(variable) ~= "table" or not values[variable.value] then return variable end
  local copy = clone(variable)
  copy.value, copy.encrypted = values[variable.value], true
  return copy
end

---The same variables, or a copy in which every secret has become an encrypted one.
---@param variables table in the short form or the API's
---@return table
function M.reveal_variables(variables)
  local copy
  for name, variable in pairs(variables) do
    local revealed = reveal_variable(variable)
    if revealed ~= variable then
      copy = copy or clone(variables)
      copy[name] = revealed
    end
  end
  return copy or variables
end

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    ---A secret, to be passed on: as a variable of a run, a header of a request, or in a command's environment.
    ---@param name string of an environment variable. Raises `usage` when it is not set.
    ---@return moonsail.Secret
    secret = function(name)
      if type(name) ~= "string" then
        errors.raise("usage", "a secret's name is a " .. type(name), 'Such as sail.secret "NPM_TOKEN".')
      end
      return read(name)
    end,
  }
end

return M

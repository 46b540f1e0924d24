--- Environment variables, as a recipe sees them.

local effect = require "host.effect"
local errors = require "moonsail.errors"

local M = {}

local read = effect.define("environment.read", { write = false }, function(name)
  return os.getenv(name)
end)

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    ---An environment variable.
    ---@param name string
    ---@param default? string when it is not set; default nil
    ---@return string?
    env = function(name, default)
      if type(name) ~= "string" then
        errors.raise("usage", "a variable's name is a " .. type(name), 'Such as sail.env "HOME".')
      end
      local value = read(name)
      if value == nil then return default end
      return value
    end,
  }
end

return M

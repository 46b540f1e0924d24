--- JSON, and errors of a recipe's own.

local errors = require "moonsail.errors"

local M = {}

-- A copy, since what a recipe changes in it must not reach the client.
local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

---What a recipe gets.
---@return table<string, any>
function M.fields()
  return {
    json = copy(require "host.json"),

    ---Raises an error of kind `recipe`.
    ---@param message string what happened
    ---@param hint? string what to do next
    error = function(message, hint)
      errors.raise("recipe", tostring(message), hint)
    end,
  }
end

return M

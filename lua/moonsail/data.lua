--- JSON, and errors of a recipe's own.

local errors = require "moonsail.errors"

local M = {}

---What a recipe gets.
---@return table<string, any>
function M.fields()
  return {
    json = require "host.json",

    ---Raises an error of kind `recipe`.
    ---@param message string what happened
    ---@param hint? string what to do next
    error = function(message, hint)
      errors.raise("recipe", tostring(message), hint)
    end,
  }
end

return M

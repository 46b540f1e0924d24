--- Arguments that a recipe gives to the library: a wrong one is a `usage` error that names the call, and shows it as it
--- is to be written.

local errors = require "moonsail.errors"

local M = {}

---Raises for a wrong argument.
---@param call string how the call is written, such as "sail.sleep(0.5)"
---@param wanted string such as "a number of seconds"
---@param value any what was given
function M.fail(call, wanted, value)
  local shown = type(value) == "number" and tostring(value) or value == nil and "nothing" or "a " .. type(value)
  errors.raise("usage", ("%s takes %s, not %s"):format(call:match "^[%w_.:]+", wanted, shown),
    ("Such as %s."):format(call))
end

---A number of seconds: not negative, and not NaN.
---@param value any
---@param call string
function M.seconds(value, call)
  if type(value) ~= "number" or value ~= value or value < 0 then M.fail(call, "a number of seconds", value) end
end

---@param value any
---@param call string
function M.fn(value, call)
  if type(value) ~= "function" then M.fail(call, "a function", value) end
end

---A list of functions.
---@param value any
---@param call string
function M.fns(value, call)
  if type(value) ~= "table" then M.fail(call, "a list of functions", value) end
  for _, fn in ipairs(value) do
    if type(fn) ~= "function" then M.fail(call, "a list of functions", fn) end
  end
end

return M

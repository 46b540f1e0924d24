--- Tasks, as a recipe sees them.

local errors = require "moonsail.errors"
local task = require "host.task"

local M = {}

local function in_time(seconds, ok, ...)
  if ok then return ... end
  errors.raise("recipe", ("it was not done after %g s"):format(seconds),
    "Give sail.timeout more time, or find out what is slow.", { code = "timeout" })
end

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    all = task.all,
    race = task.race,
    spawn = task.spawn,

    ---Runs `fn(item, index)` for each item, at most `limit` at once. The first error cancels the others and is raised.
    ---@async
    ---@param items any[]
    ---@param options { limit?: integer }|function may be left out
    ---@param fn? fun(item: any, index: integer): any
    ---@return any[] results in the order of `items`
    map = function(items, options, fn)
      if fn == nil then return task.map(items, {}, options) end
      return task.map(items, options, fn)
    end,

    ---Runs `fn(...)` and returns its results. Raises when it is not done in time.
    ---@async
    ---@param seconds number
    ---@param fn function
    ---@return any ...
    timeout = function(seconds, fn, ...)
      return in_time(seconds, task.timeout(seconds, fn, ...))
    end,
  }
end

return M

--- Tasks, as a recipe sees them.

local errors = require "moonsail.errors"
local expect = require "moonsail.expect"
local task = require "host.task"

local M = {}

local MAP = "sail.map(items, { limit = 4 }, function(item) … end)"
local RACE = "sail.race { function() … end, function() … end }"
local TIMEOUT = "sail.timeout(60, function() … end)"

local function in_time(seconds, ok, ...)
  if ok then return ... end
  errors.raise("recipe", ("it was not done after %g s"):format(seconds),
    "Give sail.timeout more time, or find out what is slow.", { code = "timeout" })
end

local function check_map(items, options, fn)
  if type(items) ~= "table" then expect.fail(MAP, "a list", items) end
  if type(options) ~= "table" then expect.fail(MAP, "a table of options", options) end
  local limit = options.limit
  if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
    expect.fail(MAP, "a limit of 1 or more", limit)
  end
  expect.fn(fn, MAP)
end

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    ---Runs all functions at once. The first error cancels the others and is raised.
    ---@async
    ---@param fns function[]
    ---@return any[] results the first one of each, in the order of `fns`
    all = function(fns)
      expect.fns(fns, "sail.all { function() … end, function() … end }")
      return task.all(fns)
    end,

    ---Runs all functions at once, and cancels the others when one is done.
    ---@async
    ---@param fns function[]
    ---@return any result of the first
    ---@return integer index of it
    race = function(fns)
      expect.fns(fns, RACE)
      if #fns == 0 then expect.fail(RACE, "one function or more", nil) end
      return task.race(fns)
    end,

    ---Starts `fn(...)` beside this task, which waits for it at its end at the latest.
    ---@param fn function
    ---@return host.Task
    spawn = function(fn, ...)
      expect.fn(fn, "sail.spawn(function() … end)")
      return task.spawn(fn, ...)
    end,

    ---Runs `fn(item, index)` for each item, at most `limit` at once. The first error cancels the others and is raised.
    ---@async
    ---@param items any[]
    ---@param options { limit?: integer }|function may be left out
    ---@param fn? fun(item: any, index: integer): any
    ---@return any[] results in the order of `items`
    map = function(items, options, fn)
      if fn == nil then options, fn = {}, options end
      check_map(items, options, fn)
      return task.map(items, options, fn)
    end,

    ---Runs `fn(...)` and returns its results. Raises when it is not done in time.
    ---@async
    ---@param seconds number
    ---@param fn function
    ---@return any ...
    timeout = function(seconds, fn, ...)
      expect.seconds(seconds, TIMEOUT)
      expect.fn(fn, TIMEOUT)
      return in_time(seconds, task.timeout(seconds, fn, ...))
    end,
  }
end

return M

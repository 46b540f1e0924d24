--- The clock, as a recipe sees it.

local effect = require "host.effect"
local errors = require "moonsail.errors"
local expect = require "moonsail.expect"
local task = require "host.task"

local M = {}

local now = effect.define("clock.now", { write = false }, task.now)
local sleep = effect.define("clock.sleep", { write = false }, task.sleep)

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    now = now,

    ---Waits.
    ---@async
    ---@param seconds number
    sleep = function(seconds)
      expect.seconds(seconds, "sail.sleep(0.5)")
      sleep(seconds)
    end,

    ---A date in UTC.
    ---@param format? string as of os.date; default "%Y-%m-%dT%H:%M:%SZ"
    ---@param time? number seconds since 1970; default now
    ---@return string
    date = function(format, time)
      if format ~= nil and type(format) ~= "string" then expect.fail('sail.date "%Y-%m-%d"', "a format", format) end
      if time ~= nil and type(time) ~= "number" then expect.fail('sail.date("%Y-%m-%d", 1e9)', "a time", time) end
      local ok, text = pcall(os.date, "!" .. (format or "%Y-%m-%dT%H:%M:%SZ"), math.floor(time or now()))
      if ok then return text --[[@as string]] end
      errors.raise("usage", ("'%s' is not a date format"):format(format), "Such as %Y-%m-%d; see strftime(3).")
    end,
  }
end

return M

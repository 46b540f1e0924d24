--- Schedules: from a date on after each delay, or by a cron expression. Knows when one is due next, not who asks.
local cron = require "moonsail.engine.cron"
local date = require "moonsail.engine.date"
local shape = require "moonsail.engine.shape"

local M = {}

---@class engine.Schedule
---@field start_date? string
---@field delay? integer minutes
---@field cron? string

local instant = shape.reader("an instant in UTC, such as 2016-11-18T12:38:16.000Z", function(check, node, path)
  local text = shape.text(check, node, path)
  local second = text and text:match "^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d)%.?%d*Z$"
  local value = second and date.parse(text)
  if text and not (value and date.format(value):sub(1, #second) == second) then
    check:fault(node, path, "is no instant in UTC; write it as 2016-11-18T12:38:16.000Z")
  end
  return text
end)

local expression = shape.reader("a cron expression of five fields", function(check, node, path)
  local text = shape.text(check, node, path)
  local ok, problem = cron.read(text or "")
  if text and not ok then check:fault(node, path, "is no cron expression: %s", problem) end
  return text
end)

---Keys of a schedule.
M.keys = {
  start_date = instant,
  delay = shape.integer(1, 366 * 24 * 60),
  cron = expression,
  timezone = shape.one_of({ "UTC" }, { ["Etc/UTC"] = "UTC" }),
}

---What no key says alone.
---@param schedule engine.Schedule
---@return string? fault
function M.fault(schedule)
  if schedule.cron and not schedule.delay then return nil end
  if schedule.start_date and schedule.delay and not schedule.cron then return nil end
  return "a schedule has either cron, or start_date and delay"
end

---When a schedule without fault is due next.
---@param schedule engine.Schedule
---@param after number seconds since 1970
---@return number seconds since 1970
function M.next(schedule, after)
  local start = date.parse(schedule.start_date or "")
  if schedule.cron then return cron.read(schedule.cron):next(math.max(after, start and start - 1 or 0)) end
  if after < start then return start end
  local period = schedule.delay * 60
  return start + ((after - start) // period + 1) * period
end

return M

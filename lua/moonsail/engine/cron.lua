--- Cron expressions: five fields in UTC, and when one is due next.
local M = {}

local DAY = 24 * 3600
local MAX_DAYS = 8 * 366 -- from one 29 February over 2100 to the next

local function names(text, first)
  local values = {}
  for name in text:gmatch "%a+" do
    values[name] = first
    first = first + 1
  end
  return values
end

local FIELDS = {
  { name = "minute", least = 0, most = 59, names = {} },
  { name = "hour", least = 0, most = 23, names = {} },
  { name = "day of the month", least = 1, most = 31, names = {} },
  { name = "month", least = 1, most = 12, names = names("jan feb mar apr may jun jul aug sep oct nov dec", 1) },
  { name = "day of the week", least = 0, most = 7, names = names("sun mon tue wed thu fri sat", 0) },
}

local function value_of(field, text)
  local value = field.names[text:lower()] or text:find "^%d+$" and math.tointeger(tonumber(text))
  return value and value >= field.least and value <= field.most and value or nil
end

-- The first and last value of a range; a single value with a step goes on to the end.
local function range_of(field, text, has_step)
  if text == "*" then return field.least, field.most end
  local first, last = text:match "^(%w+)%-(%w+)$"
  if first then return value_of(field, first), value_of(field, last) end
  local value = value_of(field, text)
  return value, has_step and field.most or value
end

local function add_item(set, field, text)
  local range, step = text:match "^([^/]+)/(%d+)$"
  local first, last = range_of(field, range or text, step ~= nil)
  step = step and math.tointeger(tonumber(step)) or 1
  if not first or not last or first > last or step < 1 then return false end
  for value = first, last, step do set[value] = true end
  return true
end

local function read_field(field, text)
  local set = {}
  for item in (text .. ","):gmatch "([^,]*)," do
    if not add_item(set, field, item) then return nil, ("%q is no %s"):format(item, field.name) end
  end
  return set
end

---@class engine.Cron
local Cron = {}
Cron.__index = Cron

local function sets_of(text)
  local sets, texts = {}, {}
  for word in text:gmatch "%S+" do table.insert(texts, word) end
  if #texts ~= #FIELDS then return nil, "wants five fields: minute, hour, day, month, day of the week" end
  for index, field in ipairs(FIELDS) do
    local problem
    sets[index], problem = read_field(field, texts[index])
    if not sets[index] then return nil, problem end
  end
  return sets, texts
end

---Reads an expression.
---@param text string
---@return engine.Cron? cron
---@return string? problem
function M.read(text)
  local sets, texts = sets_of(text)
  if not sets then return nil, texts end
  local weekdays = sets[5]
  weekdays[0] = weekdays[0] or weekdays[7]
  local self = setmetatable({ minutes = sets[1], hours = sets[2], days = sets[3], months = sets[4],
    weekdays = weekdays, any_day = texts[3]:find "^%*" ~= nil, any_weekday = texts[5]:find "^%*" ~= nil }, Cron)
  if not self:next(0) then return nil, "no day is such a one" end
  return self
end

-- When both the day of the month and that of the week are restricted, one of them suffices.
function Cron:has_day(day)
  local at = os.date("!*t", day * DAY)
  if not self.months[at.month] then return false end
  local by_month, by_week = self.days[at.day], self.weekdays[at.wday - 1]
  if self.any_day or self.any_weekday then return by_month and by_week end
  return by_month or by_week
end

-- The first minute of a day that is due, `from` at the earliest.
function Cron:minute(from)
  for minute = from, 24 * 60 - 1 do
    if self.hours[minute // 60] and self.minutes[minute % 60] then return minute end
  end
end

---The first due time after another.
---@param after number seconds since 1970
---@return integer? seconds since 1970; nil when there is none for years
function Cron:next(after)
  local earliest = math.floor(after) // 60 + 1 -- in minutes
  local day, from = earliest // (24 * 60), earliest % (24 * 60)
  for _ = 0, MAX_DAYS do
    local minute = self:has_day(day) and self:minute(from)
    if minute then return day * DAY + minute * 60 end
    day, from = day + 1, 0
  end
end

return M

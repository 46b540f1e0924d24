--- Dates of the API: ISO 8601, UTC.
local M = {}

---@param seconds? number since 1970
---@return string? date with milliseconds, such as 2016-03-29T08:08:20.205Z; nil for nil
function M.format(seconds)
  if not seconds then return nil end
  local whole = math.floor(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%03dZ"):format(math.floor((seconds - whole) * 1000))
end

---@param seconds integer since 1970
---@return string date without a fraction, as dates of commits have it
function M.format_whole(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds)
end

-- Days since 1970, with the year counted from March so that the leap day is its last.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
end

---@param text string a valid date, as host.execution lets it through
---@return number? seconds since 1970
function M.parse(text)
  local year, month, day, hour, minute, rest = text:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+)(.*)$"
  if not year then return nil end
  local second, zone = rest:match "^:(%d+%.?%d*)(.*)$"
  local sign, hours, minutes = (zone or rest):match "^([-+])(%d%d):?(%d%d)$"
  local offset = sign and (tonumber(hours) * 3600 + tonumber(minutes) * 60) * (sign == "-" and -1 or 1) or 0
  local date = days(tonumber(year), tonumber(month), tonumber(day))
  return date * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + (tonumber(second) or 0) - offset
end

---Reads a date that anybody has written: with a time or without, of UTC or another zone.
---@param text string
---@return number? seconds since 1970; nil for what is no date
function M.read(text)
  if text:find "^%d%d%d%d%-%d%d%-%d%d$" then text = text .. "T00:00:00Z" end
  local prefix, rest = text:match "^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d)(.*)$"
  if not prefix or not (rest:find "^%.?%d*Z$" or rest:find "^%.?%d*[-+]%d%d:?%d%d$") then return nil end
  local whole = math.floor(M.parse(prefix .. "Z"))
  return M.format_whole(whole) == prefix .. "Z" and M.parse(text) or nil -- no day 31 of February
end

return M

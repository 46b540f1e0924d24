--- How many requests may be sent, and when. All moonsail processes of a user share one budget for each token: a small
--- file in $XDG_RUNTIME_DIR that says what the server has left them. Writes may use all of it, reads nearly all, polls
--- what remains, spread over the time until it renews. Without that folder each process has a budget of its own.
---
--- Source: the X-Rate-Limit headers in https://buddy.works/docs/api/getting-started/overview; the window and its size
--- are not documented, so only what the answers say counts.

local task = require "host.task"

local M = {}

-- The part of the limit that is left to more urgent requests.
local RESERVED = { write = 0, read = 0.02, poll = 0.1 }
-- Seconds after a renewal, so that what is more urgent goes first, and not all at once.
local DELAY = { write = { 0, 0.05 }, read = { 0.05, 0.2 }, poll = { 0.25, 1 } }
local LONGEST = 2 * 3600 -- seconds; a renewal beyond that is a fault of a clock
local LONGEST_BACKOFF = 60 -- seconds, when the server does not say how long
local LARGEST_SHARE = 64 -- requests that are taken from the file at once
local SHARE_SECONDS = 0.5 -- for which they are: then what is left of them goes back, and what others know is read
local UNKNOWN_SHARE = 16 -- while the server has said nothing

---@alias moonsail.RequestKind "write"|"read"|"poll"

---@class moonsail.Allowance what all processes know; dates are in seconds since 1970
---@field limit number requests in a window
---@field remaining number of them, as far as they know
---@field reset number when it renews; nothing is known beyond that
---@field blocked number until when the server wants none
---@field slot number when the next poll may go, while they are spread

---@class moonsail.Budget
---@field share integer requests that this process may still send without asking the file
---@field expires number until when, in seconds since 1970
---@field lent number the renewal of the window that they are of
local Budget = {}
Budget.__index = Budget

local function new_allowance()
  return { limit = 0, remaining = 0, reset = 0, blocked = 0, slot = 0 }
end

local FORMAT = "moonsail 1 %.0f %.0f %.3f %.3f %.3f\n"
local NUMBER = "(%d+%.?%d*)"
local PATTERN = "^moonsail 1 " .. (NUMBER .. " "):rep(4) .. NUMBER .. "\n$"

-- A file that cannot be read, and dates that a wrong clock has left, count as nothing known.
local function parse(text, now)
  local limit, remaining, reset, blocked, slot = text:match(PATTERN)
  if not limit then return new_allowance() end
  local function date(value)
    value = tonumber(value)
    return value <= now + LONGEST and value or 0
  end
  return { limit = tonumber(limit), remaining = tonumber(remaining), reset = date(reset), blocked = date(blocked),
    slot = date(slot) }
end

-- Runs `change` on what all processes know. When the file cannot be had, on what this one knows.
function Budget:update(change)
  local now = task.now()
  if self.file then
    local ok = self.file:update(function(text)
      self.known = parse(text, now)
      change(self.known, now)
      local known = self.known
      return FORMAT:format(known.limit, known.remaining, known.reset, known.blocked, known.slot)
    end)
    if ok then return end
  end
  change(self.known, now)
end

-- ---- What answers say.

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
  Dec = 12 }

-- Seconds since 1970 of an HTTP date.
local function http_date(text)
  local day, month, year, hour, minute, second = (text or ""):match "(%d+) (%a+) (%d+) (%d+):(%d+):(%d+) GMT"
  if not months[month] then return nil end
  local y, m = tonumber(year), months[month]
  if m < 3 then y, m = y - 1, m + 12 end
  local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * (m - 3) + 2) // 5 + tonumber(day) - 719469
  return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end

local DAY = 24 * 3600

-- How far the server's clock is ahead of ours. More than a day is no clock to go by.
local function skew(headers, now)
  local date = http_date(headers.date)
  local ahead = date and date - now or 0
  return math.abs(ahead) > 2 and math.abs(ahead) < DAY and ahead or 0
end

-- What an answer says of the window: the numbers of its headers, the renewal by our clock. Nil when it says nothing.
local function window_of(headers, now, default)
  local remaining = tonumber(headers["x-rate-limit-remaining"]) or default
  local reset = tonumber(headers["x-rate-limit-reset"])
  if not remaining or not reset then return nil end
  reset = reset - skew(headers, now)
  if reset <= now or reset > now + LONGEST then return nil end
  -- The samples of the documentation have a limit of 1 with 999 remaining.
  local limit = tonumber(headers["x-rate-limit-limit"]) or 0
  return { remaining = remaining, reset = reset, limit = math.max(limit, remaining) }
end

-- Answers overtake each other, and requests of others are on their way: within a window the least number counts.
local function merge(known, window, now)
  if known.reset <= now or window.reset > known.reset + 1 then
    known.limit, known.remaining, known.reset, known.slot = window.limit, window.remaining, window.reset, 0
  elseif window.reset >= known.reset - 1 then
    known.limit = math.max(known.limit, window.limit)
    known.remaining = math.min(known.remaining, window.remaining)
  end
end

---Reads what an answer says of the limit.
---@param response host.http.Response
function Budget:learn(response)
  self.strikes = 0
  local window = window_of(response.headers, task.now())
  if not window then return end
  self.window = window
  -- With plenty left it is enough to tell the others when the share is used up.
  if window.remaining < window.limit / 2 then self.expires = 0 end
end

---The server has refused a request because there were too many: none goes until it says, or ever later.
---@param response host.http.Response
function Budget:refused(response)
  local now = task.now()
  local window = window_of(response.headers, now, 0)
  local hint = tonumber(response.headers["retry-after"]) or window and window.reset - now
  self.expires = 0
  self:update(function(known)
    if window then merge(known, window, now) end
    if known.blocked > now and not hint then return end -- another one has said so just now
    self.strikes = self.strikes + 1
    local pause = self.backoff * 2 ^ math.min(self.strikes, 10) * (0.75 + math.random() / 2)
    known.blocked = math.max(known.blocked, now + math.min(hint or math.min(pause, LONGEST_BACKOFF), LONGEST))
  end)
end

-- ---- What may be sent.

local function after(kind)
  local least, most = table.unpack(DELAY[kind])
  return least + math.random() * (most - least)
end

-- Polls that are spread go one after the other, at the times that all processes give out from one row.
local function take_slot(known, free, now)
  local slot = math.max(now, known.slot)
  if slot >= known.reset then return known.reset - now + after "poll", 0 end
  known.slot = slot + (known.reset - slot) / free
  known.remaining = known.remaining - 1
  return slot - now, 1
end

-- Seconds to wait, and how many requests may be sent then: none means to ask again.
local function allow(known, kind, now)
  if known.blocked > now then return known.blocked - now + after(kind), 0 end
  if known.reset <= now then return 0, UNKNOWN_SHARE end
  local free = known.remaining - math.floor(known.limit * RESERVED[kind])
  if free < 1 then return known.reset - now + after(kind), 0 end
  if kind == "poll" and known.remaining < known.limit / 2 then return take_slot(known, free, now) end
  local share = math.min(LARGEST_SHARE, math.max(1, known.remaining // 100))
  known.remaining = known.remaining - share
  return 0, share
end

-- Gives back what has not been sent, and asks anew.
function Budget:ask(kind)
  local wait, share
  self:update(function(known, now)
    if math.abs(known.reset - self.lent) < 0.01 then known.remaining = known.remaining + self.share end
    if self.window then merge(known, self.window, now) end
    self.window, self.share = nil, 0
    wait, share = allow(known, kind, now)
    self.lent = known.reset
  end)
  return wait, share
end

local TOLD = 5 -- seconds of waiting that are worth a word

function Budget:tell(wait)
  if wait < TOLD then return end
  self.note(("the API's rate limit is nearly used up; waiting %.0f s"):format(wait))
end

---Waits until a request may be sent.
---@async
---@param kind moonsail.RequestKind
function Budget:take(kind)
  if self.share > 0 and task.now() < self.expires then
    self.share = self.share - 1
    return
  end
  while true do
    local wait, share = self:ask(kind)
    if wait == 0 then
      self.share, self.expires = share - 1, task.now() + SHARE_SECONDS
      return
    end
    self:tell(wait)
    task.sleep(wait)
    if share > 0 and self.known.blocked <= task.now() then return end -- its slot, and not refused meanwhile
  end
end

-- The file's name tells nothing of the token.
local function open_file(folder, token)
  if not folder or not folder:find "^/" then return nil end
  local digest = require("host.secret").digest("moonsail budget\0" .. token)
  return digest and require("host.lockfile").open(("%s/moonsail-budget-%s"):format(folder, digest:sub(1, 24))) or nil
end

---@param options { token: string, folder?: string, backoff: number, note: fun(message: string) }
---@return moonsail.Budget
function M.new(options)
  return setmetatable({ file = open_file(options.folder, options.token), known = new_allowance(), share = 0,
    expires = 0, lent = 0, strikes = 0, backoff = options.backoff, note = options.note }, Budget)
end

return M

--- All that wait at one pipeline share one poller, which sends one request a look.
---
--- The poller is no task of its own: one of those who wait drives it and wakes the others. Who leaves, for whatever
--- reason, passes it on. So nothing polls when nobody waits, and a cancelled waiter cancels nobody else's.

local details = require "moonsail.client.follow.details"
local doubt = require "moonsail.client.follow.doubt"
local errors = require "moonsail.errors"
local followed = require "moonsail.client.follow.followed"
local sleeper = require "moonsail.client.follow.sleeper"
local sweep = require "moonsail.client.follow.sweep"
local task = require "host.task"
local url = require "moonsail.client.url"

local M = {}

local SINGLE_LOOKS = 8 -- executions that are asked for one by one because the list lacks them, at most, in one look
local LONGEST_TROUBLE = 30 -- seconds between two tries
local PATIENCE, GROWTH = 20, 1.2 -- looks without a change until the interval grows, and by how much with each more
local SHARE = 0.05 -- of the time in which nothing has changed, that a change may be told late once that is minutes
local CERTAIN = 60 -- shortest intervals for which a refusal must last that may be a proxy's

---@class moonsail.Poller
---@field following moonsail.Following
---@field session moonsail.Session
---@field path string of the pipeline's executions
---@field followed table<integer, moonsail.Followed> those that are not over, by id
---@field count integer of them
---@field driven boolean whether somebody drives it
---@field wake host.Event somebody has joined
---@field sweep moonsail.Sweep
---@field sleeper moonsail.Sleeper
---@field looks integer that there have been
---@field due number when the next one is
---@field first number shortest interval
---@field longest number longest interval, unless nothing has changed for minutes
---@field patient number longest interval then
---@field interval number seconds until the next look
---@field changed boolean whether this look has shown a change
---@field unchanged integer looks since one has
---@field since number when one has
---@field trouble? number seconds until the next try, while reading fails
---@field refused? moonsail.Doubt while the API refuses, or a proxy does
local Poller = {}
Poller.__index = Poller

---@param following moonsail.Following
---@param path string
---@return moonsail.Poller
function M.new(following, path)
  local self = setmetatable({
    following = following, session = following.session, path = path, followed = {}, count = 0, driven = false,
    wake = task.event(), sleeper = sleeper.new(), looks = 0, due = task.monotonic(),
    first = following.shortest, longest = following.longest, patient = following.patient, interval = following.shortest,
    changed = false, unchanged = 0, since = task.monotonic(),
  }, Poller)
  self.sweep = sweep.new(self)
  return self
end

---@param execution moonsail.Execution
---@return string
function Poller:path_of(execution)
  return self.path .. url.path(execution.id)
end

---@async
---@param path string
---@return table
function Poller:get(path)
  return self.session:transport().get(path, { tries = 1, kind = "poll" })
end

---The longest time between two looks that is still looking.
---@return number seconds
function Poller:longest_gap()
  return 2 * math.max(self.longest, self.interval)
end

-- ---- Who is followed.

---Follows an execution for one more waiter.
---@param execution moonsail.Execution
---@return moonsail.Followed
function Poller:join(execution)
  local entry = self.followed[execution.id]
  if not entry then
    entry = followed.new(self, execution)
    self.followed[execution.id] = entry
    self.count = self.count + 1
  end
  entry.waiters = entry.waiters + 1
  self.interval, self.unchanged, self.since = self.first, 0, task.monotonic()
  self.wake:notify()
  return entry
end

---Follows an execution no more.
---@param entry moonsail.Followed
function Poller:drop(entry)
  self.followed[entry.execution.id] = nil
  self.count = self.count - 1
  if self.count > 0 then return end
  self:recover()
  self.following.pollers[self.path] = nil
end

local function pass_on(self)
  for _, entry in pairs(self.followed) do
    if entry.idle > 0 then return entry.event:notify() end
  end
end

---A waiter leaves.
---@param entry moonsail.Followed
function Poller:leave(entry)
  entry.waiters = entry.waiters - 1
  if entry.waiters == 0 and not entry.over then
    entry.over = true
    self:drop(entry)
  end
  if not self.driven then pass_on(self) end
end

-- ---- Looking.

-- At one that the list does not hold, or that is alone.
local function look_at(self, entry)
  if entry.over then return end
  local ok, err = pcall(entry.look, entry)
  if ok then return end
  if not errors.is(err) or err.transient or err.status ~= 404 then error(err, 0) end
  entry:miss(function() return self.sweep:is_without(entry) end)
end

local function look_at_list(self)
  local begun = task.monotonic()
  local unseen = self.sweep:read()
  local is_slow = task.monotonic() - begun > self.first -- such as when the rate limit is nearly used up
  if unseen then
    table.move(unseen, 1, SINGLE_LOOKS, 1, unseen)
    for place = #unseen, SINGLE_LOOKS + 1, -1 do unseen[place] = nil end
    task.map(unseen, { limit = SINGLE_LOOKS }, function(entry) look_at(self, entry) end)
    self.sweep:begin()
  end
  details.look(self, is_slow and 1 or details.MOST)
end

-- One alone is asked for by itself, and so are few that stand far down in the list: by turns.
local function single(self)
  if self.count > 1 and self.count >= self.sweep:pages() then return nil end
  local chosen
  for _, entry in pairs(self.followed) do
    if not chosen or entry.detailed < chosen.detailed then chosen = entry end
  end
  return chosen
end

local function look(self)
  self.looks = self.looks + 1
  local entry = single(self)
  if not entry then return look_at_list(self) end
  entry.detailed = self.looks
  look_at(self, entry)
  if not entry.over then details.read_logs(entry) end
end

-- ---- Trouble. Reading may fail for any time; only what the API itself refuses ends the waiting.

---Reading works again.
function Poller:recover()
  if self.trouble then self.following:recover() end
  self.trouble = nil
end

local function finish_all(self, make)
  for _, entry in pairs(self.followed) do entry:finish(make()) end
end

-- What ends it for all; nil when it may pass.
local function verdict_of(self, err)
  if err.transient then return nil end
  local outcome
  if err.status == 401 or err.status == 403 then
    outcome = function() return { err = err } end
    if not err.foreign then return outcome end
  elseif err.status == 404 then
    outcome = function() return { vanished = true } end
  else
    return nil
  end
  self.refused = self.refused or doubt.new()
  local limit = self.session.timing.refused or CERTAIN * self.first
  return self.refused:seen(limit, 2 * LONGEST_TROUBLE) and outcome or nil
end

local function suffer(self, err)
  if not errors.is(err) then error(err, 0) end
  if err.status == 400 and self.sweep:shrink() then return end
  local outcome = verdict_of(self, err)
  if outcome then return finish_all(self, outcome) end
  if not self.trouble then self.following:suffer(err) end
  self.trouble = math.min((self.trouble or self.first) * 2, self.session.timing.trouble_longest or LONGEST_TROUBLE)
end

local function reads_logs(self)
  for _, entry in pairs(self.followed) do
    if entry.tails then return true end
  end
  return false
end

local function longest_now(self)
  local most = math.min(SHARE * (task.monotonic() - self.since), self.patient)
  return most > self.longest and not reads_logs(self) and most or self.longest
end

-- The more often nothing has changed, the longer the time until the next look.
local function adapt(self)
  self.unchanged = self.changed and 0 or self.unchanged + 1
  if self.unchanged == 0 then
    self.interval, self.since = self.first, task.monotonic()
  elseif self.unchanged > PATIENCE then
    self.interval = math.min(self.interval * GROWTH, longest_now(self))
  end
end

local function try_to_look(self)
  local begun = task.monotonic()
  self.changed = false
  local ok, done = pcall(self.sleeper.awake, self.sleeper, look, self)
  if ok and not done then -- the machine was asleep; what was under way is lost
    self.due = task.monotonic()
    return
  end
  if ok then
    self:recover()
    self.refused = nil
    adapt(self)
  else
    suffer(self, done)
  end
  local pause = self.trouble and self.trouble * (0.75 + math.random() / 2) or self.interval
  self.due = math.max(begun + pause, task.monotonic() + pause / 2)
end

-- ---- Driving.

-- Until the next look is due, in steps: what the machine sleeps through counts. Others who join make it due soon, but
-- not once for each.
local function rest(self)
  local left = self.due - task.monotonic()
  while left > 1e-6 do -- less than the clock can tell apart
    if self.wake:wait(math.min(left, sleeper.STEP)) and not self.trouble then
      self.due = math.min(self.due, task.monotonic() + self.first)
    end
    if self.sleeper:has_slept() then self.due, self.trouble = 0, self.trouble and self.first end
    left = self.due - task.monotonic()
  end
  self.following.pace.looks:take()
end

local driving_mt = {
  __close = function(driving)
    driving.poller.driven = false
    pass_on(driving.poller)
  end,
}

local function is_enough(entry, tail)
  return entry.over or tail ~= nil and tail:has_news()
end

---Looks again and again, for all, until one is over or there is something to deliver to its waiter.
---@async
---@param entry moonsail.Followed
---@param tail? moonsail.Tail
function Poller:drive(entry, tail)
  self.driven = true
  local _ <close> = setmetatable({ poller = self }, driving_mt)
  while not is_enough(entry, tail) do
    rest(self)
    if not is_enough(entry, tail) then try_to_look(self) end
  end
end

return M

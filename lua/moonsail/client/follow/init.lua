--- Waiting for executions to end. For a read everything but an authenticated refusal is transient: only the server's
--- own verdict ends the waiting, or the user's deadline. However many are followed, the rate of requests is the same.

local ending = require "moonsail.client.follow.ending"
local pace = require "moonsail.client.follow.pace"
local pollers = require "moonsail.client.follow.poller"
local private = require "moonsail.client.private"
local status = require "moonsail.client.status"
local tails = require "moonsail.client.follow.tail"
local task = require "host.task"
local verdict = require "moonsail.client.verdict"

local M = {}

local PATIENT = 15 -- seconds between two looks, at most
local WORTH_TELLING = 10 -- seconds of trouble after which its end is told
local HEAP = 125 -- percent of what is in use, at which garbage is collected

-- ---- What all that wait in one session share.

---@class moonsail.Following
---@field session moonsail.Session
---@field pollers table<string, moonsail.Poller> by the path of their list
---@field tails table<string, table<any, moonsail.Tail>> by the path of the execution, and by who is told
---@field pace moonsail.Pace
---@field shortest number seconds between two looks at a pipeline, at first
---@field longest number the same, while nothing changes
---@field patient number the same, while nothing has changed for minutes
---@field failing integer pollers that cannot read
---@field since? number since when
local Following = {}
Following.__index = Following

local function following_of(session)
  if not session.following then
    collectgarbage("incremental", HEAP) -- who waits lives long, and every look leaves a page of garbage
    local timing = session.timing
    local shortest = timing.poll or session:transport().endpoint.loopback and 0.2 or 1
    local longest = timing.poll_longest or 5 * shortest
    session.following = session.following or setmetatable({
      session = session, pollers = {}, tails = {}, pace = pace.new(shortest), failing = 0, shortest = shortest,
      longest = longest, patient = timing.poll_longest or math.max(longest, PATIENT),
    }, Following)
  end
  return session.following
end

---A poller cannot read. Told once, however many there are.
---@param err moonsail.Error
function Following:suffer(err)
  self.failing = self.failing + 1
  if self.failing > 1 then return end
  self.since = task.monotonic()
  self.session:report("note", err.message .. "; trying again")
end

---It can again.
function Following:recover()
  self.failing = self.failing - 1
  local seconds = task.monotonic() - self.since
  if self.failing > 0 or seconds < WORTH_TELLING then return end
  self.session:report("note", ("the API answers again, after %.0f s"):format(seconds))
end

function Following:poller_of(execution)
  local path = private[execution.pipeline].path() .. "/executions"
  local poller = self.pollers[path]
  if not poller then
    poller = pollers.new(self, path)
    self.pollers[path] = poller
  end
  return poller
end

-- What has been told stays told, also when somebody waits again.
function Following:tail_of(poller, execution, sink)
  local path = poller:path_of(execution)
  local known = self.tails[path] or {}
  self.tails[path] = known
  if not known[sink] then
    local quiet = 2 * self.shortest
    known[sink] = type(sink) == "function" and tails.calling(path, quiet, sink)
      or tails.telling(path, quiet, function(action, lines) self.session:report("lines", execution, action, lines) end)
  end
  return known[sink]
end

-- ---- A waiter.

---@class moonsail.Waiter
---@field entry moonsail.Followed
---@field tail? moonsail.Tail
---@field idle boolean
local waiter_mt = {}

function waiter_mt.__close(self)
  local entry, tail = self.entry, self.tail
  if self.idle then entry.idle = entry.idle - 1 end
  if tail then entry:stop_listening(tail) end
  entry.poller:leave(entry)
end

local function join(entry, tail)
  local self = { entry = entry, idle = false }
  if tail then
    self.tail = tail
    entry:listen(tail)
  end
  return setmetatable(self, waiter_mt)
end

-- Of these there may be ten thousand at once. `found` gets the entry at once, for when the time is over.
local function follow(poller, execution, tail, found)
  local entry = poller:join(execution)
  local waiter <close> = join(entry, tail)
  if found then found.entry = entry end
  while true do
    if tail then tail:deliver() end
    if entry.over then break end
    if poller.driven then
      waiter.idle, entry.idle = true, entry.idle + 1
      entry.event:wait()
      waiter.idle, entry.idle = false, entry.idle - 1
    else
      poller:drive(entry, tail)
    end
  end
  if tail and status.terminal[entry.outcome.status] then ending.drain(entry, tail) end
  ending.learn_actions(entry)
  return entry
end

local function follow_for(seconds, poller, execution, tail)
  local found = {}
  task.timeout(seconds, follow, poller, execution, tail, found)
  return found.entry
end

---Waits until an execution has ended, however long that takes, or until the time is over.
---@async
---@param session moonsail.Session
---@param execution moonsail.Execution
---@param options { timeout?: number, logs?: boolean|function } see moonsail.Execution:wait
---@return moonsail.Outcome
function M.wait(session, execution, options)
  local following = following_of(session)
  local poller = following:poller_of(execution)
  local tail = options.logs and following:tail_of(poller, execution, options.logs) or nil
  local seconds = options.timeout
  local entry
  if seconds then
    entry = follow_for(seconds, poller, execution, tail)
  else
    entry = follow(poller, execution, tail)
  end
  local outcome = entry and entry.outcome
  if not outcome then
    local shown = entry and entry.execution or execution
    return { status = shown.last_status, timed_out = true, seconds = seconds }
  end
  if not entry.told then
    entry.told = true
    session:report("finished", entry.execution, outcome.actions, verdict.name(outcome))
  end
  local own = {}
  for name, value in pairs(outcome) do own[name] = value end
  return own
end

return M

--- Waiting for executions to end. All that wait at one pipeline share one poller, which sends one request a look.
---
--- The poller is no task of its own: one of those who wait drives it and wakes the others. Who leaves, for whatever
--- reason, passes it on. So nothing polls when nobody waits, and a cancelled waiter cancels nobody else's.

local errors = require "moonsail.errors"
local executions = require "moonsail.client.execution"
local private = require "moonsail.client.private"
local task = require "host.task"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

local SINGLE_LOOKS = 8 -- executions that are asked for one by one, at most, in one look
local SMALL_PAGE, LARGE_PAGE = 100, 1000

local waiting = {
  INITIAL = true, ENQUEUED = true, INPROGRESS = true, TERMINATING = true, WAITING_FOR_APPLY = true,
  WAITING_FOR_VARIABLES = true, WAITING_FOR_SETTABLE_VARIABLES = true, WAITING_FOR_VT_SESSION = true,
}

-- ---- An entry: one execution that is followed. There may be ten thousand, so it is small.

---@class moonsail.Followed
---@field execution moonsail.Execution
---@field poller moonsail.Poller
---@field waiters integer
---@field event host.Event when it is over, or when somebody is to drive
---@field sweep integer the last sweep through the list that has met it
---@field over? boolean whether nothing is to be learned of it any more
---@field err? moonsail.Error why it is over, unless the execution has ended
---@field actions? moonsail.ActionExecution[] at its end, when known
---@field seen? string the actions as last reported
---@field unknown_since? number since when it has had a status that we do not know
---@field told? boolean whether its end has been reported

---@class moonsail.Poller
---@field session moonsail.Session
---@field path string of the pipeline's executions
---@field followed table<integer, moonsail.Followed> those that are not over, by id
---@field count integer of them
---@field driven boolean whether somebody drives it
---@field wake host.Event somebody has joined
---@field page integer of the list, to be read next
---@field per_page integer in this sweep
---@field largest integer page that is asked for
---@field sweep integer
---@field first number shortest interval
---@field interval number seconds until the next look
---@field longest number longest interval
---@field changed boolean whether this look has shown a change
---@field trouble? number seconds until the next try, while reading fails
local Poller = {}
Poller.__index = Poller

local function pass_on(poller)
  local _, heir = next(poller.followed)
  if heir then heir.event:notify() end
end

local Followed_mt = {}

function Followed_mt.__close(entry)
  local poller = entry.poller
  local id = entry.execution.id
  entry.waiters = entry.waiters - 1
  if entry.waiters == 0 and not entry.over then
    entry.over = true
    poller:drop(id)
  end
  if not poller.driven then pass_on(poller) end
end

local function new_poller(session, path)
  local timing = session.timing
  local first = timing.poll or session:transport().endpoint.loopback and 0.2 or 1
  return setmetatable({
    session = session, path = path, followed = {}, count = 0, driven = false, wake = task.event(),
    page = 1, per_page = SMALL_PAGE, largest = LARGE_PAGE, sweep = 1,
    first = first, interval = first, longest = timing.poll_longest or 5 * first,
  }, Poller)
end

function Poller:drop(id)
  self.followed[id] = nil
  self.count = self.count - 1
  if self.count == 0 then self.session.pollers[self.path] = nil end
end

function Poller:join(execution)
  local entry = self.followed[execution.id]
  if not entry then
    entry = setmetatable({
      execution = execution, poller = self, waiters = 0, event = task.event(), sweep = self.sweep,
    }, Followed_mt)
    self.followed[execution.id] = entry
    self.count = self.count + 1
  end
  entry.waiters = entry.waiters + 1
  self.interval = self.first
  self.wake:notify()
  return entry
end

-- ---- What a look shows.

-- The entry is over: its execution has ended, or there is an error.
function Poller:finish(entry, err)
  entry.over, entry.err = true, err
  self.changed = true
  self:drop(entry.execution.id)
  entry.event:notify()
end

local function vanished(execution)
  return errors.new("execution", ("%s has vanished: the API does not know it any more"):format(execution),
    "Look whether its pipeline was deleted" .. (execution.url and ": " .. execution.url or "."),
    { execution = execution, status = 404, url = execution.url })
end

local function stuck(execution, seconds)
  return errors.new("execution",
    ("%s has the unknown status %s since more than %g s"):format(execution, execution.last_status, seconds),
    "Look at its page" .. (execution.url and ": " .. execution.url or "."),
    { execution = execution, status = execution.last_status, url = execution.url })
end

function Poller:check_unknown(entry, status, is_new)
  if is_new then entry.unknown_since = nil end
  if waiting[status] then return end
  if not entry.unknown_since then
    entry.unknown_since = task.monotonic()
    self.session:report("note", ("%s has the status %s, which moonsail does not know; waiting on"):format(
      entry.execution, status))
  end
  local limit = self.session.timing.unknown or 600
  if task.monotonic() - entry.unknown_since > limit then self:finish(entry, stuck(entry.execution, limit)) end
end

-- One string for all that a reporter shows of the actions, to see changes by.
local function signature(actions)
  local parts = {}
  for i, action in ipairs(actions) do parts[i] = action.status .. " " .. action.progress end
  return table.concat(parts, ",")
end

-- `answer` is the short view of a list, or the full one.
function Poller:show(entry, answer)
  local execution = entry.execution
  local status = view.field(answer, "status") or "INITIAL"
  local actions = view.actions(answer)
  local seen = actions and signature(actions) or entry.seen
  local is_new = status ~= execution.last_status
  local is_over = executions.terminal[status]
  execution.last_status = status
  if is_new or seen ~= entry.seen then
    entry.seen, self.changed = seen, true
    if not is_over then self.session:report("changed", execution, actions) end
  end
  if not is_over then return self:check_unknown(entry, status, is_new) end
  execution.start_date, execution.finish_date = view.field(answer, "start_date"), view.field(answer, "finish_date")
  entry.actions = actions
  self:finish(entry)
end

-- ---- Looking.

function Poller:get(path)
  return self.session:transport().get(path, 1)
end

-- At one execution, in full.
function Poller:look_at(entry)
  if entry.over then return end
  local ok, answer = pcall(self.get, self, self.path .. url.path(entry.execution.id))
  if entry.over then return end -- its last waiter has left meanwhile
  entry.sweep = self.sweep
  if ok then return self:show(entry, answer) end
  if not errors.is(answer) or answer.status ~= 404 then error(answer, 0) end
  self:finish(entry, vanished(entry.execution))
end

-- Those that this sweep has not met; the longest missing first.
function Poller:unseen()
  local entries = {}
  for _, entry in pairs(self.followed) do
    if entry.sweep < self.sweep then entries[#entries + 1] = entry end
  end
  table.sort(entries, function(a, b)
    if a.sweep ~= b.sweep then return a.sweep < b.sweep end
    return a.execution.id < b.execution.id
  end)
  return entries
end

-- Those whose actions somebody watches: the oldest that run.
function Poller:watched()
  local entries = {}
  if not self.session:reports "changed" then return entries end
  for _, entry in pairs(self.followed) do
    local status = entry.execution.last_status
    if status ~= "ENQUEUED" and status ~= "INITIAL" then entries[#entries + 1] = entry end
  end
  table.sort(entries, function(a, b) return a.execution.id < b.execution.id end)
  return entries
end

function Poller:look_at_some(entries)
  local some = table.move(entries, 1, math.min(#entries, SINGLE_LOOKS), 1, {})
  task.map(some, { limit = SINGLE_LOOKS }, function(entry) self:look_at(entry) end)
end

function Poller:begin_sweep()
  self.sweep, self.page = self.sweep + 1, 1
  self.per_page = self.count > SMALL_PAGE and self.largest or SMALL_PAGE
end

-- The list goes from the newest to the oldest, so what is missing and newer than a page's last is not in it.
local function is_swept(unseen, entries, answer, page)
  local pages = math.tointeger(answer.total_page_count)
  if #unseen == 0 or #entries == 0 or pages and page >= pages then return true end
  local lowest = math.maxinteger
  for _, entry in ipairs(unseen) do lowest = math.min(lowest, entry.execution.id) end
  return (view.field(entries[#entries], "id") or 0) <= lowest
end

-- One page of the list. Returns what the sweep has not met, once it is at its end.
function Poller:read_page()
  local answer = self:get(("%s?page=%d&per_page=%d"):format(self.path, self.page, self.per_page))
  local entries = view.list(answer, "executions")
  for _, short in ipairs(entries) do
    local entry = self.followed[view.field(short, "id")]
    if entry then
      entry.sweep = self.sweep
      self:show(entry, short)
    end
  end
  local unseen = self:unseen()
  return is_swept(unseen, entries, answer, self.page) and unseen or nil
end

-- At the list, a page a look.
function Poller:look_at_list()
  local unseen = self:read_page()
  -- A large page has become a megabyte of garbage, and every pipeline has its own.
  if self.per_page > SMALL_PAGE then collectgarbage "step" end
  if unseen then
    self:look_at_some(unseen)
    self:begin_sweep()
  else
    self.page = self.page + 1
  end
end

function Poller:look()
  if self.count == 1 then
    local _, only = next(self.followed)
    return self:look_at(only)
  end
  self:look_at_list()
  self:look_at_some(self:watched())
end

-- ---- Trouble. Reading may fail for a while; only what will not pass ends the waiting.

function Poller:fail_all(make)
  for _, entry in pairs(self.followed) do self:finish(entry, make(entry)) end
end

function Poller:suffer(err)
  if not errors.is(err) then error(err, 0) end
  if err.status == 400 and self.per_page > SMALL_PAGE then
    self.largest, self.per_page, self.page = SMALL_PAGE, SMALL_PAGE, 1
    return
  end
  if not err.transient and err.status == 404 then
    return self:fail_all(function(entry) return vanished(entry.execution) end)
  end
  if not err.transient and (err.status == 401 or err.status == 403) then
    return self:fail_all(function() return err end)
  end
  if not self.trouble then self.session:report("note", err.message .. "; trying again") end
  local longest = self.session.timing.trouble_longest or 30
  local wanted = err.reset and err.reset - task.now() or 0
  self.trouble = math.min(math.max((self.trouble or self.first) * 2, wanted), longest)
end

function Poller:try_to_look()
  self.changed = false
  local ok, err = pcall(self.look, self)
  if not ok then return self:suffer(err) end
  self.trouble = nil
  self.interval = self.changed and self.first or math.min(self.interval * 1.2, self.longest)
end

-- ---- Driving.

local driving_mt = {
  __close = function(self)
    self.poller.driven = false
    pass_on(self.poller)
  end,
}

function Poller:rest()
  if self.trouble then return task.sleep(self.trouble * (0.75 + math.random() / 2)) end
  -- Others have joined: look soon, but not once for each.
  if self.wake:wait(self.interval) then task.sleep(self.first) end
end

function Poller:drive(entry)
  self.driven = true
  local _ <close> = setmetatable({ poller = self }, driving_mt)
  while true do
    self:try_to_look()
    if entry.over then return end
    self:rest()
  end
end

-- The actions, where somebody is to see them: of a failure, and of what a reporter watched.
local function complete(poller, entry)
  local wanted = entry.execution.last_status ~= "SUCCESSFUL" or entry.seen and poller.session:reports "finished"
  if entry.actions or not wanted then return end
  local ok, answer = pcall(poller.get, poller, poller.path .. url.path(entry.execution.id))
  if ok then
    entry.actions = view.actions(answer)
  elseif not errors.is(answer) then
    error(answer, 0)
  end
end

local function poller_of(session, execution)
  local path = private[execution.pipeline].path() .. "/executions"
  local poller = session.pollers[path]
  if not poller then
    poller = new_poller(session, path)
    session.pollers[path] = poller
  end
  return poller
end

---Waits until an execution has ended, however long that takes. Raises `execution` when it has vanished or is stuck in
---an unknown status, `api` when it may no longer be read.
---@async
---@param session moonsail.Session
---@param execution moonsail.Execution
---@return { status: string, start_date?: string, finish_date?: string, actions?: moonsail.ActionExecution[] }
function M.wait(session, execution)
  local poller = poller_of(session, execution)
  local entry <close> = poller:join(execution)
  while not entry.over do
    if poller.driven then entry.event:wait() else poller:drive(entry) end
  end
  if entry.err then error(entry.err, 0) end
  local shown = entry.execution
  if not entry.told then
    entry.told = true
    complete(poller, entry)
    session:report("finished", shown, entry.actions)
  end
  return {
    status = shown.last_status, start_date = shown.start_date, finish_date = shown.finish_date,
    actions = entry.actions,
  }
end

return M

--- Starts pipelines by themselves: by changes of refs, which it looks for every second, and by schedules. What it
--- starts goes through the same door as a request of the API.
local ref_watch = require "moonsail.engine.ref_watch"
local refusal = require "moonsail.engine.refusal"
local refs = require "moonsail.engine.refs"
local request = require "moonsail.engine.request"
local schedule = require "moonsail.engine.schedule"
local task = require "host.task"
local trigger = require "moonsail.engine.trigger"

local M = {}

local INTERVAL = 1             -- seconds between two looks at the refs,
local REST = 20                -- but at least this many times what a look takes: thousands of refs take their time
local REPEATED_FAILURES = 100  -- Buddy's default of pause_on_repeated_failures

---@class engine.Events
---@field engine engine.Inside
---@field refs engine.RefWatch
local Events = {}
Events.__index = Events

---Tells which events of the pipelines will not start them.
---@param engine engine.Inside
---@param watching boolean
function M.notice(engine, watching)
  local pipelines = engine.project:pipelines()
  for _, pipeline in ipairs(pipelines and pipelines.list or {}) do
    for _, text in ipairs(trigger.notices(pipeline, watching)) do engine.report(text) end
  end
end

---@param engine engine.Inside
---@return engine.Events? events
---@return string? message
function M.open(engine)
  local watch, message = ref_watch.open(engine.sql, engine.project.repository)
  if not watch then return nil, message end
  return setmetatable({ engine = engine, refs = watch, redefined = task.event() }, Events)
end

-- ---- The door.

-- Writes an execution into the book and appends it to `started`.
function Events:add(started, pipeline, fields, triggered_on)
  local engine = self.engine
  local ok, e, defined = pcall(request.read, engine, engine.catalog.pipelines[pipeline.id], fields,
    { triggered_on = triggered_on })
  if ok then
    engine.book:add(e)
    table.insert(started, { e, defined })
  else
    engine.report(("%s: not started by %s: %s"):format(pipeline.identifier, triggered_on,
      refusal.is(e) and table.concat(e.messages, "; ") or tostring(e)))
  end
end

function Events:enqueue(started)
  if #started == 0 then return end
  local ok, message = self.engine.book:durable()
  if not ok then return self.engine.report("events: the engine cannot write its state: " .. message) end
  for _, item in ipairs(started) do self.engine.dispatcher:enqueue(item[1], item[2]) end
end

-- ---- Refs.

-- The pipelines that may want a change, and what they are asked for.
function Events:concerned(change)
  local project = self.engine.project
  if change.revision then
    local pipelines, faults = project:pipelines_at(change.revision)
    return pipelines, faults, { [change.kind] = { name = change.name }, to_revision = { revision = change.revision } }
  end
  local pipelines, faults = project:pipelines()
  local _, branch = project:head()
  return pipelines, faults, branch and { branch = { name = branch } }
end

function Events:meet(started, change)
  local pipelines, faults, fields = self:concerned(change)
  if not pipelines then
    return self.engine.report(("%s: starts nothing: %s"):format(refs.full(change.kind, change.name), faults[1]))
  end
  for _, pipeline in ipairs(pipelines.list) do
    if fields and trigger.met(pipeline, change) then self:add(started, pipeline, fields, "EVENT") end
  end
end

function Events:look()
  local changes, problem = self.refs:changes()
  if problem and problem ~= self.problem then
    self.engine.report(("events: the refs cannot be read: %s; looking again"):format(problem))
  end
  self.problem = problem
  if not changes then return end
  local started = {}
  for _, change in ipairs(changes) do self:guarded(self.meet, started, change) end
  self:enqueue(started)
  local head = self.engine.project:head()
  if head ~= self.head then self.redefined:notify() end
  self.head = head
end

-- ---- Schedules.

function Events:is_paused(pipeline)
  local limit = pipeline.pause_on_repeated_failures or REPEATED_FAILURES
  return self.engine.sql.failures_in_a_row:row(pipeline.id, limit).count == limit
end

-- A pipeline of one ref runs on that, any other on the default branch.
function Events:fields_of(pipeline)
  if #pipeline.refs == 1 and not refs.is_wild(pipeline.refs[1]) then return {} end
  local _, branch = self.engine.project:head()
  return { branch = { name = branch } }
end

-- When each pipeline that has a schedule is due next.
function Events:plan(after)
  local plan, earliest, pipelines = {}, math.huge, self.engine.project:pipelines()
  for _, pipeline in ipairs(pipelines and pipelines.list or {}) do
    local due = math.huge
    for _, event in ipairs(pipeline.disabled and {} or trigger.of(pipeline)) do
      if event.type == "SCHEDULE" then due = math.min(due, schedule.next(event, after)) end
    end
    if due < math.huge then table.insert(plan, { pipeline = pipeline, due = due }) end
    earliest = math.min(earliest, due)
  end
  return plan, earliest
end

function Events:start_due(plan, now)
  local started = {}
  for _, item in ipairs(plan) do
    local pipeline = item.pipeline
    if item.due <= now and self:is_paused(pipeline) then
      self.engine.report(("%s: its schedule pauses after repeated failures, until it succeeds once"):format(
        pipeline.identifier))
    elseif item.due <= now then
      self:add(started, pipeline, self:fields_of(pipeline), "SCHEDULE")
    end
  end
  self:enqueue(started)
end

-- What was due while nobody looked is skipped: a plan begins where the last one ended.
function Events:keep_schedules()
  local now = task.now()
  while true do
    local plan, earliest = self:plan(now)
    self.redefined:wait(math.max(earliest - task.now(), 0))
    now = task.now()
    if earliest <= now then self:guarded(self.start_due, plan, now) end
  end
end

-- ---- Running.

-- A fault of the engine costs one event, not all that come.
function Events:guarded(fn, ...)
  local ok, fault = xpcall(fn, debug.traceback, self, ...)
  if not ok then self.engine.report("events: " .. tostring(fault)) end
end

function Events:watch_refs()
  while true do
    local before = task.monotonic()
    self:look()
    task.sleep(math.max(INTERVAL, REST * (task.monotonic() - before)))
  end
end

---Looks for events for as long as the engine lives.
---@async
function Events:run()
  task.all { function() self:watch_refs() end, function() self:keep_schedules() end }
end

return M

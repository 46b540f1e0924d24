--- Which execution runs when: from the book, when its time has come, through the queue to the runner. Also cancels,
--- and settles what an earlier life of the engine left behind.
local json = require "host.json"
local orphan = require "moonsail.engine.orphan"
local queue = require "moonsail.engine.queue"
local runner = require "moonsail.engine.runner"
local task = require "host.task"
local timetable = require "moonsail.engine.timetable"

local M = {}

local INTERRUPTED = "The engine stopped while this execution ran"
local UNREADABLE = "Its encrypted variables cannot be read: %s; run it again"
local UNDEFINED = "The pipeline is not in the buddy.yml of revision %s any more"

---@class engine.Dispatcher
---@field jobs table<string, engine.Job> what runs, by its 24-hex id
---@field queue engine.Queue
local Dispatcher = {}
Dispatcher.__index = Dispatcher

---@param engine engine.Inside
---@param concurrency integer how many executions run at once at most
---@return engine.Dispatcher
function M.new(engine, concurrency)
  return setmetatable({ engine = engine, queue = queue.new(concurrency), delayed = timetable.new(), jobs = {} },
    Dispatcher)
end

---Hands an execution, which is in the book, to the queue.
---@param e { pipeline: integer, number: integer, priority: string, delay_until?: number }
---@param pipeline? engine.Pipeline nil: its revision does not define it any more
function Dispatcher:enqueue(e, pipeline)
  if e.delay_until then
    self.delayed:add(e.delay_until, e.pipeline, e.number)
    self.queue.changed:notify()
  else
    self.queue:push(e.pipeline, e.number, e.priority, pipeline and pipeline.concurrent_pipeline_runs or false)
  end
end

---What runs an execution now.
---@param e engine.Execution
---@return engine.Job?
function Dispatcher:job(e)
  return self.jobs[self.engine.urls:hex(e)]
end

---Cancels an execution that is queued or runs.
---@param e engine.Execution
function Dispatcher:cancel(e)
  local job = self:job(e)
  if not job then return self.engine.book:finish(e, "TERMINATED") end
  self.engine.book:change(job.execution, "TERMINATING")
  job:cancel()
end

---Runs an execution again that has ended.
---@param e engine.Execution
function Dispatcher:retry(e)
  self.engine.book:retry(e)
  self:enqueue(e, (self:pipeline_of(e)))
end

---Lets an execution take its turn now whose time has not come. It stays in the timetable, where it means nothing more.
---@param e engine.Execution
function Dispatcher:hurry(e)
  self.engine.book:hurry(e)
  self:enqueue(e, (self:pipeline_of(e)))
end

function Dispatcher:pipeline_of(e)
  local pipelines, faults = self.engine.project:pipelines_at(e.revision)
  local pipeline = pipelines and pipelines.by_id[e.pipeline]
  if pipeline then return pipeline end
  return nil, faults and faults[1] or UNDEFINED:format(e.revision)
end

function Dispatcher:name_of(e)
  return ("%s #%d"):format(self.engine.catalog.pipelines[e.pipeline].identifier, e.number)
end

-- What an execution was asked for, with its encrypted values.
function Dispatcher:request_of(e)
  if not e.sealed then return json.decode(e.request) end
  local text, message = self.engine.key:open(e.sealed)
  if not text then return nil, UNREADABLE:format(message) end
  return json.decode(text)
end

-- One execution, from the queue to its end. A fault of the engine ends the execution, not the engine.
function Dispatcher:perform(e)
  local pipeline, problem = self:pipeline_of(e)
  local request
  if pipeline then request, problem = self:request_of(e) end
  if not request then return self:give_up(e, problem) end
  local id, job = self.engine.urls:hex(e), runner.job(self.engine, e, pipeline, request)
  self.jobs[id] = job
  self.engine.report(("%s: started at %s"):format(self:name_of(e), e.revision:sub(1, 7)))
  local ok, fault = xpcall(job.run, debug.traceback, job)
  self.jobs[id] = nil
  if not ok then
    self.engine.report(("%s: %s"):format(self:name_of(e), fault))
    job:give_up "The engine failed; see its own output"
  end
  self.engine.report(("%s: %s"):format(self:name_of(e), e.status))
end

function Dispatcher:run_next(pipeline, number)
  local e = self.engine.book:execution(pipeline, number)
  if e and e.status == "ENQUEUED" then
    local ok, fault = xpcall(self.perform, debug.traceback, self, e)
    if not ok then self.engine.report(("%s: %s"):format(self:name_of(e), fault)) end
  end
  self.queue:done(pipeline)
end

-- Those whose time has come take their turn like any other, unless they were cancelled or started before it.
function Dispatcher:take_delayed()
  for pipeline, number, due in self.delayed.take, self.delayed, task.now() do
    local e = self.engine.book:execution(pipeline, number)
    if e.status == "ENQUEUED" and e.delay_until == due then
      self.queue:push(pipeline, number, e.priority, (self:pipeline_of(e) or {}).concurrent_pipeline_runs or false)
    end
  end
end

---Starts what may start, for as long as the engine lives. What runs are children of the task that calls it.
---@async
function Dispatcher:run()
  while true do
    self:take_delayed()
    local pipeline, number = self.queue:take()
    if pipeline then
      task.spawn(self.run_next, self, pipeline, number)
    else
      local due = self.delayed:next()
      self.queue.changed:wait(due and math.max(due - task.now(), 0))
    end
  end
end

function Dispatcher:give_up(e, reason)
  local pipeline = self:pipeline_of(e)
  self.engine.report(("%s: %s"):format(self:name_of(e), reason))
  if not pipeline then return self.engine.book:finish(e, "FAILED") end
  runner.job(self.engine, e, pipeline):give_up(reason)
end

---Settles what the book has unfinished: what waited goes on waiting, what ran has failed.
---@async
function Dispatcher:take_over()
  local interrupted = {}
  for _, e in ipairs(self.engine.book:left_over()) do
    if e.status == "ENQUEUED" then
      self:enqueue(e, (self:pipeline_of(e)))
    else
      table.insert(interrupted, e)
    end
  end
  -- An execution that has ended may have left processes, too.
  if next(self.engine.book.last) then orphan.sweep(self.engine.urls.seed) end
  for _, e in ipairs(interrupted) do
    self:give_up(self.engine.book:execution(e.pipeline, e.number), INTERRUPTED)
  end
end

return M

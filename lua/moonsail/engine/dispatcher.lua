--- Which execution runs when: from the book, or from memory while it holds encrypted values, through the queue to the
--- runner. Also cancels, and settles what an earlier life of the engine left behind.
local queue = require "moonsail.engine.queue"
local runner = require "moonsail.engine.runner"
local task = require "host.task"

local M = {}

local INTERRUPTED = "The engine stopped while this execution ran"
local SECRETS_GONE = "The engine was restarted before this execution ran, and its encrypted variables, which are only "
  .. "kept in memory, are gone; run it again"
local UNDEFINED = "The pipeline is not in the buddy.yml of revision %s any more"

---@class engine.Dispatcher
---@field jobs table<string, engine.Job> what runs, by its 24-hex id
---@field secrets table<string, table> whole requests with encrypted values that wait, by 24-hex id
---@field delayed engine.Execution[] whose time is to be waited for
local Dispatcher = {}
Dispatcher.__index = Dispatcher

---@param engine engine.Inside
---@param concurrency integer how many executions run at once at most
---@return engine.Dispatcher
function M.new(engine, concurrency)
  return setmetatable({ engine = engine, queue = queue.new(concurrency), jobs = {}, secrets = {}, delayed = {} },
    Dispatcher)
end

---Hands an execution, which is in the book, to the queue.
---@param e engine.Execution
---@param pipeline engine.Pipeline
---@param fields? table the request with its encrypted values, which live in memory only
function Dispatcher:enqueue(e, pipeline, fields)
  if fields then self.secrets[self.engine.urls:hex(e)] = fields end
  if e.delay_until and e.delay_until > task.now() then
    table.insert(self.delayed, e)
    self.queue.changed:notify()
  else
    self.queue:push(e.pipeline, e.number, e.priority, pipeline.concurrent_pipeline_runs)
  end
end

---Cancels an execution.
---@param e engine.Execution its status is changed
---@return boolean done false when there is nothing to cancel any more
function Dispatcher:cancel(e)
  local job = self.jobs[self.engine.urls:hex(e)]
  if e.status == "ENQUEUED" then
    self.secrets[self.engine.urls:hex(e)] = nil
    self.engine.book:finish(e, "TERMINATED")
  elseif e.status == "INPROGRESS" and job then
    self.engine.book:terminating(job.execution)
    e.status = job.execution.status
    job:cancel()
  else
    return false
  end
  return true
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

-- One execution, from the queue to its end. A fault of the engine ends the execution, not the engine.
function Dispatcher:perform(e)
  local id = self.engine.urls:hex(e)
  local request = self.secrets[id]
  self.secrets[id] = nil
  local pipeline, problem = self:pipeline_of(e)
  if not pipeline then
    self.engine.report(("%s: %s"):format(self:name_of(e), problem))
    return self.engine.book:finish(e, "FAILED")
  end
  local job = runner.job(self.engine, e, pipeline, request)
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

-- Waits for the time of an execution; then it takes its turn like any other.
function Dispatcher:wait_for(e)
  task.sleep(math.max(e.delay_until - task.now(), 0))
  local pipeline = self:pipeline_of(e)
  self.queue:push(e.pipeline, e.number, e.priority, pipeline and pipeline.concurrent_pipeline_runs or false)
end

---Starts what may start, for as long as the engine lives. What runs are children of the task that calls it.
---@async
function Dispatcher:run()
  while true do
    local delayed = table.remove(self.delayed)
    local pipeline, number
    if not delayed then pipeline, number = self.queue:take() end
    if delayed then
      task.spawn(self.wait_for, self, delayed)
    elseif pipeline then
      task.spawn(self.run_next, self, pipeline, number)
    else
      self.queue.changed:wait()
    end
  end
end

function Dispatcher:give_up(e, reason)
  local pipeline = self:pipeline_of(e)
  self.engine.report(("%s: %s"):format(self:name_of(e), reason))
  if not pipeline then return self.engine.book:finish(e, "FAILED") end
  runner.job(self.engine, e, pipeline):give_up(reason)
end

-- Why an execution that an earlier life left behind cannot go on; nil when it can.
function Dispatcher:obstacle(e)
  if e.status ~= "ENQUEUED" then return INTERRUPTED end
  if e.secret == 1 then return SECRETS_GONE end
  local pipeline, problem = self:pipeline_of(e)
  return not pipeline and problem or nil
end

---Settles what the book has unfinished: what waited goes on waiting, what ran has failed.
---@async
function Dispatcher:take_over()
  local ended = {}
  for _, e in ipairs(self.engine.book:left_over()) do
    local obstacle = self:obstacle(e)
    if obstacle then
      table.insert(ended, { e, obstacle })
    else
      self:enqueue(e, (self:pipeline_of(e)))
    end
  end
  for _, item in ipairs(ended) do self:give_up(table.unpack(item)) end
end

return M

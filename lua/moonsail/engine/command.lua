--- The process of an action: started where its commands may run, its output in the log, ended when the execution is
--- cancelled or the action's time is over.
local process = require "host.process"
local task = require "host.task"

local M = {}

local LINGER = 5 -- seconds that output is read for after the process has ended, if something keeps printing

-- Ends the process when the execution is cancelled or the time is over, and says which in `ended`.
local function watch(context, child, ended)
  local told = context:wait(context.action.timeout)
  ended.status = told and "TERMINATED" or "FAILED"
  ended.message = not told and ("not done after %d s"):format(context.action.timeout) or nil
  child:kill "SIGTERM"
  task.sleep(context.kill_after)
  child:kill "SIGKILL"
end

local function read_output(context, child, o)
  for chunk, stream in child.read, child do
    if stream == "stderr" then
      o.on_report(chunk)
    else
      if o.on_output then o.on_output(chunk) end
      context.log:write(chunk)
    end
  end
end

local function describe(status)
  return status.signal and ("ended by %s"):format(status.signal) or ("exit status %d"):format(status.code)
end

local function follow_to_end(context, child, o)
  local ended = {}
  local reader = task.spawn(read_output, context, child, o)
  local watcher = task.spawn(watch, context, child, ended)
  local status = child:wait()
  if not task.timeout(LINGER, reader.join, reader) then
    context.log:note "A process in the background still prints: it is ended now"
    reader:cancel()
  end
  watcher:cancel()
  if ended.status then return ended.status, ended.message end
  if status.code == 0 then return "SUCCESSFUL" end
  return "FAILED", describe(status)
end

-- An engine that is stopped asks its actions to stop, and gives them the time that a cancelled one gets. What follows
-- the process goes on meanwhile.
local function ask_to_stop(context, child, follower)
  return setmetatable({}, {
    __close = function(_, problem)
      if not problem then return end
      child:kill "SIGTERM"
      task.shield(task.timeout, context.kill_after, pcall, follower.join, follower)
    end,
  })
end

-- The action's own, and what the command is given beside it.
local function environment_of(context, more)
  local environment = context:environment()
  for name, value in pairs(more or {}) do environment[name] = value end
  return environment
end

---Runs a command in the checkout, and waits for its end.
---@async
---@param context engine.Context
---@param o { command: string[], environment?: table<string, string>, mounts?: { source: string, target: string }[],
---on_output?: fun(chunk: string), on_report?: fun(chunk: string) } environment comes beside the action's; on_report is
---told of what comes on standard error, which otherwise is in the log
---@return "SUCCESSFUL"|"FAILED"|"TERMINATED" status
---@return string? message why it failed
function M.run(context, o)
  local folder, problem = context:checkout()
  if not folder then return "FAILED", problem end
  local job = context.job
  local child <close>, message = process.spawn(job.checkouts.isolation:wrap {
    command = o.command,
    directory = folder,
    environment = environment_of(context, o.environment),
    writable = { folder, job.home },
    mounts = o.mounts,
    merge = not o.on_report,
  })
  if not child then return "FAILED", message end
  context:started(child.pid)
  local follower = task.spawn(task.shield, follow_to_end, context, child, o)
  local _ <close> = ask_to_stop(context, child, follower)
  return follower:join()
end

return M

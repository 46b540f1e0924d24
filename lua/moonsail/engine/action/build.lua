--- BUILD: runs commands in one shell, in the checkout of the execution's revision, as a process group of its own.
--- They run on this machine: the image that Buddy would run them in is only mentioned in the log.
local process = require "host.process"
local shape = require "moonsail.engine.shape"
local task = require "host.task"

local M = {}

local LINGER = 5 -- seconds that output is read for after the shell has ended, if something keeps printing

local SHELLS = { SH = "sh", BASH = "bash" }

-- `set -e` and `exit` in a command mean what they mean in a script, so the commands stand in no condition here.
local DRIVER = [[
failed_=0
for command_; do
  printf 'Executing command: %s\n' "$command_"
  eval "$command_"
  status_=$?
  if [ "$status_" -ne 0 ]; then
    failed_=$status_
    STOP
  fi
done
exit "$failed_"
]]

local function directory(check, node, path)
  local text = shape.name(check, node, path)
  if text and ("/" .. text .. "/"):find("/../", 1, true) then
    check:fault(node, path, "must not lead out of the checkout")
  end
  return text
end

M.keys = {
  execute_commands = { shape.list_of(shape.text, 1), required = true },
  docker_image_name = shape.name,
  docker_image_tag = shape.name,
  shell = { shape.one_of { "SH", "BASH" }, default = "SH" },
  working_directory = directory,
  execute_every_command = { shape.boolean, default = false },
}

local function command_line(action)
  local driver = DRIVER:gsub("STOP", action.execute_every_command and ":" or "break")
  local shell = SHELLS[action.shell]
  local line = { shell, "-c", driver, shell }
  return table.move(action.execute_commands, 1, #action.execute_commands, #line + 1, line)
end

-- In Buddy an absolute working directory is where the checkout is mounted in the container: here, the checkout itself.
local function working_directory(checkout, action)
  local inside = action.working_directory
  return inside and not inside:find "^/" and checkout .. "/" .. inside or checkout
end

local function say_where(context)
  local action = context.action
  local image = action.docker_image_name
  context.log:note(image
    and ("Running on this machine, not in the image %s:%s"):format(image, action.docker_image_tag or "latest")
    or "Running on this machine")
end

-- Ends the process when the execution is cancelled or the time is over, and says which in `ended`.
local function watch(context, child, ended)
  local told = context:wait(context.action.timeout)
  ended.status = told and "TERMINATED" or "FAILED"
  ended.message = not told and ("not done after %d s"):format(context.action.timeout) or nil
  child:kill "SIGTERM"
  task.sleep(context.kill_after)
  child:kill "SIGKILL"
end

-- Follows how far the commands have come by the driver's own lines.
local function follow_progress(context)
  local commands, next_one = context.action.execute_commands, 1
  return function(chunk)
    local from = 1
    while commands[next_one] do
      local _, last = chunk:find("Executing command: " .. commands[next_one], from, true)
      if not last then return end
      context:progress((next_one - 1) / #commands)
      next_one, from = next_one + 1, last + 1
    end
  end
end

local function read_output(context, child)
  local follow = follow_progress(context)
  for chunk in child.read, child do
    follow(chunk)
    context.log:write(chunk)
  end
end

local function describe(status)
  return status.signal and ("ended by %s"):format(status.signal) or ("exit status %d"):format(status.code)
end

local function follow_to_end(context, child)
  local ended = {}
  local reader = task.spawn(read_output, context, child)
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

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  say_where(context)
  local checkout, problem = context:checkout()
  if not checkout then return "FAILED", problem end
  local child <close>, message = process.spawn {
    command = command_line(context.action),
    directory = working_directory(checkout, context.action),
    environment = context:environment(),
    merge = true,
  }
  if not child then return "FAILED", message end
  context:started(child.pid)
  local follower = task.spawn(task.shield, follow_to_end, context, child)
  local _ <close> = ask_to_stop(context, child, follower)
  local status, reason = follower:join()
  if status == "SUCCESSFUL" then context.log:note "Build finished successfully!" end
  return status, reason
end

return M

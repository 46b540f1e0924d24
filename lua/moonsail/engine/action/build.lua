--- BUILD: runs commands in one shell, in the checkout of the execution's revision, as a process group of its own.
--- They run on this machine: the image that Buddy would run them in is only mentioned in the log.
local json = require "host.json"
local paths = require "moonsail.engine.paths"
local script = require "moonsail.engine.script"
local shape = require "moonsail.engine.shape"

local M = {}

local NO_DOCKER = shape.refused "the commands run on this machine, not in a container"

M.keys = {
  execute_commands = { shape.list_of(shape.text, 1), required = true },
  setup_commands = { shape.list_of(shape.text), default = json.list {} },
  docker_image_name = shape.name,
  docker_image_tag = shape.name,
  shell = { shape.one_of { "SH", "BASH" }, default = "SH" },
  working_directory = paths.inside,
  execute_every_command = { shape.boolean, default = false },
  cached_dirs = { shape.list_of(paths.cached), default = json.list {} },
  services = NO_DOCKER,
  main_service_name = NO_DOCKER,
  volume_mappings = NO_DOCKER,
  run_as_user = NO_DOCKER,
}

local function image(context)
  local action = context.action
  local name = action.docker_image_name
  return name and ("%s:%s"):format(context:expand(name), context:expand(action.docker_image_tag or "latest"))
end

-- Without isolation what lies in the checkout stays with it, and nothing else can be kept.
local function mounts(context, checkout)
  local checkouts, names = context.job.checkouts, context.action.cached_dirs
  if checkouts.isolation.active then return checkouts.cache:mounts(context.job.pipeline.id, names, checkout) end
  for _, name in ipairs(names) do
    if name:find "^/" then context.log:note(("%s is not cached: that needs bubblewrap"):format(name)) end
  end
  return {}
end

-- The commands of this run: the setup commands first, if they have not run since the cache was cleared.
local function commands_of(context)
  local action, cache = context.action, context.job.checkouts.cache
  local setup = action.setup_commands
  if #setup == 0 or cache:has_setup(context.job.pipeline.id, action.id, setup) then
    return action.execute_commands, 0
  end
  local all = table.move(setup, 1, #setup, 1, {})
  return table.move(action.execute_commands, 1, #action.execute_commands, #all + 1, all), #setup
end

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local checkouts, pipeline = context.job.checkouts, context.job.pipeline.id
  context.log:note(checkouts.isolation:describe(image(context)))
  local checkout, problem = context:checkout()
  if not checkout then return "FAILED", problem end
  local folders, message = mounts(context, checkout)
  if not folders then return "FAILED", message end
  local commands, setup = commands_of(context)
  local status, reason, done = script.run(context, commands, folders)
  if setup > 0 and done >= setup then
    checkouts.cache:set_up(pipeline, context.action.id, context.action.setup_commands)
  end
  if status == "SUCCESSFUL" then context.log:note "Build finished successfully!" end
  return status, reason
end

return M

--- NATIVE_BUILD_LINUX: like BUILD, for what Buddy runs in a virtual machine. The distribution is only mentioned in the
--- log.
local paths = require "moonsail.engine.paths"
local script = require "moonsail.engine.script"
local shape = require "moonsail.engine.shape"

local M = {}

local NO_MACHINE = shape.refused "the commands run on this machine, in the pipeline's own files"

M.keys = {
  commands = { shape.list_of(shape.text, 1), required = true },
  distribution = { shape.name, required = true },
  shell = { shape.one_of { "SH", "BASH" }, default = "SH" },
  working_directory = paths.inside,
  execute_every_command = { shape.boolean, default = false },
  sync_paths = NO_MACHINE,
  vm_from_prev_action = NO_MACHINE,
}

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  context.log:note(context.job.checkouts.isolation:describe(context:expand(action.distribution)))
  local status, message = script.run(context, action.commands)
  if status == "SUCCESSFUL" then context.log:note "Build finished successfully!" end
  return status, message
end

return M

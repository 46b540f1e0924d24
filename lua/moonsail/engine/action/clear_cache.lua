--- CLEAR_CACHE: forgets what the pipeline has kept from earlier executions.
local shape = require "moonsail.engine.shape"

local M = {}

M.keys = {
  cache_types = { required = true,
    shape.list_of(shape.one_of { "DOCKER", "FILE_SYSTEM", "SERVICES", "ADDITIONAL" }, 1) },
}

-- By type: what is cleared, and what to say of it.
local CLEAR = {
  FILE_SYSTEM = function(job)
    return job.checkouts:renew(job.pipeline, job.execution)
  end,
  ADDITIONAL = function(job)
    return job.checkouts.cache:clear(job.pipeline.id, "folders")
  end,
  DOCKER = function(job) -- an image that is built anew runs its setup commands
    return job.checkouts.cache:clear(job.pipeline.id, "setup")
  end,
  SERVICES = function() return true end,
}

local SAY = {
  FILE_SYSTEM = "The checkout is made anew",
  ADDITIONAL = "Cached folders are removed",
  DOCKER = "Setup commands will run again",
  SERVICES = "There are no services here, and nothing of theirs to clear",
}

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local folder, problem = context:checkout()
  if not folder then return "FAILED", problem end
  for _, kind in ipairs(context.action.cache_types) do
    local ok, message = CLEAR[kind](context.job)
    if not ok then return "FAILED", message end
    context.log:note(SAY[kind])
  end
  return "SUCCESSFUL"
end

return M

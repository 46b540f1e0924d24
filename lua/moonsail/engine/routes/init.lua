--- All methods of the API that the engine speaks, and what the parameters of their paths may be.
local refusal = require "moonsail.engine.refusal"
local router = require "moonsail.engine.router"

local M = {}

local FAMILIES = { "account", "executions", "pipelines", "repository", "variables", "webhooks" }

local function integer(text)
  return text:find "^[1-9]%d*$" and #text <= 15 and tonumber(text) or nil
end

local function some(text)
  return text ~= "" and text or nil
end

local function only(name)
  return function(text) return text == name and text or nil end
end

-- An id may be unknown because no pipeline could be read yet.
local function explain(engine)
  local pipelines, faults = engine.project:pipelines()
  if not pipelines then refusal.raise(400, faults) end
  if not pipelines.revision then refusal.raise(400, "The repository has no commit yet, so it has no pipelines") end
end

local function readers(engine)
  local catalog = engine.catalog
  return {
    workspace = only(engine.urls.workspace),
    project = only(engine.urls.project_name),
    pipeline = function(text) return catalog.pipelines[integer(text)] or explain(engine) end,
    member = function(text) return catalog.members[integer(text)] end,
    execution = integer,
    action = integer,
    number = integer,
    variable = integer,
    webhook = integer,
    action_execution = function(text) return text:find "^%x+$" and #text == 24 and text or nil end,
    name = some,
    revision = some,
  }
end

---Calls `visit` with every route.
---@param visit fun(method: string, pattern: string, scope?: string, handler: function, refused?: string) `refused`:
---why the engine always refuses what Buddy can do
function M.each(visit)
  for _, family in ipairs(FAMILIES) do require("moonsail.engine.routes." .. family).add(visit) end
end

---The router of an engine.
---@param engine engine.Inside
function M.of(engine)
  local routes = router.new(readers(engine))
  M.each(function(method, pattern, scope, handler)
    routes:add(method, pattern, scope, function(...) return handler(engine, ...) end)
  end)
  return routes
end

return M

--- Methods of pipelines and their actions, as the buddy.yml of the default branch defines them, and the look-up of
--- text identifiers.
local fragment = require "moonsail.engine.fragment"
local json = require "host.json"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"

local M = {}

local PROJECT = "/workspaces/:workspace/projects/:project"

local function defined(engine)
  local pipelines, faults = engine.project:pipelines()
  return pipelines or refusal.raise(400, faults)
end

local function found_pipeline(engine, entry)
  return defined(engine).by_id[entry.id]
    or refusal.raise(404, ("buddy.yml does not define pipeline %q any more"):format(entry.identifier))
end

local write_pipelines = fragment.object { "url", "html_url", "pipelines" }
local write_actions = fragment.object { "url", "html_url", "actions" }

local function list(engine, _, request)
  local texts = {}
  for index, pipeline in ipairs(page.slice(request.query, defined(engine).list)) do
    texts[index] = engine.pipeline_view:pipeline(pipeline)
  end
  return write_pipelines {
    url = fragment.text(engine.urls:pipelines()),
    html_url = fragment.text(engine.urls:pipelines_web()),
    pipelines = fragment.list(texts),
  }
end

local function get(engine, at)
  return engine.pipeline_view:full_pipeline(found_pipeline(engine, at.pipeline))
end

local function list_actions(engine, at, request)
  local pipeline, texts = found_pipeline(engine, at.pipeline), {}
  for position, action in ipairs(pipeline.actions) do
    local wanted = request.query.trigger_time
    if not wanted or action.trigger_time == wanted then
      table.insert(texts, engine.pipeline_view:action(pipeline, position))
    end
  end
  return write_actions {
    url = fragment.text(engine.urls:pipeline(pipeline.id) .. "/actions"),
    html_url = fragment.text(engine.urls:pipeline_web(pipeline.id)),
    actions = fragment.list(texts),
  }
end

local function get_action(engine, at)
  local pipeline = found_pipeline(engine, at.pipeline)
  for position, action in ipairs(pipeline.actions) do
    if action.id == at.action then return engine.pipeline_view:full_action(pipeline, position) end
  end
  refusal.raise(404, ("Pipeline %q has no action %d"):format(pipeline.name, at.action))
end

local function identify_pipeline(engine, identifier)
  local pipeline = defined(engine).by_identifier[identifier]
  return pipeline and pipeline.id or refusal.raise(404, ("There is no pipeline %q"):format(identifier))
end

local function identify(engine, at, request)
  local urls, query = engine.urls, request.query
  if query.project and query.project ~= urls.project_name then
    refusal.raise(404, ("There is no project %q"):format(query.project))
  end
  if query.pipeline and not query.project then refusal.raise(400, "project: is missing") end
  return json.encode {
    url = urls:workspace_api() .. "/identifiers",
    html_url = urls:workspace_web(),
    domain = at.workspace,
    project_identifier = query.project or json.null,
    pipeline_id = query.pipeline and identify_pipeline(engine, query.pipeline) or json.null,
    environment_id = json.null,
    pkg_id = json.null,
    pkg_version_id = json.null,
  }
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  local pipeline = PROJECT .. "/pipelines/:pipeline"
  add("GET", PROJECT .. "/pipelines", "EXECUTION_INFO", list)
  add("GET", pipeline, "EXECUTION_INFO", get)
  add("GET", pipeline .. "/actions", "EXECUTION_INFO", list_actions)
  add("GET", pipeline .. "/actions/:action", "EXECUTION_INFO", get_action)
  add("GET", "/workspaces/:workspace/identifiers", "EXECUTION_INFO", identify)
end

return M

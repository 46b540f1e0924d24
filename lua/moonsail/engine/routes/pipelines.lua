--- Methods of pipelines and their actions, as the buddy.yml of the default branch defines them, and the look-up of
--- text identifiers.
local durable = require "moonsail.engine.durable"
local fragment = require "moonsail.engine.fragment"
local json = require "host.json"
local language = require "moonsail.engine.language"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"
local request_reader = require "moonsail.engine.request"
local source = require "moonsail.engine.source"

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
  local sorted = page.sorted(request.query, defined(engine).list, { "name", "id" })
  for index, pipeline in ipairs(page.slice(request.query, sorted)) do
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
  local wanted = page.word(request.query, "trigger_time", language.trigger_times)
  for position, action in ipairs(pipeline.actions) do
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

-- ---- Changes. What pipelines are is said by the repository.

local FROM_REPOSITORY = "Pipelines and their actions are what buddy.yml of the default branch says; change that, and "
  .. "commit it"

local function refuse()
  refusal.raise(403, FROM_REPOSITORY)
end

-- Of a pipeline only its cache can be changed.
local function change(engine, at, request)
  local pipeline, fields = found_pipeline(engine, at.pipeline), request_reader.object(request.body)
  local clear = fields.clear_cache
  fields.clear_cache = nil
  if next(fields) then refuse() end
  if clear ~= nil and clear ~= json.null and type(clear) ~= "boolean" then
    refusal.raise(400, "clear_cache: expected true or false")
  end
  if clear == true then
    local ok, message = engine.checkouts:clear(pipeline)
    if not ok then refusal.raise(500, "The cache cannot be cleared: " .. message) end
    durable(engine)
  end
  return engine.pipeline_view:full_pipeline(pipeline)
end

local function get_yaml(engine, at)
  local pipeline = found_pipeline(engine, at.pipeline)
  local files = engine.project:definition_files(engine.project:head())
  local yaml = files and source.of(files, pipeline.identifier)
  return json.encode { url = engine.urls:pipeline(pipeline.id) .. "/yaml",
    html_url = engine.urls:pipeline_web(pipeline.id) .. "/yaml", yaml = yaml or json.null }
end

-- ---- Identifiers.

local function identify_pipeline(engine, identifier)
  local pipeline = defined(engine).by_identifier[identifier]
  return pipeline and pipeline.id or refusal.raise(404, ("There is no pipeline %q"):format(identifier))
end

local function identify(engine, at, request)
  local urls, query = engine.urls, request.query
  for _, name in ipairs { "environment", "package", "package_version" } do
    if query[name] then
      refusal.raise(404, ("%s: the engine has no environments and no packages"):format(name))
    end
  end
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

---@param add fun(method: string, pattern: string, scope?: string, handler: function, refused?: string)
function M.add(add)
  local pipelines = PROJECT .. "/pipelines"
  local pipeline = pipelines .. "/:pipeline"
  local action = pipeline .. "/actions/:action"
  add("GET", pipelines, "EXECUTION_INFO", list)
  add("GET", pipeline, "EXECUTION_INFO", get)
  add("GET", pipeline .. "/yaml", "EXECUTION_INFO", get_yaml)
  add("GET", pipeline .. "/actions", "EXECUTION_INFO", list_actions)
  add("GET", action, "EXECUTION_INFO", get_action)
  add("GET", "/workspaces/:workspace/identifiers", "EXECUTION_INFO", identify)
  add("PATCH", pipeline, "EXECUTION_MANAGE", change)
  add("POST", pipelines, "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
  add("DELETE", pipeline, "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
  add("PATCH", pipeline .. "/yaml", "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
  add("POST", pipeline .. "/actions", "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
  add("PATCH", action, "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
  add("DELETE", action, "EXECUTION_MANAGE", refuse, FROM_REPOSITORY)
end

return M

--- Pipelines and actions as JSON text. What their definition says is encoded once; only the last status changes.
local fragment = require "moonsail.engine.fragment"
local json = require "host.json"

local M = {}

local text, maybe = fragment.text, fragment.maybe

---@class engine.view.Pipeline
local View = {}
View.__index = View

---@param urls engine.Urls
---@param catalog engine.Catalog
---@param repository engine.view.Repository
---@return engine.view.Pipeline
function M.new(urls, catalog, repository)
  return setmetatable({ urls = urls, catalog = catalog, repository = repository,
    kept = setmetatable({}, { __mode = "k" }) }, View)
end

local SHORT_PIPELINE = { "url", "html_url", "id", "identifier", "name", "on", "refs", "events", "priority", "disabled",
  "disabled_reason", "description_required", "concurrent_pipeline_runs", "always_from_scratch",
  "last_execution_status", "last_execution_revision" }
local write_pipeline = fragment.object(SHORT_PIPELINE)
local OWN = { "trigger_conditions", "auto_clear_cache", "no_skip_to_most_recent", "execution_message_template",
  "target_site_url", "folder", "git_changeset_base", "filesystem_changeset_base", "cache_scope", "definition_source",
  "git_config_ref" } -- as the definition has them, in the full view only
local write_full_pipeline = fragment.object(table.move(OWN, 1, #OWN, #SHORT_PIPELINE + 5,
  table.move({ "project", "creator", "actions", "variables" }, 1, 4, #SHORT_PIPELINE + 1,
    table.move(SHORT_PIPELINE, 1, #SHORT_PIPELINE, 1, {}))))

local SHORT_ACTION = { "url", "html_url", "id", "name", "type", "trigger_time", "disabled", "ignore_errors", "timeout",
  "last_execution_status" }
local write_action = fragment.object(SHORT_ACTION)

local function variables_of(variables)
  local list = json.list {}
  for index, variable in ipairs(variables) do
    local encrypted = variable.encrypted or false
    list[index] = { key = variable.key, value = not encrypted and variable.value or json.null, type = variable.type,
      encrypted = encrypted, settable = variable.settable or false, description = variable.description or json.null,
      defaults = variable.defaults } -- of those that an action asks for
  end
  return list
end

local function encode_action(self, pipeline, action)
  return {
    url = text(self.urls:action(pipeline.id, action.id)),
    html_url = text(self.urls:action_web(pipeline.id, action.id)),
    id = text(action.id),
    name = text(action.name),
    type = text(action.type),
    trigger_time = text(action.trigger_time),
    disabled = text(action.disabled or false),
    ignore_errors = text(action.ignore_errors or false),
    timeout = maybe(action.timeout),
  }
end

local function encode_pipeline(self, pipeline)
  local parts = {
    url = text(self.urls:pipeline(pipeline.id)),
    html_url = text(self.urls:pipeline_web(pipeline.id)),
    id = text(pipeline.id),
    identifier = text(pipeline.identifier),
    name = text(pipeline.name),
    on = text(pipeline.on),
    refs = text(json.list(pipeline.refs)),
    events = text(json.list(pipeline.events)),
    priority = text(pipeline.priority),
    disabled = text(pipeline.disabled),
    disabled_reason = maybe(pipeline.disabled_reason),
    description_required = text(pipeline.description_required),
    concurrent_pipeline_runs = text(pipeline.concurrent_pipeline_runs),
    always_from_scratch = text(pipeline.always_from_scratch),
    actions = {},
  }
  for position, action in ipairs(pipeline.actions) do
    parts.actions[position] = encode_action(self, pipeline, action)
  end
  return parts
end

-- The encoded members of a pipeline.
function View:parts(pipeline)
  local parts = self.kept[pipeline]
  if not parts then
    parts = encode_pipeline(self, pipeline)
    self.kept[pipeline] = parts
  end
  return parts
end

-- The text of an object whose last status may have changed since it was written.
local function with_status(parts, write, status, revision)
  if parts.status ~= status or parts.revision ~= revision then
    parts.status, parts.revision = status, revision
    parts.last_execution_status, parts.last_execution_revision = text(status), maybe(revision)
    parts.text = write(parts)
  end
  return parts.text
end

---@param pipeline engine.Pipeline
---@return string
function View:pipeline(pipeline)
  local last = self.catalog.pipelines[pipeline.id]
  return with_status(self:parts(pipeline), write_pipeline, last.status, last.revision)
end

---@param pipeline engine.Pipeline
---@param position integer
---@return string
function View:action(pipeline, position)
  local last = self.catalog.actions[pipeline.actions[position].id]
  return with_status(self:parts(pipeline).actions[position], write_action, last.status)
end

---@param pipeline engine.Pipeline
---@return string
function View:full_pipeline(pipeline)
  local members, actions = json.decode(self:pipeline(pipeline)), {}
  for name, value in pairs(members) do members[name] = text(value) end
  for position in ipairs(pipeline.actions) do actions[position] = self:action(pipeline, position) end
  for _, name in ipairs(OWN) do members[name] = text(pipeline[name] == nil and json.null or pipeline[name]) end
  members.actions = fragment.list(actions)
  members.creator = self.repository:member(self.repository.owner)
  members.variables = text(variables_of(pipeline.variables))
  members.project = json.encode { url = self.urls.api, html_url = self.urls.web, name = self.urls.project_name,
    display_name = self.urls.project_name, status = "ACTIVE" }
  return write_full_pipeline(members)
end

---An action with the keys of its type.
---@param pipeline engine.Pipeline
---@param position integer
---@return string
function View:full_action(pipeline, position)
  local value = json.decode(self:action(pipeline, position))
  for name, item in pairs(pipeline.actions[position]) do value[name] = item end
  value.variables = variables_of(pipeline.actions[position].variables)
  value.pipeline = json.decode(self:pipeline(pipeline))
  return json.encode(value)
end

-- Stand-ins for what the repository does not define any more, from what the catalog knows.

---@param row engine.catalog.Pipeline
---@return engine.Pipeline
function M.forgotten(row)
  return { id = row.id, identifier = row.identifier, name = row.identifier, on = "CLICK", refs = {}, events = {},
    priority = "NORMAL", disabled = false, description_required = false, concurrent_pipeline_runs = false,
    always_from_scratch = false, variables = {}, actions = {} }
end

---@param row engine.catalog.Action
---@return string
function View:forgotten_action(row)
  local parts = encode_action(self, { id = row.pipeline }, row)
  parts.last_execution_status = text(row.status)
  return write_action(parts)
end

return M

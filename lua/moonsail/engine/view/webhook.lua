--- What webhooks are told of an execution. It differs from the API's answer: the branch is a string.
local date = require "moonsail.engine.date"
local json = require "host.json"
local task = require "host.task"

local M = {}

-- The samples of webhooks have the field of the API before v1.1.0, and none is newer: it is sent beside the newer one.
local MODES = { CLICK = "MANUAL", EVENT = "ON_EVERY_PUSH", SCHEDULE = "SCHEDULED" }

local REFS = { "branch", "tag", "pull_request" }

local function execution_of(engine, e)
  local object = json.decode(engine.execution_view:full(e))
  object.mode = MODES[e.triggered_on] or e.triggered_on
  for _, kind in ipairs(REFS) do
    object[kind] = e.ref_kind == kind and e.ref_name or json.null
  end
  return object
end

---The payload, without the secret key.
---@param engine engine.Inside
---@param event string
---@param e engine.Execution
---@return string JSON text of an object that is not empty
function M.payload(engine, event, e)
  local urls, owner = engine.urls, engine.repository_view.owner
  local invoker = engine.repository_view:member_object(owner)
  invoker.title = json.null
  return json.encode {
    event = event,
    workspace = { url = urls:workspace_api(), html_url = urls:workspace_web(), id = 1, name = urls.workspace,
      domain = urls.workspace },
    invoker = invoker,
    project = { url = urls.api, html_url = urls.web, name = urls.project_name, display_name = urls.project_name,
      status = "ACTIVE" },
    current_date = date.format(task.now()),
    execution = execution_of(engine, e),
  }
end

return M

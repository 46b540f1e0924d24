--- One action of an execution, in each form that the API has had for it: the newest first, an older one when it is not
--- there. Source: https://buddy.works/docs/api/executions/get-action-execution-details

local actions_of = require "moonsail.client.actions"
local api = require "moonsail.client.api"
local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.ActionDetails: moonsail.ActionExecution
---@field url? string its page
---@field approver_id? integer who let it go on
---@field approval_date? string
---@field terminator_id? integer who stopped it
---@field termination_date? string
---@field passed_variables table<string, string> what it was given by who let it go on
---@field outputted_variables table<string, string> what it hands to later actions

-- The answer, or nil when there is nothing at that path.
local function try(pipeline, path)
  local ok, answer = pcall(api.get, private[pipeline].session, path)
  if ok then return answer end
  if not reading.is_missing(answer) then error(answer, 0) end
end

local function values(entry, name)
  local found = {}
  for _, variable in ipairs(view.list(entry, name)) do
    local key = view.text(variable, "key")
    if key then found[key] = view.field(variable, "value") end
  end
  return found
end

local function describe(entry)
  local details = view.action(entry)
  details.url = view.text(entry, "html_url")
  for _, name in ipairs { "approver_id", "approval_date", "terminator_id", "termination_date" } do
    details[name] = view.field(entry, name)
  end
  for _, name in ipairs { "passed_variables", "outputted_variables" } do details[name] = values(entry, name) end
  return details
end

---@async
---@param pipeline moonsail.Pipeline
---@param execution string its path
---@param actions moonsail.ActionExecution[] of it
---@param choice string|integer name or id
---@return moonsail.ActionDetails
function M.read(pipeline, execution, actions, choice)
  local action = actions_of.one(choice, actions)
  local id = action.execution_id
  local answer = id and try(pipeline, execution .. url.path("action_executions", id))
    or reading.get(pipeline, execution .. url.path("action", action.id))
  local details = describe(answer)
  details.id, details.execution_id = action.id, details.execution_id or id
  details.name, details.type = action.name, details.type or action.type
  return details
end

return M

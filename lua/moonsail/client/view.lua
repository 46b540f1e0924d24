--- Reads what we need out of the API's answers, which leave fields out or set them to null as they please.

local json = require "host.json"

local M = {}

---An action as one execution ran it.
---@class moonsail.ActionExecution
---@field id integer of the action
---@field execution_id? string of the action execution, 24 hex digits; older servers have none
---@field name string
---@field type? string such as "BUILD"
---@field status string
---@field progress number percent
---@field start_date? string
---@field finish_date? string
---@field error? string why it failed, if the API says

local null = json.null

---A field, or nil when it is missing or null.
---@param object any
---@param name string
---@return any
function M.field(object, name)
  local value = type(object) == "table" and object[name] or nil
  if value == null then return nil end
  return value
end

local field = M.field

---A field that is a text, or nil.
---@param object any
---@param name string
---@return string?
function M.text(object, name)
  local value = field(object, name)
  return type(value) == "string" and value or nil
end

local text = M.text

---The entries of a list, without those that are not of the type; empty when there is no list.
---@param object any
---@param name string
---@param kind? "table"|"string" default "table"
---@return any[]
function M.list(object, name, kind)
  local entries = {}
  local found = field(object, name)
  for _, entry in ipairs(type(found) == "table" and found or {}) do
    if type(entry) == (kind or "table") then entries[#entries + 1] = entry end
  end
  return entries
end

---The entry of an action execution.
---@param entry table as the API answers it
---@return moonsail.ActionExecution
function M.action(entry)
  local action = field(entry, "action")
  return {
    id = math.tointeger(field(action, "id")),
    execution_id = text(entry, "action_execution_id"),
    name = text(action, "name") or "?",
    type = text(action, "type"),
    status = text(entry, "status") or "INITIAL",
    progress = tonumber(field(entry, "progress")) or 0,
    start_date = text(entry, "start_date"),
    finish_date = text(entry, "finish_date"),
    error = text(entry, "error_message"),
  }
end

---The actions of a full execution; nil for a short one.
---@param execution table as the API answers it
---@return moonsail.ActionExecution[]?
function M.actions(execution)
  if not field(execution, "action_executions") then return nil end
  local actions = {}
  for i, entry in ipairs(M.list(execution, "action_executions")) do actions[i] = M.action(entry) end
  return actions
end

---An object of the API without its nulls, at any depth.
---@param object any
---@return any
function M.plain(object)
  if type(object) ~= "table" then return object end
  local is_list = json.is_list(object)
  local plain = is_list and json.list {} or {}
  for name, value in (is_list and ipairs or pairs)(object) do
    if value ~= null then plain[is_list and #plain + 1 or name] = M.plain(value) end
  end
  return plain
end

---Takes over the names that an answer gives a pipeline, where it has none.
---@param pipeline moonsail.Pipeline
---@param entry any
function M.name_pipeline(pipeline, entry)
  pipeline.name = pipeline.name or text(entry, "name")
  pipeline.identifier = pipeline.identifier or text(entry, "identifier")
end

---Copies the facts of an execution into `target`: few, since a recipe may hold thousands.
---@param target table
---@param execution table as the API answers it
---@return table target
function M.describe(target, execution)
  target.id = field(execution, "id") or target.id
  target.url = field(execution, "html_url")
  target.revision = field(field(execution, "to_revision"), "revision")
  target.branch = field(field(execution, "branch"), "name")
  target.tag = field(field(execution, "tag"), "name")
  target.pull_request = field(field(execution, "pull_request"), "name")
  target.comment = field(execution, "comment")
  target.priority = field(execution, "priority")
  target.delay_until = field(execution, "delay_until")
  target.trigger = field(execution, "triggered_on") or field(execution, "triggeredOn") or field(execution, "mode")
  target.start_date = field(execution, "start_date")
  target.finish_date = field(execution, "finish_date")
  target.last_status = field(execution, "status")
  return target
end

return M

--- Actions that wait for a person: which they are, what they ask for, and the operation that answers each.
--- Source: https://buddy.works/docs/api/runs/cancel-retry-approve

local actions_of = require "moonsail.client.actions"
local errors = require "moonsail.errors"
local json = require "host.json"
local outcomes = require "moonsail.client.outcome"
local reading = require "moonsail.client.reading"
local request = require("host.execution").request
local secret = require "moonsail.secret"
local status = require "moonsail.client.status"
local view = require "moonsail.client.view"

local M = {}

---@alias moonsail.Answer
---| "APPLY" it is to be approved
---| "APPLY_VARIABLES" it asks for variables
---| "SET_VARIABLES" it asks for new values of settable variables

---@class moonsail.Question
---@field key string
---@field description? string
---@field default? string
---@field options? string[] the only values
---@field encrypted boolean

---An action that waits for a person.
---@class moonsail.Waiting
---@field id integer of the action
---@field name string
---@field kind moonsail.Answer the operation that answers it
---@field comment? string what it asks
---@field variables moonsail.Question[] that it asks for
---@field url? string its page

local kinds = {
  WAITING_FOR_APPLY = "APPLY",
  WAITING_FOR_VARIABLES = "APPLY_VARIABLES",
  WAITING_FOR_SETTABLE_VARIABLES = "SET_VARIABLES",
}

---Those that wait.
---@param actions moonsail.ActionExecution[]
---@return moonsail.Waiting[]
function M.waiting(actions)
  local list = {}
  for _, action in ipairs(actions) do
    local kind = kinds[action.status]
    if kind then list[#list + 1] = { id = action.id, name = action.name, kind = kind, variables = {} } end
  end
  return list
end

-- Several lines of defaults are the values to choose from, the first of which is the default.
local function question(entry)
  local lines = {}
  for line in (view.text(entry, "defaults") or ""):gmatch "[^\r\n]+" do lines[#lines + 1] = line end
  return {
    key = view.text(entry, "key"), description = view.text(entry, "description"),
    default = lines[1], options = lines[2] and lines or nil, encrypted = view.field(entry, "encrypted") == true,
  }
end

---Adds what the definition of the action says, which may not be there any more.
---@async
---@param waiting moonsail.Waiting
---@param pipeline moonsail.Pipeline
---@param path string of the action
function M.describe(waiting, pipeline, path)
  local ok, definition = pcall(reading.get, pipeline, path)
  if not ok and not reading.is_missing(definition) then error(definition, 0) end
  if not ok then return end
  waiting.comment = view.text(definition, "comment")
  waiting.url = view.text(definition, "html_url")
  for i, entry in ipairs(view.list(definition, "variables")) do waiting.variables[i] = question(entry) end
end

-- ---- Answering.

local function names_of(list)
  local names = {}
  for i, waiting in ipairs(list) do names[i] = ("'%s' (%d)"):format(waiting.name, waiting.id) end
  return table.concat(names, ", ")
end

local function nothing_waits(execution)
  errors.raise("usage", ("%s does not wait for anybody: it is %s"):format(execution, execution.last_status),
    status.terminal[execution.last_status] and "It has ended."
      or "Approve it when its status is WAITING_FOR_APPLY or WAITING_FOR_VARIABLES.", { execution = execution })
end

local function not_waiting(execution, action, list)
  errors.raise("usage", ("the action '%s' of %s does not wait for anybody: it is %s"):format(action.name, execution,
    action.status), "These do: " .. names_of(list) .. ".", { execution = execution, field = "action" })
end

local function named(execution, actions, list, choice)
  local action = actions_of.one(choice, actions)
  for _, waiting in ipairs(list) do
    if waiting.id == action.id then return waiting end
  end
  not_waiting(execution, action, list)
end

-- The only one that waits, or the one that is named.
local function chosen(execution, actions, choice)
  local list = M.waiting(actions)
  if #list == 0 then
    local kind = kinds[execution.last_status]
    return kind and choice == nil and { kind = kind, name = "?" } or nothing_waits(execution) -- told by older servers
  end
  if choice ~= nil then return named(execution, actions, list, choice) end
  if #list == 1 then return list[1] end
  errors.raise("usage", ("%d actions of %s wait: %s"):format(#list, execution, names_of(list)),
    ("Name one, such as execution:approve { action = '%s' }."):format(list[1].name), { execution = execution,
      field = "action" })
end

local function check_fields(answer)
  if type(answer) ~= "table" then
    errors.raise("usage", ("execution:approve takes a table, not a %s"):format(type(answer)),
      "Such as execution:approve { variables = { region = \"eu\" } }.")
  end
  for name in pairs(answer) do
    if name ~= "action" and name ~= "variables" then
      errors.raise("usage", ("execution:approve knows no '%s'"):format(tostring(name)),
        "It takes action and variables.")
    end
  end
end

---The operation that answers the action that waits.
---@param execution moonsail.Execution
---@param actions moonsail.ActionExecution[]
---@param answer { action?: string|integer, variables?: table }
---@return table fields see execution:change
function M.answer(execution, actions, answer)
  check_fields(answer)
  local waiting = chosen(execution, actions, answer.action)
  if waiting.kind == "APPLY" then
    if answer.variables == nil then return { operation = "APPLY", approve_action_id = waiting.id } end
    errors.raise("usage", ("the action '%s' of %s asks for no variables"):format(waiting.name, execution),
      "Approve it without.", { execution = execution, field = "variables" })
  end
  return { operation = waiting.kind, approve_action_id = waiting.id, variables = answer.variables or {} }
end

-- Checked as those of a run are, secrets as encrypted ones.
local function variables_of(execution, variables)
  local revealed = type(variables) == "table" and secret.reveal_variables(variables) or variables
  local checked, faults = request { variables = revealed }
  if not checked then error(outcomes.faulty(("the change of %s"):format(execution), faults), 0) end
  return json.decode(checked:json()).variables
end

local fields_of_change = { operation = "string", variables = "table", approve_action_id = "number" }

---The body that asks for an operation, once it has been checked.
---@param execution moonsail.Execution
---@param fields table see execution:change
---@return table
function M.body(execution, fields)
  if type(fields) ~= "table" or type(fields.operation) ~= "string" then
    errors.raise("usage", "a change needs an operation", 'Such as execution:change { operation = "CANCEL" }.')
  end
  local body = {}
  for name, value in pairs(fields) do
    if type(value) ~= fields_of_change[name] or name == "approve_action_id" and not math.tointeger(value) then
      errors.raise("usage", ("%s is %s"):format(tostring(name), tostring(value)),
        "A change takes operation (a text), variables (a table) and approve_action_id (an integer).")
    end
    body[name] = value
  end
  if body.variables then body.variables = variables_of(execution, body.variables) end
  return body
end

return M

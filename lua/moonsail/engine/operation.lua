--- What a PATCH may ask of an execution: which operation is possible in which state, and what it does.
local approval = require "moonsail.engine.approval"
local json = require "host.json"
local nearest = require "host.execution".nearest
local refusal = require "moonsail.engine.refusal"
local request_reader = require "moonsail.engine.request"
local task = require "host.task"

local M = {}

local NAMES = { "CANCEL", "RETRY", "APPLY", "APPLY_VARIABLES", "SET_VARIABLES", "RUN_DELAYED" }
local ANSWERS = { "APPLY", "APPLY_VARIABLES", "SET_VARIABLES" }

---@class engine.Operation
---@field name string
---@field variables engine.Variable[]
---@field action? integer which one of those that wait

-- ---- Reading.

local function read_name(faults, name)
  for _, known in ipairs(NAMES) do
    if name == known then return name end
  end
  local near = type(name) == "string" and nearest(name, NAMES)
  table.insert(faults, ("operation: found %s, expected %s%s"):format(
    type(name) == "string" and ("%q"):format(name) or name == nil and "nothing" or type(name),
    table.concat(NAMES, ", "), near and (", did you mean %q?"):format(near) or ""))
end

local function read_variables(faults, value)
  local request, found = request_reader.validated { variables = value }
  if not request then
    table.move(found, 1, #found, #faults + 1, faults)
    return {}
  end
  local variables = json.decode(request:json()).variables or {}
  request_reader.check_variables(faults, variables)
  return variables
end

local function read_action(faults, value)
  if value == nil or math.type(value) == "integer" and value > 0 then return value end
  table.insert(faults, "approve_action_id: expected the id of an action, a whole number from 1")
end

---The operation in a body. Raises a refusal with every fault. Fields that an operation has no use for may be there.
---@param body string
---@return engine.Operation
function M.read(body)
  local faults, object = {}, {}
  for name, value in pairs(request_reader.object(body)) do
    if value ~= json.null then object[name] = value end
  end
  local operation = {
    name = read_name(faults, object.operation),
    variables = read_variables(faults, object.variables),
    action = read_action(faults, object.approve_action_id),
  }
  if #faults > 0 then refusal.raise(400, faults) end
  return operation
end

-- ---- What is possible.

local function waits_for(job, name)
  local found = {}
  for _, wait in ipairs(job.waits) do
    if wait.operation == name then table.insert(found, wait) end
  end
  return found
end

-- The operations that are possible now: of those that answer, the actions that wait for them.
local function possible(e, job)
  local status = job and job.execution.status or e.status
  if status == "FAILED" or status == "TERMINATED" then return { RETRY = true } end
  if status == "ENQUEUED" then return { CANCEL = true, RUN_DELAYED = (e.delay_until or 0) > task.now() } end
  if not job or job.stopping then return {} end
  local names = { CANCEL = true }
  for _, name in ipairs(ANSWERS) do
    local waits = waits_for(job, name)
    if #waits > 0 then names[name] = waits end
  end
  return names
end

local function list_names(set)
  local names = {}
  for _, name in ipairs(NAMES) do
    if set[name] then table.insert(names, name) end
  end
  return #names > 0 and table.concat(names, ", ") or "nothing"
end

-- ---- Answers.

local function list_waits(waits)
  local texts = {}
  for index, wait in ipairs(waits) do
    texts[index] = ("%d %s"):format(wait.context.action.id, wait.context.action.name)
  end
  return table.concat(texts, ", ")
end

local function chosen_wait(waits, id)
  if not id and #waits == 1 then return waits[1] end
  for _, wait in ipairs(waits) do
    if wait.context.action.id == id then return wait end
  end
  refusal.raise(400, id and ("approve_action_id: %d is not an action that waits for this; these do: %s"):format(id,
    list_waits(waits)) or "approve_action_id: several actions wait, say which: " .. list_waits(waits))
end

local function answer(engine, operation, waits)
  local wait, faults = chosen_wait(waits, operation.action), {}
  local given = operation.name == "APPLY" and {} or operation.variables
  local values = approval.values(wait, given, faults)
  if #faults > 0 then refusal.raise(400, faults) end
  approval.answer(wait, engine.repository_view.owner, values)
end

---Performs an operation. Raises a refusal when it is not possible, or does not fit what is waited for.
---@param engine engine.Inside
---@param e engine.Execution
---@param operation engine.Operation
function M.perform(engine, e, operation)
  local dispatcher = engine.dispatcher
  local job = dispatcher:job(e)
  local names = possible(e, job)
  local name = operation.name
  if not names[name] then
    refusal.raise(400, ("operation: %s is not possible: execution %d is %s; possible now: %s"):format(name, e.number,
      e.status, list_names(names)))
  end
  if name == "CANCEL" then return dispatcher:cancel(e) end
  if name == "RETRY" then return dispatcher:retry(e) end
  if name == "RUN_DELAYED" then return dispatcher:hurry(e) end
  answer(engine, operation, names[name])
end

return M

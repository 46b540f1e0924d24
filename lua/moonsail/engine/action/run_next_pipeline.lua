--- RUN_NEXT_PIPELINE: starts another pipeline of the project, and may wait for its end. Pipelines that start each other
--- in a circle are refused: by the file where it shows that, and otherwise when the circle would close.
local mask = require "moonsail.engine.mask"
local refs = require "moonsail.engine.refs"
local refusal = require "moonsail.engine.refusal"
local request = require "moonsail.engine.request"
local shape = require "moonsail.engine.shape"
local task = require "host.task"

local M = {}

local ID = shape.integer(1, 1 << 40)

-- The pipeline is named in one of these ways: by identifiers, in the older form, or in the API's form.
M.keys = {
  project = shape.name,
  pipeline = shape.name,
  next_project_name = shape.name,
  next_pipeline_name = shape.name,
  next_pipeline_id = ID,
  next_pipeline = shape.reader("a map with the key id", shape.map { id = { ID, required = true } }),
  revision = { shape.one_of { "HEAD", "INHERIT", "SPECIFIC" }, default = "HEAD" },
  specific_revision = shape.name,
  comment = shape.text,
  clear_cache = { shape.boolean, default = false },
  refresh = { shape.boolean, default = false },
  priority = shape.one_of { "LOW", "NORMAL", "HIGH" },
  wait = { shape.boolean, default = false },
  environment = shape.refused "it has no environments",
  artifact = shape.refused "it has no artifacts",
}

---Checks what no key says alone.
---@param check engine.Check
---@param node engine.yaml.Node
---@param path string
---@param action engine.Action
function M.settle(check, node, path, action)
  local ways = 0
  for _, key in ipairs { "pipeline", "next_pipeline_name", "next_pipeline_id", "next_pipeline" } do
    if action[key] then ways = ways + 1 end
  end
  if ways ~= 1 then
    check:fault(node, path, "wants one of pipeline, next_pipeline_name, next_pipeline_id, next_pipeline")
  end
  if (action.revision == "SPECIFIC") ~= (action.specific_revision ~= nil) then
    check:fault(node, path, "revision SPECIFIC and specific_revision go together")
  end
end

-- ---- Which pipeline.

local function is_target(action, pipeline)
  local id = action.next_pipeline_id or action.next_pipeline and action.next_pipeline.id
  return pipeline.identifier == action.pipeline or pipeline.name == action.next_pipeline_name
    or id ~= nil and id == pipeline.id
end

local function find(list, action)
  for _, pipeline in ipairs(list) do
    if is_target(action, pipeline) then return pipeline end
  end
end

-- The names of `path` and on to one that is among them. `clear` gets those that lead to no circle.
local function circle_from(list, pipeline, path, clear)
  if clear[pipeline] then return nil end
  for _, name in ipairs(path) do
    if name == pipeline.identifier then return table.concat(path, ", ") .. ", " .. name end
  end
  path[#path + 1] = pipeline.identifier
  for _, action in ipairs(pipeline.actions) do
    local next_one = action.type == "RUN_NEXT_PIPELINE" and not action.disabled and find(list, action)
    local found = next_one and circle_from(list, next_one, path, clear)
    if found then return found end
  end
  path[#path] = nil
  clear[pipeline] = true
end

---A circle of pipelines that start each other, as far as their definitions show it. Conditions are no excuse.
---@param pipelines engine.Pipeline[]
---@return string? names in order; nil when there is none
function M.circle(pipelines)
  local clear = {}
  for _, pipeline in ipairs(pipelines) do
    local found = circle_from(pipelines, pipeline, {}, clear)
    if found then return found end
  end
end

local function target_of(context)
  local action, job = context.action, context.job
  local project = action.project or action.next_project_name
  if project and project ~= job.urls.project_name then
    return nil, ("this engine has no project %q, only %s"):format(project, job.urls.project_name)
  end
  local pipelines, faults = job.project:pipelines()
  if not pipelines then return nil, faults[1] end
  local found = find(pipelines.list, action)
  if found then return found end
  return nil, ("there is no pipeline %s"):format(action.pipeline or action.next_pipeline_name or action.next_pipeline_id
    or action.next_pipeline.id)
end

-- Whether the pipeline is one of those that led to this execution.
local function leads_back(job, pipeline)
  local e = job.execution
  while e do
    if e.pipeline == pipeline.id then return true end
    e = e.caller_pipeline and job.book:execution(e.caller_pipeline, e.caller_number)
  end
  return false
end

-- ---- What it is asked for.

local function holds_secret(value, secrets)
  for _, secret in ipairs(secrets) do
    if secret ~= "" and value:find(secret, 1, true) then return true end
  end
  return false
end

local function variables_of(context, secrets)
  local list = {}
  for index, variable in ipairs(context.action.variables) do
    local value = context:expand(variable.value)
    list[index] = { key = variable.key, value = value,
      encrypted = variable.encrypted or holds_secret(value, secrets) }
  end
  return list
end

local function needs_ref(pipeline)
  return #pipeline.refs > 1 or #pipeline.refs == 1 and refs.is_wild(pipeline.refs[1])
end

local function request_of(context, pipeline)
  local action, e = context.action, context.job.execution
  local secrets = context.job.variables:secrets(action)
  local inherits = action.revision == "INHERIT"
  local fields = {
    to_revision = { revision = inherits and e.revision or action.specific_revision
      and context:expand(action.specific_revision) or "HEAD" },
    comment = action.comment and mask.new(secrets):feed(context:expand(action.comment), true),
    clear_cache = action.clear_cache,
    refresh = action.refresh,
    priority = action.priority,
    variables = #action.variables > 0 and variables_of(context, secrets) or nil,
  }
  if inherits or needs_ref(pipeline) then fields[e.ref_kind] = { name = e.ref_name } end
  return fields
end

-- ---- Running.

local function start(context, pipeline)
  local job = context.job
  local engine = job.dispatcher.engine
  local ok, e, defined = pcall(request.read, engine, engine.catalog.pipelines[pipeline.id],
    request_of(context, pipeline), { triggered_on = "PIPELINE", caller = job.execution })
  if not ok then
    if refusal.is(e) then return nil, table.concat(e.messages, "; ") end
    error(e, 0)
  end
  job.book:add(e)
  local written, message = job.book:durable()
  if not written then return nil, message end
  job.dispatcher:enqueue(e, defined)
  return e
end

local function wait_for(context, e)
  local job, ended, cancelled = context.job, nil, false
  local _ <close> = job.dispatcher.queue:park(job)
  task.race {
    function() ended = job.book:ended(e) end,
    function() cancelled = context:wait(context.action.timeout) end,
  }
  if ended == "SUCCESSFUL" then return "SUCCESSFUL" end
  if ended then return "FAILED", ("the execution that it started is %s"):format(ended) end
  if cancelled then return "TERMINATED" end
  return "FAILED", ("the execution that it started has not ended after %d s"):format(context.action.timeout)
end

---@async
---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local pipeline, problem = target_of(context)
  if not pipeline then return "FAILED", problem end
  if leads_back(context.job, pipeline) then
    return "FAILED", ("pipeline %s has led here: to start it again would go round in a circle"):format(
      pipeline.identifier)
  end
  local e, message = start(context, pipeline)
  if not e then return "FAILED", message end
  context.log:note(("Started execution %d of pipeline %s: %s"):format(e.number, pipeline.identifier,
    context.job.urls:execution(e).web))
  if not context.action.wait then return "SUCCESSFUL" end
  return wait_for(context, e)
end

return M

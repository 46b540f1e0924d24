--- A request to run a pipeline: from its body to the execution that the book will have, or to every reason why not.
local date = require "moonsail.engine.date"
local execution = require "host.execution"
local json = require "host.json"
local refs = require "moonsail.engine.refs"
local refusal = require "moonsail.engine.refusal"
local task = require "host.task"

local M = {}

local NO_COMMIT = "The repository has no commit yet: there is nothing to run"
local KINDS = { "branch", "tag", "pull_request" }

---The object in a body.
---@param body string
---@return table
function M.object(body)
  local value, message = json.decode(body)
  if value == nil then refusal.raise(400, "The body is not JSON: " .. message) end
  if type(value) ~= "table" or json.is_list(value) then refusal.raise(400, "The body must be a JSON object") end
  return value
end

-- What is known of an object: readers by the name of the field. Buddy ignores other fields, and takes null for absent.
-- What is not an object is left for the validation.
local function known(readers)
  return function(value)
    if type(value) ~= "table" then return value end
    local kept = {}
    for name, item in pairs(value) do
      local read = readers[name]
      if read and item ~= json.null then kept[name] = read(item) end
    end
    return kept
  end
end

local function as_it_is(value) return value end

local variable = known { key = as_it_is, value = as_it_is, encrypted = as_it_is }
local revision = known { revision = as_it_is }
local name_of_ref = known { name = as_it_is }

local function variables(value)
  if not json.is_list(value) then return value end
  local kept = json.list {}
  for index, item in ipairs(value) do kept[index] = variable(item) end
  return kept
end

-- An instant that is past means at once, as if it were not there.
local function delay_until(value)
  local due = type(value) == "string" and date.parse(value)
  return not (due and due <= task.now()) and value or nil
end

local read_fields = known {
  to_revision = revision, from_revision = revision,
  branch = name_of_ref, tag = name_of_ref, pull_request = name_of_ref,
  comment = as_it_is, refresh = as_it_is, clear_cache = as_it_is, priority = as_it_is,
  variables = variables, actions_to_run = as_it_is, delay_until = delay_until,
  environment = as_it_is, package_version = as_it_is,
}

local function describe(fault)
  local near = fault.nearest and (", did you mean %q?"):format(fault.nearest) or ""
  return ("%s: found %s, expected %s%s"):format(fault.path, fault.found, fault.expected, near)
end

---A request in the API's form, validated.
---@param object table unknown fields are ignored, null is as if absent
---@return host.ExecutionRequest? request
---@return string[]? faults
function M.validated(object)
  local request, faults = execution.request(read_fields(object))
  if request then return request end
  local messages = {}
  for index, fault in ipairs(faults) do messages[index] = describe(fault) end
  return nil, messages
end

local function ref_in(fields)
  for _, kind in ipairs(KINDS) do
    if fields[kind] then return kind, fields[kind].name end
  end
end

local function list_refs(pipeline)
  return table.concat(pipeline.refs, ", ")
end

-- The one ref of a pipeline that has one; without any, the default branch.
local function only_ref(project, pipeline)
  if #pipeline.refs == 0 then
    local _, branch = project:head()
    return "branch", branch
  end
  local pattern = pipeline.refs[1]
  if #pipeline.refs > 1 or refs.is_wild(pattern) then
    refusal.raise(400, ("Pipeline %q runs on %s: say which with branch, tag or pull_request"):format(
      pipeline.name, list_refs(pipeline)))
  end
  local kind, name = refs.split(pattern)
  if kind then return kind, name end
  if not project:resolve("branch", name) and project:resolve("tag", name) then return "tag", name end
  return "branch", name
end

-- The pipeline as the default branch has it.
local function current_pipeline(project, id)
  local pipelines, faults = project:pipelines()
  if not pipelines then refusal.raise(400, faults) end
  if not pipelines.revision then refusal.raise(400, NO_COMMIT) end
  return pipelines.by_id[id] or refusal.raise(404, ("There is no pipeline %d"):format(id))
end

local function pinned(project, tip, wanted)
  if not wanted or wanted == "HEAD" then return tip end
  local commit = wanted:find "^%x+$" and project:commit(wanted)
  if not commit then
    refusal.raise(400, ("to_revision.revision: the repository has no commit %q"):format(wanted))
  end
  if not project:contains(tip, commit.revision) then
    refusal.raise(400, ("to_revision.revision: %s is not on the chosen ref"):format(wanted))
  end
  return commit.revision
end

local function tip_of(project, kind, name)
  local tip = project:resolve(kind, name)
  if tip then return tip end
  if not project:head() then refusal.raise(400, NO_COMMIT) end
  refusal.raise(400, ("%s.name: the repository has no %s %q"):format(kind, kind:gsub("_", " "), name))
end

local function pipeline_at(project, sha, id, identifier)
  local pipelines, faults = project:pipelines_at(sha)
  if not pipelines then refusal.raise(400, faults) end
  return pipelines.by_id[id] or refusal.raise(400, ("buddy.yml of revision %s does not define pipeline %q"):format(
    sha, identifier))
end

---@class engine.request.Target
---@field kind engine.RefKind
---@field name string
---@field revision string
---@field pipeline engine.Pipeline at that revision

---What a request is to run.
---@param project engine.Project
---@param entry engine.catalog.Pipeline
---@param fields table the request, in the API's form
---@return engine.request.Target
local function target(project, entry, fields)
  local kind, name = ref_in(fields)
  if not kind then kind, name = only_ref(project, current_pipeline(project, entry.id)) end
  local tip = tip_of(project, kind, name)
  local sha = pinned(project, tip, fields.to_revision and fields.to_revision.revision)
  return { kind = kind, name = name, revision = sha,
    pipeline = pipeline_at(project, sha, entry.id, entry.identifier) }
end

local function check_ref(faults, pipeline, at)
  if #pipeline.refs == 0 then return end
  for _, pattern in ipairs(pipeline.refs) do
    if refs.covers(pattern, at.kind, at.name) then return end
  end
  table.insert(faults, ("%s.name: %q is not one of the refs of pipeline %q: %s"):format(at.kind, at.name,
    pipeline.name, list_refs(pipeline)))
end

local function list_actions(pipeline)
  local names = {}
  for index, action in ipairs(pipeline.actions) do names[index] = ("%d %s"):format(action.id, action.name) end
  return table.concat(names, ", ")
end

local function check_actions(faults, pipeline, ids)
  local by_id = {}
  for _, action in ipairs(pipeline.actions) do by_id[action.id] = action end
  for index, id in ipairs(ids or {}) do
    local action, path = by_id[id], ("actions_to_run[%d]"):format(index)
    if not action then
      table.insert(faults, ("%s: %s is not an action of pipeline %q; it has %s"):format(path, id, pipeline.name,
        list_actions(pipeline)))
    elseif action.disabled then
      table.insert(faults, ("%s: action %q is disabled"):format(path, action.name))
    end
  end
end

-- What starts by itself runs on the refs of its event, and nobody is there to say why.
local function check_asked(faults, at, fields)
  check_ref(faults, at.pipeline, at)
  if at.pipeline.description_required and (fields.comment or ""):match "^%s*$" then
    table.insert(faults, ("comment: pipeline %q wants one"):format(at.pipeline.name))
  end
end

local function check_gates(faults, pipeline)
  if pipeline.disabled then
    table.insert(faults, ("Pipeline %q is disabled%s"):format(pipeline.name,
      pipeline.disabled_reason and ": " .. pipeline.disabled_reason or ""))
  end
end

---Variables that no process could have in its environment.
---@param faults string[] gets what is found
---@param list? engine.Variable[]
function M.check_variables(faults, list)
  for _, item in ipairs(list or {}) do
    if item.key:find "[=%z]" then
      table.insert(faults, ("variables: the key %q holds = or NUL, which no name can"):format(item.key))
    end
    if item.value:find "%z" then
      table.insert(faults, ("variables: the value of %s holds NUL, which none can"):format(item.key))
    end
  end
end

local function check_from(faults, project, from)
  if from and not (from:find "^%x+$" and project:commit(from)) then
    table.insert(faults, ("from_revision.revision: the repository has no commit %q"):format(from))
  end
end

local BY_ITSELF = { EVENT = true, SCHEDULE = true }

local function check(project, at, fields, from, triggered_on)
  local faults = {}
  check_gates(faults, at.pipeline)
  if not BY_ITSELF[triggered_on] then check_asked(faults, at, fields) end
  check_actions(faults, at.pipeline, fields.actions_to_run)
  M.check_variables(faults, fields.variables)
  check_from(faults, project, from)
  if #faults > 0 then refusal.raise(400, faults) end
end

local function has_encrypted(list)
  for _, item in ipairs(list or {}) do
    if item.encrypted then return true end
  end
  return false
end

---@class engine.request.Origin
---@field triggered_on "CLICK"|"PIPELINE"|"EVENT"|"SCHEDULE"
---@field caller? engine.Execution that asks for this one

---Reads a request. Raises a refusal with every fault.
---@param engine engine.Inside
---@param entry engine.catalog.Pipeline
---@param object table the request in the API's form
---@param origin engine.request.Origin
---@return engine.Execution e not yet in the book
---@return engine.Pipeline pipeline at its revision
function M.read(engine, entry, object, origin)
  local project, request, faults = engine.project, M.validated(object)
  if not request then refusal.raise(400, faults) end
  local text = request:json()
  local fields = json.decode(text)
  local from = fields.from_revision and fields.from_revision.revision
  local at = target(project, entry, fields)
  check(project, at, fields, from, origin.triggered_on)
  local caller = origin.caller or {}
  local e = {
    pipeline = entry.id,
    priority = fields.priority or at.pipeline.priority,
    revision = at.revision,
    from_revision = from and project:commit(from).revision,
    ref_kind = at.kind,
    ref_name = at.name,
    comment = fields.comment or "",
    refresh = fields.refresh and 1 or 0,
    clear_cache = fields.clear_cache and 1 or 0,
    request = request:masked(),
    sealed = has_encrypted(fields.variables) and engine.key:seal(text) or nil,
    delay_until = fields.delay_until and date.parse(fields.delay_until),
    triggered_on = origin.triggered_on,
    caller_pipeline = caller.pipeline,
    caller_number = caller.number,
  }
  return e, at.pipeline
end

return M

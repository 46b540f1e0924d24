--- Methods of stored variables. A request without a scope is about the workspace.
local durable = require "moonsail.engine.durable"
local fields = require "moonsail.engine.fields"
local json = require "host.json"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"

local M = {}

local VARIABLES = "/workspaces/:workspace/variables"
local MAX_VALUE = 64 * 1024 -- bytes; a process starts with no more than twice that in one variable
local MASK = "!encrypted ••••" -- as Buddy's samples begin

-- ---- Scopes.

local PROJECT, PIPELINE, ACTION = fields.only("name", fields.text(255)), fields.only("id", fields.id),
  fields.only("id", fields.id)

-- From a scope's field to the level and its owner; nil when there is no such thing.
local function owner_of(engine, level, value)
  if level == "project" then return value == engine.urls.project_name and 0 or nil end
  local entries = level == "pipeline" and engine.catalog.pipelines or engine.catalog.actions
  return entries[value] and value
end

local LEVELS = { "project", "pipeline", "action" }

-- The scope that a body has. Without any it is the workspace.
local function scope_in(engine, values, faults)
  local level, count = "workspace", 0
  for _, name in ipairs(LEVELS) do
    if values[name] then level, count = name, count + 1 end
  end
  if count > 1 then table.insert(faults, "Only one scope is allowed: project, pipeline, action") end
  if level == "workspace" then return level, 0 end
  local owner = owner_of(engine, level, values[level])
  if not owner then table.insert(faults, ("%s: there is no %s %s"):format(level, level, values[level])) end
  return level, owner
end

-- The scope that a query has: the narrowest that it names. The newer names, and those that Buddy's Go client sends.
local QUERY = {
  { level = "action", names = { "action_id", "actionId" } },
  { level = "pipeline", names = { "pipeline_id", "pipelineId" } },
  { level = "project", names = { "project_name", "projectName" } },
}

local function checked_owner(engine, level, query, name)
  local value = level == "project" and query[name] or page.number(query, name, 0, 1)
  return owner_of(engine, level, value)
    or refusal.raise(404, ("There is no %s %q"):format(level, query[name]))
end

local function scope_of_query(engine, query)
  for _, name in ipairs { "environment_id", "environmentId", "sandbox_id", "sandboxId" } do
    if query[name] then refusal.raise(404, ("%s: the engine has no environments and no sandboxes"):format(name)) end
  end
  local level, owner = "workspace", 0
  for index = #QUERY, 1, -1 do
    for _, name in ipairs(QUERY[index].names) do
      if query[name] then
        level = QUERY[index].level
        owner = checked_owner(engine, level, query, name)
      end
    end
  end
  return level, owner
end

-- ---- Answers.

local function scope_object(engine, variable)
  local urls, catalog, owner = engine.urls, engine.catalog, variable.owner
  if variable.level == "project" then
    return { url = urls.api, html_url = urls.web, name = urls.project_name }
  elseif variable.level == "pipeline" then
    return { url = urls:pipeline(owner), html_url = urls:pipeline_web(owner), id = owner,
      name = catalog.pipelines[owner].identifier }
  elseif variable.level == "action" then
    local action = catalog.actions[owner]
    return { url = urls:action(action.pipeline, owner), html_url = urls:action_web(action.pipeline, owner),
      id = owner, name = action.name }
  end
end

local function object_of(engine, variable)
  local list = engine.urls:workspace_api() .. "/variables"
  local object = { url = ("%s/%d"):format(list, variable.id), html_url = engine.urls:workspace_web() .. "/variables",
    id = variable.id, key = variable.key, value = variable.encrypted and MASK or variable.value, type = variable.type,
    encrypted = variable.encrypted, settable = variable.settable, run_only_settable = variable.run_only_settable,
    description = variable.description }
  if variable.level ~= "workspace" then object[variable.level] = scope_object(engine, variable) end
  return object
end

-- ---- Requests.

local function only_here(what)
  return fields.such("nothing: the engine has no " .. what, function() return false end)
end

local read = fields.of_body({
  key = fields.such("a name: letters, digits and _, not a digit first", function(value)
    return type(value) == "string" and #value <= 255 and value:find "^[%a_][%w_]*$" ~= nil
  end),
  value = fields.text(MAX_VALUE),
  type = fields.such("VAR: the engine has no variables that are files or keys", function(value)
    return value == "VAR"
  end),
  encrypted = fields.boolean,
  settable = fields.boolean,
  run_only_settable = fields.boolean,
  description = fields.text(4096),
  project = PROJECT, pipeline = PIPELINE, action = ACTION,
  environment = only_here "environments", sandbox = only_here "sandboxes",
}, { "key", "value" })

-- What Buddy has encrypted, or the mask that a client has read and sends back.
local function check_value(faults, value)
  if value and (value:find "^secure!" or value:find "^!encrypted ") then
    table.insert(faults, "value: is encrypted already, and only who did that can decrypt it; send the value itself")
  end
end

local function check_key(engine, faults, variable)
  local other = engine.stored:find(variable.level, variable.owner, variable.key)
  if other and other ~= variable.id then
    table.insert(faults, ("key: variable %d of this scope has the name %s already; change that one"):format(other,
      variable.key))
  end
end

local function list(engine, _, request)
  local variables = engine.stored:list(scope_of_query(engine, request.query))
  local objects = json.list {}
  for index, variable in ipairs(page.slice_if_asked(request.query, variables)) do
    objects[index] = object_of(engine, variable)
  end
  return json.encode { url = engine.urls:workspace_api() .. "/variables",
    html_url = engine.urls:workspace_web() .. "/variables", variables = objects }
end

local function create(engine, _, request)
  local values, faults = read(request.body)
  local level, owner = scope_in(engine, values, faults)
  check_value(faults, values.value)
  fields.check(faults)
  local variable = { level = level, owner = owner, key = values.key, value = values.value, type = "VAR",
    encrypted = values.encrypted or false, settable = values.settable or false,
    run_only_settable = values.run_only_settable or false, description = values.description or "" }
  check_key(engine, faults, variable)
  fields.check(faults)
  engine.stored:add(variable)
  durable(engine)
  return json.encode(object_of(engine, variable)), 201
end

local function found(engine, at)
  return engine.stored:get(at.variable) or refusal.raise(404, ("There is no variable %d"):format(at.variable))
end

local function get(engine, at)
  return json.encode(object_of(engine, found(engine, at)))
end

-- A change must not show what was secret.
local function check_change(engine, faults, variable, values)
  check_value(faults, values.value)
  if variable.encrypted and values.encrypted == false and not values.value then
    table.insert(faults, "encrypted: send a value, too; the present one stays secret")
  elseif not variable.value and not values.value then
    table.insert(faults, "value: the present one cannot be read any more; send another")
  end
  local level, owner = scope_in(engine, values, faults)
  if level ~= "workspace" and (level ~= variable.level or owner ~= variable.owner) then
    table.insert(faults, level .. ": a variable stays in its scope; add another one there")
  end
end

local CHANGEABLE = { "key", "value", "encrypted", "settable", "run_only_settable", "description" }

local function change(engine, at, request)
  local variable = found(engine, at)
  local values, faults = read(request.body, true)
  check_change(engine, faults, variable, values)
  local was_plain = not variable.encrypted
  for _, name in ipairs(CHANGEABLE) do
    if values[name] ~= nil then variable[name] = values[name] end
  end
  check_key(engine, faults, variable)
  fields.check(faults)
  engine.stored:update(variable)
  if was_plain and variable.encrypted then engine.store:wipe() end
  durable(engine)
  return json.encode(object_of(engine, variable))
end

local function remove(engine, at)
  engine.stored:remove(found(engine, at).id)
  durable(engine)
  return nil, 204
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  add("GET", VARIABLES, "VARIABLE_INFO", list)
  add("POST", VARIABLES, "VARIABLE_ADD", create)
  add("GET", VARIABLES .. "/:variable", "VARIABLE_INFO", get)
  add("PATCH", VARIABLES .. "/:variable", "VARIABLE_MANAGE", change)
  add("DELETE", VARIABLES .. "/:variable", "VARIABLE_MANAGE", remove)
end

return M

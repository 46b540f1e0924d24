--- buddy.yml: from its text to the pipelines that it defines, or to every fault in it. What the engine cannot do is
--- refused here, by name and line, rather than skipped when a pipeline runs.
local action_types = require "moonsail.engine.action"
local shape = require "moonsail.engine.shape"
local yaml = require "moonsail.engine.yaml"

local M = {}

M.FILE = "buddy.yml"

local MAX_BYTES = 1024 * 1024

---@class engine.Variable
---@field key string
---@field value string
---@field encrypted? boolean its value is masked in logs

---@class engine.Action
---@field id integer given by the catalog
---@field name string
---@field type string
---@field trigger_time "ON_EVERY_EXECUTION"|"ON_SUCCESS"|"ON_FAILURE"
---@field timeout? integer seconds
---@field disabled boolean
---@field ignore_errors boolean
---@field variables engine.Variable[]

---@class engine.Pipeline
---@field id integer given by the catalog
---@field identifier string the text id
---@field name string
---@field on "CLICK"|"EVENT"|"SCHEDULE"
---@field refs string[] what it may run on; empty: any ref
---@field actions engine.Action[]

local function variable_key(check, node, path)
  if node.text and node.text:find "^[%a_][%w_]*$" then return node.text end
  check:fault(node, path, "a variable's name consists of letters, digits and _, and does not start with a digit")
end

local function ref(check, node, path)
  local text = shape.name(check, node, path)
  if text and text:find "^%(" then
    check:fault(node, path, "regular expressions are not supported here; write a pattern with *")
  end
  return text
end

local read_variable = shape.map {
  key = { variable_key, required = true },
  value = { shape.text, required = true },
  type = { shape.one_of { "VAR" }, default = "VAR" },
  description = shape.text,
  encrypted = shape.boolean,
  settable = shape.boolean,
}

local function variable(check, node, path)
  local value = read_variable(check, node, path)
  if value and value.encrypted and value.value and value.value:find "^secure!" then
    check:fault(node, path, "only Buddy itself can decrypt this value; pass it with the request")
  end
  return value
end

local event = shape.map {
  type = { shape.one_of { "PUSH", "CREATE_REF", "DELETE_REF", "PULL_REQUEST", "SCHEDULE", "PUBLISH_PACKAGE",
    "DELETE_PACKAGE", "WEBHOOK", "EMAIL" }, required = true },
  refs = shape.list_of(ref),
  events = shape.list_of(shape.text),
  branches = shape.list_of(shape.text),
  start_date = shape.text,
  delay = shape.text,
  cron = shape.text,
  timezone = shape.text,
}

local ACTION = {
  action = { shape.name, required = true },
  type = { shape.name, required = true },
  trigger_time = { shape.one_of { "ON_EVERY_EXECUTION", "ON_SUCCESS", "ON_FAILURE" }, default = "ON_EVERY_EXECUTION" },
  timeout = shape.integer(1, 7 * 24 * 3600),
  disabled = { shape.boolean, default = false },
  ignore_errors = { shape.boolean, default = false },
  variables = { shape.list_of(variable), default = {} },
}

local readers = {}
for name, kind in pairs(action_types) do
  readers[name] = shape.map(shape.with(ACTION, kind.keys))
end

local function type_names()
  local names = {}
  for name in pairs(action_types) do table.insert(names, name) end
  table.sort(names)
  return table.concat(names, ", ")
end

local function action(check, node, path)
  if node.kind ~= "map" then return check:fault(node, path, "expected a map") end
  local kind = node.items.type
  local read = kind and kind.text and readers[kind.text]
  if kind and not read then
    return check:fault(kind, path .. ".type", "the engine cannot run actions of type %q; it runs %s",
      kind.text or kind.kind, type_names())
  end
  local value = (read or shape.map(ACTION))(check, node, path)
  value.name, value.action = value.action, nil
  return value
end

local PRIORITY = shape.one_of { "LOW", "NORMAL", "HIGH" }

local read_pipeline = shape.map {
  pipeline = { shape.name, required = true },
  name = shape.name,
  on = shape.one_of { "CLICK", "EVENT", "SCHEDULE" },
  refs = { shape.list_of(ref), default = {} },
  events = { shape.list_of(event), default = {} },
  priority = { PRIORITY, default = "NORMAL" },
  variables = { shape.list_of(variable), default = {} },
  actions = { shape.list_of(action, 1), required = true },
  description_required = { shape.boolean, default = false },
  disabled = { shape.boolean, default = false },
  disabled_reason = shape.text,
  concurrent_pipeline_runs = { shape.boolean, default = false },
  always_from_scratch = { shape.boolean, default = false },
}

-- A pipeline that only names the refs of its events runs on those by hand, too.
local function add_refs_of_events(pipeline)
  if #pipeline.refs > 0 then return end
  local refs, known = {}, {}
  for _, item in ipairs(pipeline.events) do
    for _, name in ipairs(item.refs or {}) do
      if not known[name] then table.insert(refs, name) end
      known[name] = true
    end
  end
  pipeline.refs = refs
end

local function pipeline(check, node, path)
  local value = read_pipeline(check, node, path)
  if not value then return nil end
  value.identifier, value.pipeline = value.pipeline, nil
  value.name = value.name or value.identifier
  if #check.faults == 0 then
    value.on = value.on or (#value.events > 0 and "EVENT" or "CLICK")
    add_refs_of_events(value)
  end
  return value
end

-- Two of one name: `key` is where the file has the name.
local function check_names(check, list, path, key)
  local seen = {}
  for index, item in ipairs(list.items or {}) do
    local name = item.kind == "map" and item.items[key]
    if name and name.text then
      local here = ("%s[%d].%s"):format(path, index, key)
      if seen[name.text] then
        check:fault(name, here, "%q is also the name of %s[%d]", name.text, path, seen[name.text])
      end
      seen[name.text] = seen[name.text] or index
    end
  end
end

local function check_all_names(check, root)
  check_names(check, root, "", "pipeline")
  for index, item in ipairs(root.items) do
    local actions = item.kind == "map" and item.items.actions
    if actions and actions.kind == "list" then
      check_names(check, actions, ("[%d].actions"):format(index), "action")
    end
  end
end

---Reads a definition.
---@param text string the content of buddy.yml
---@return engine.Pipeline[]? pipelines
---@return string[]? faults every one, in the order of the file, such as "buddy.yml:7: [1].actions[2].type: …"
function M.read(text)
  local check = shape.check(M.FILE)
  if #text > MAX_BYTES then
    check:fault({}, "", "is larger than %d bytes", MAX_BYTES)
    return nil, check:texts()
  end
  local root, fault = yaml.read(text)
  if not root then
    check:fault(fault, "", "is not YAML that can be read: %s", fault.message)
    return nil, check:texts()
  end
  if root.kind == "null" then return {} end
  local pipelines = shape.list_of(pipeline)(check, root, "")
  if pipelines then check_all_names(check, root) end
  if #check.faults > 0 then return nil, check:texts() end
  return pipelines
end

return M

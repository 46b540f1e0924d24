--- buddy.yml and .buddy/*.yml: from their texts to the pipelines that they define, or to every fault in them. What the
--- engine cannot do is refused here, by name and line, rather than skipped when a pipeline runs.
local condition = require "moonsail.engine.condition"
local language = require "moonsail.engine.language"
local run_next_pipeline = require "moonsail.engine.action.run_next_pipeline"
local shape = require "moonsail.engine.shape"
local yaml = require "moonsail.engine.yaml"

local M = {}

M.FILE = "buddy.yml"
M.FOLDER = ".buddy"

local MAX_BYTES = 1024 * 1024

---@class engine.Variable
---@field key string
---@field value string
---@field encrypted? boolean its value is masked in logs
---@field settable? boolean an action may change it, for good
---@field run_only_settable? boolean an action may change it, for the rest of the execution

---@class engine.Action with the keys of its type; the common ones are language.action
---@field id integer given by the catalog
---@field name string
---@field type string
---@field trigger_time string one of language.trigger_times
---@field trigger_conditions engine.Condition[]
---@field timeout? integer seconds, for each try
---@field disabled boolean
---@field ignore_errors boolean
---@field retry_count integer tries after the first
---@field retry_interval integer seconds between them
---@field run_next "WAIT_ON_SUCCESS"|"IN_SOFT_PARALLEL"|"IN_HARD_PARALLEL"
---@field run_only_on_first_failure boolean
---@field variables engine.Variable[]

---@class engine.Pipeline its keys are language.pipeline
---@field id integer given by the catalog
---@field identifier string the text id
---@field name string
---@field on "CLICK"|"EVENT"|"SCHEDULE"
---@field refs string[] what it may run on; empty: any ref
---@field trigger_conditions engine.Condition[]
---@field actions engine.Action[]

---@class engine.definition.File
---@field name string its path in the repository
---@field text string

-- Two of one name in a list: `key` is where the file has the name.
local function check_names(check, list, path, key, seen)
  for index, item in ipairs(list.items or {}) do
    local name = item.kind == "map" and item.items[key]
    if name and name.text then
      local here = ("%s[%d]"):format(path, index)
      local before = seen[name.text]
      if before then check:fault(name, here .. "." .. key, "%q is also the name of %s", name.text, before) end
      seen[name.text] = before or path == "" and check.file .. " " .. here or here
    end
  end
end

-- A condition on an action that the pipeline does not have would never hold, or always.
local function check_conditions(check, node, path, names)
  for index, item in ipairs(node.items) do
    local conditions = item.kind == "map" and item.items.trigger_conditions
    local function visit(one)
      local name = one.kind == "map" and one.items.trigger_action_name
      if name and name.text and not names[name.text] then
        check:fault(name, ("%s[%d].trigger_conditions"):format(path, index), "the pipeline has no action %q", name.text)
      end
    end
    condition.each_node(conditions, visit)
  end
end

local function check_actions(check, root)
  for index, item in ipairs(root.items) do
    local actions = item.kind == "map" and item.items.actions
    if actions and actions.kind == "list" then
      local path, names = ("[%d].actions"):format(index), {}
      check_names(check, actions, path, "action", names)
      check_conditions(check, actions, path, names)
    end
  end
end

-- Appends the pipelines of one file. `seen` has the names of those before.
local function read_file(file, pipelines, seen)
  local check = shape.check(file.name)
  if #file.text > MAX_BYTES then
    check:fault({}, "", "is larger than %d bytes", MAX_BYTES)
    return check:texts()
  end
  local root, fault = yaml.read(file.text)
  if not root then
    check:fault(fault, "", "is not YAML that can be read: %s", fault.message)
    return check:texts()
  end
  if root.kind == "null" then return {} end
  local list = shape.list_of(language.read_pipeline)(check, root, "")
  if list then
    check_names(check, root, "", "pipeline", seen)
    check_actions(check, root)
    table.move(list, 1, #list, #pipelines + 1, pipelines)
  end
  return check:texts()
end

---Reads a definition.
---@param files engine.definition.File[]
---@return engine.Pipeline[]? pipelines
---@return string[]? faults every one, in the order of the files, such as "buddy.yml:7: [1].actions[2].type: …"
function M.read(files)
  local pipelines, faults, seen = {}, {}, {}
  for _, file in ipairs(files) do
    local texts = read_file(file, pipelines, seen)
    table.move(texts, 1, #texts, #faults + 1, faults)
  end
  if #faults > 0 then return nil, faults end
  local circle = run_next_pipeline.circle(pipelines)
  if circle then return nil, { "pipelines start each other in a circle: " .. circle } end
  return pipelines
end

return M

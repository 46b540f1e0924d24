--- Trigger conditions of pipelines and actions: what they look like in buddy.yml, and whether they hold.
--- All conditions of a list must hold; an OR holds when one of its operands does.
local refs = require "moonsail.engine.refs"
local shape = require "moonsail.engine.shape"

local M = {}

---@class engine.Condition
---@field trigger_condition string its kind, a key of M.kinds

---@class engine.condition.Facts what conditions are about; its functions are asked only when a condition needs them
---@field variables fun(): table<string, string>
---@field changed fun(): string[] paths that differ from the execution before
---@field now number seconds since 1970
---@field user string e-mail of who started the execution
---@field last_status fun(project: string?, pipeline: string): string?
---@field action_status fun(name: string): string?

---@class engine.condition.Kind
---@field keys table as shape.map wants them
---@field check? fun(value: engine.Condition): string? what is wrong with one that was read
---@field holds fun(facts: engine.condition.Facts, condition: engine.Condition): boolean

local UTC = shape.one_of({ "UTC" }, { ["Etc/UTC"] = "UTC" })

-- ---- Changes.

-- A path names a file or a folder, from the top of the repository; * stands for any text.
local function concerns(pattern, path)
  local wanted = pattern:gsub("^/", ""):gsub("/$", "")
  return wanted == "" or refs.matches(wanted, path) or refs.matches(wanted .. "/*", path)
end

local function changed_at(facts, condition)
  for _, path in ipairs(facts.changed()) do
    for _, pattern in ipairs(condition.trigger_condition_paths) do
      if concerns(pattern, path) then return true end
    end
  end
  return false
end

-- ---- Variables. One that is not set is an empty text.

local function variable(holds)
  return {
    keys = {
      trigger_variable_key = { shape.name, required = true },
      trigger_variable_value = { shape.text, required = true },
    },
    holds = function(facts, condition)
      return holds(facts.variables()[condition.trigger_variable_key] or "", condition.trigger_variable_value)
    end,
  }
end

local function contains(value, wanted) return value:find(wanted, 1, true) ~= nil end

-- Compares as numbers; what is not a number is neither less nor greater.
local function numbers(compare)
  return variable(function(value, wanted)
    local a, b = tonumber(value), tonumber(wanted)
    return a ~= nil and b ~= nil and compare(a, b)
  end)
end

-- ---- Time, in UTC: the host has no database of time zones that Lua could ask.

local DAYS = { shape.list_of(shape.integer(1, 7), 1), required = true }
local HOURS = { shape.list_of(shape.integer(1, 24), 1), required = true }

local function has(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

-- 1970 began on a Thursday; Monday is 1.
local function on_day(facts, condition)
  return has(condition.trigger_days, (math.floor(facts.now) // 86400 + 3) % 7 + 1)
end

-- Hour 24 is the one that begins at midnight.
local function in_hour(facts, condition)
  local hour = math.floor(facts.now) // 3600 % 24
  return has(condition.trigger_hours, hour == 0 and 24 or hour)
end

local function on_day_in_hour(...) return on_day(...) and in_hour(...) end

local function time(keys, holds)
  return { keys = shape.with({ timezone = UTC, zone_id = UTC }, keys), holds = holds }
end

-- ---- Who. The engine has one user and no groups.

local USER = { trigger_user = { shape.name, required = true } }
local GROUP = { trigger_group = { shape.name, required = true } }

local function is_user(facts, condition) return facts.user:lower() == condition.trigger_user:lower() end

-- ---- Other pipelines and actions. SPEC names them `project` and `pipeline`.

local function succeeded(facts, condition)
  local project = condition.trigger_project_name or condition.project
  return facts.last_status(project, condition.trigger_pipeline_name or condition.pipeline) == "SUCCESSFUL"
end

local SUCCESS_PIPELINE = {
  keys = { trigger_project_name = shape.name, trigger_pipeline_name = shape.name, project = shape.name,
    pipeline = shape.name },
  check = function(value)
    return not (value.trigger_pipeline_name or value.pipeline) and "trigger_pipeline_name is missing" or nil
  end,
  holds = succeeded,
}

local ACTION = {
  trigger_action_name = { shape.name, required = true },
  trigger_status = { shape.one_of({ "SUCCESSFUL", "FAILED", "SKIPPED", "SUPPRESSED" }, { SUPRESSED = "SUPPRESSED" }),
    required = true },
}

local function has_status(facts, condition)
  return facts.action_status(condition.trigger_action_name) == condition.trigger_status
end

-- ---- All of them.

local function negated(holds)
  return function(...) return not holds(...) end
end

local function any_of(facts, condition)
  for _, operand in ipairs(condition.trigger_operands) do
    if M.kinds[operand.trigger_condition].holds(facts, operand) then return true end
  end
  return false
end

---The kinds of condition, by name.
---@type table<string, engine.condition.Kind>
M.kinds = {
  ALWAYS = { keys = {}, holds = function() return true end },
  OR = { keys = {}, holds = any_of }, -- the key of its operands is M.reader's
  ON_CHANGE = { keys = {}, holds = function(facts) return #facts.changed() > 0 end },
  ON_CHANGE_AT_PATH = { keys = { trigger_condition_paths = { shape.list_of(shape.name, 1), required = true } },
    holds = changed_at },
  VAR_IS = variable(function(value, wanted) return value == wanted end),
  VAR_IS_NOT = variable(function(value, wanted) return value ~= wanted end),
  VAR_CONTAINS = variable(contains),
  VAR_NOT_CONTAINS = variable(negated(contains)),
  VAR_LESS_THAN = numbers(function(a, b) return a < b end),
  VAR_LESS_THAN_OR_EQUAL = numbers(function(a, b) return a <= b end),
  VAR_GREATER_THAN = numbers(function(a, b) return a > b end),
  VAR_GREATER_THAN_OR_EQUAL = numbers(function(a, b) return a >= b end),
  DAY = time({ trigger_days = DAYS }, on_day),
  HOUR = time({ trigger_hours = HOURS }, in_hour),
  DATETIME = time({ trigger_days = DAYS, trigger_hours = HOURS }, on_day_in_hour),
  SUCCESS_PIPELINE = SUCCESS_PIPELINE,
  TRIGGERING_USER_IS = { keys = USER, holds = is_user },
  TRIGGERING_USER_IS_NOT = { keys = USER, holds = negated(is_user) },
  TRIGGERING_USER_IS_IN_GROUP = { keys = GROUP, holds = function() return false end },
  TRIGGERING_USER_IS_NOT_IN_GROUP = { keys = GROUP, holds = function() return true end },
  ACTION_STATUS_IS = { keys = ACTION, holds = has_status },
  ACTION_STATUS_IS_NOT = { keys = ACTION, holds = negated(has_status) },
}

local function is_about_actions(name) return name:find "^ACTION_STATUS" ~= nil end

local function keys_of_kinds(of_action, operands)
  local keys = {}
  for name, kind in pairs(M.kinds) do
    if of_action or not is_about_actions(name) then keys[name] = kind.keys end
  end
  keys.OR = { trigger_operands = { operands, required = true } }
  return keys
end

---A reader of a list of conditions.
---@param of_action boolean conditions of an action may be about other actions
---@return function read
---@return table<string, table> keys of each kind that it reads
function M.reader(of_action)
  local read
  local one = shape.reader("conditions", function(check, node, path)
    local value = read(check, node, path)
    local kind = value and M.kinds[value.trigger_condition]
    local problem = kind and kind.check and kind.check(value)
    if problem then check:fault(node, path, problem) end
    return value
  end)
  local operands = shape.list_of(one, 1)
  local keys = keys_of_kinds(of_action, operands)
  read = shape.variant("trigger_condition", { trigger_condition = { shape.name, required = true } }, keys,
    "the engine knows no condition %q here; it knows %s")
  return shape.list_of(one), keys
end

---Calls `visit` with every condition in a part of a file, operands included.
---@param node? engine.yaml.Node the list of conditions, which may be a fault
---@param visit fun(node: engine.yaml.Node)
function M.each_node(node, visit)
  if not node or node.kind ~= "list" then return end
  for _, item in ipairs(node.items) do
    visit(item)
    M.each_node(item.kind == "map" and item.items.trigger_operands or nil, visit)
  end
end

local function describe_value(value)
  if type(value) ~= "table" then return tostring(value) end
  local texts = {}
  for index, item in ipairs(value) do texts[index] = type(item) == "table" and M.describe(item) or tostring(item) end
  return "[" .. table.concat(texts, ", ") .. "]"
end

---A condition in a line, such as "VAR_IS trigger_variable_key=A trigger_variable_value=1".
---@param condition engine.Condition
---@return string
function M.describe(condition)
  local words = { condition.trigger_condition }
  for _, key in ipairs(shape.names(condition)) do
    if key ~= "trigger_condition" then table.insert(words, key .. "=" .. describe_value(condition[key])) end
  end
  return table.concat(words, " ")
end

---The first condition of a list that does not hold.
---@param conditions engine.Condition[]
---@param facts engine.condition.Facts
---@return engine.Condition? unmet nil when all hold
function M.unmet(conditions, facts)
  for _, condition in ipairs(conditions) do
    if not M.kinds[condition.trigger_condition].holds(facts, condition) then return condition end
  end
end

return M

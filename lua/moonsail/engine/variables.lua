--- The variables of an execution: which value wins, and what actions change.
---
--- From wide to narrow, the last one wins: workspace, project, pipeline, action, the request, and what people and
--- actions have given since. What buddy.yml and the API define on one level is one level; there the API's wins.
--- An action changes a variable by exporting it: a settable one for good, an OUTPUT_* for the rest of the execution.
local M = {}

---@class engine.Variables
---@field passed engine.Variable[] given while the execution runs; it goes before all others
local Variables = {}
Variables.__index = Variables

---@param engine engine.Inside its `stored`, if there is one, has the API's variables: `levels(pipeline, action)`, and
---`change(variable, value)` for one of them that an action has changed
---@param pipeline engine.Pipeline
---@param request? engine.Variable[] with the values of encrypted ones
---@return engine.Variables
function M.new(engine, pipeline, request)
  return setmetatable({ sql = engine.sql, key = engine.key, stored = engine.stored, pipeline = pipeline,
    request = request or {}, passed = {}, changed = {} }, Variables)
end

---@class engine.variables.Scope
---@field list engine.Variable[]
---@field level? "pipeline"|"action" of buddy.yml
---@field owner? integer the id of the pipeline or action
---@field stored? boolean the list is the API's

-- All lists that may have a variable, from wide to narrow.
function Variables:scopes(action)
  local pipeline = self.pipeline
  local stored = self.stored and self.stored:levels(pipeline.id, action and action.id) or {}
  local scopes = {}
  local function add(list, scope)
    scope.list = list or {}
    table.insert(scopes, scope)
  end
  add(stored.workspace, { stored = true })
  add(stored.project, { stored = true })
  add(pipeline.variables, { level = "pipeline", owner = pipeline.id })
  add(stored.pipeline, { stored = true })
  if action then
    add(action.variables, { level = "action", owner = action.id })
    add(stored.action, { stored = true })
  end
  add(self.request, {})
  add(self.passed, {})
  return scopes
end

local function place(scope, key)
  return ("%s/%d/%s"):format(scope.level, scope.owner, key)
end

-- The value of a variable now; what buddy.yml says is where a settable one begins.
function Variables:value(scope, variable)
  if not scope.level then return variable.value end
  local changed = self.changed[place(scope, variable.key)]
  if changed or not variable.settable then return changed or variable.value end
  local kept = self.sql.kept_variable:row(scope.level, scope.owner, variable.key)
  if not kept then return variable.value end
  return kept.value or self.key:open(kept.sealed) or variable.value
end

---@class engine.variables.Found
---@field value string
---@field settable? { scope: engine.variables.Scope, variable: engine.Variable } what an action may change
---@field passed boolean the value is of this execution alone

local function may_change(variable)
  return variable.settable or variable.run_only_settable
end

-- What a scope makes of a variable that wider ones may have found. A value of this execution alone stands before the
-- variable of its name, and what an action changes is that one.
function Variables:found(scope, variable, before)
  local passed = not scope.level and not scope.stored
  local settable
  if passed then
    settable = before and before.settable
  elseif may_change(variable) then
    settable = { scope = scope, variable = variable }
  end
  return { value = self:value(scope, variable), settable = settable, passed = passed }
end

---The variables of an action, or of the pipeline alone, by name.
---@param action? engine.Action
---@return table<string, engine.variables.Found>
function Variables:of(action)
  local found = {}
  for _, scope in ipairs(self:scopes(action)) do
    for _, variable in ipairs(scope.list) do
      if variable.value then -- a WAIT_FOR_VARIABLES action lists names that have none yet
        found[variable.key] = self:found(scope, variable, found[variable.key])
      end
    end
  end
  return found
end

---The values that logs must not show.
---@param action? engine.Action
---@return string[]
function Variables:secrets(action)
  local values = {}
  for _, scope in ipairs(self:scopes(action)) do
    for _, variable in ipairs(scope.list) do
      if variable.encrypted and variable.value then table.insert(values, self:value(scope, variable)) end
    end
  end
  return values
end

-- Changes a variable for good, or one of `run_only_settable` until the execution ends.
function Variables:change(settable, value)
  local scope, variable = settable.scope, settable.variable
  if scope.stored and variable.settable then
    self.stored:change(variable, value)
  elseif scope.stored then
    table.insert(self.passed, { key = variable.key, value = value, encrypted = variable.encrypted })
  elseif variable.settable then
    local sealed = variable.encrypted and self.key:seal(value) or nil
    self.sql.keep_variable:run(scope.level, scope.owner, variable.key, not sealed and value or nil, sealed)
  else
    self.changed[place(scope, variable.key)] = value
  end
end

---Takes what an action has exported. What may not be changed is ignored, as Buddy does.
---@param action engine.Action
---@param exported table<string, string>
function Variables:export(action, exported)
  local known = self:of(action)
  for key, value in pairs(exported) do
    local found = known[key]
    if not found or found.value ~= value then
      local settable = found and found.settable
      if settable then self:change(settable, value) end
      if key:find "^OUTPUT_" or settable and found.passed then
        table.insert(self.passed, { key = key, value = value, encrypted = settable and settable.variable.encrypted })
      end
    end
  end
end

return M

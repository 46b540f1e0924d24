--- The variables that the API keeps, on four levels: of the workspace, the project, a pipeline, an action. Values of
--- encrypted ones are sealed in the store. What buddy.yml defines is not here; variables.lua has the precedence.
local M = {}

---@class engine.StoredVariable: engine.Variable
---@field id integer
---@field level "workspace"|"project"|"pipeline"|"action"
---@field owner integer the pipeline or action; 0 for the workspace and the project, of which there is one each
---@field value? string nil when it cannot be unsealed
---@field type "VAR"
---@field encrypted boolean
---@field settable boolean an action may change it
---@field run_only_settable boolean an action may change it for the rest of its execution
---@field description string

---@class engine.StoredVariables
local Stored = {}
Stored.__index = Stored

---@param sql table<string, host.Statement>
---@param key host.Key
---@param report fun(line: string) told of values that cannot be unsealed
---@return engine.StoredVariables
function M.open(sql, key, report)
  return setmetatable({ sql = sql, key = key, report = report }, Stored)
end

function Stored:unsealed(row)
  local value, message = self.key:open(row.sealed)
  if not value then self.report(("variable %s cannot be read: %s"):format(row.key, message)) end
  return value
end

function Stored:from_row(row)
  return { id = row.id, level = row.level, owner = row.owner, key = row.key, type = "VAR",
    value = row.value or self:unsealed(row), encrypted = row.sealed ~= nil, settable = row.settable == 1,
    run_only_settable = row.run_only_settable == 1, description = row.description }
end

---The variables of one level, by name.
---@param level string
---@param owner? integer
---@return engine.StoredVariable[]
function Stored:list(level, owner)
  local list = self.sql.variables:rows(level, owner or 0)
  for index, row in ipairs(list) do list[index] = self:from_row(row) end
  return list
end

---What is visible to a pipeline and one of its actions.
---@param pipeline? integer
---@param action? integer
---@return { workspace: engine.StoredVariable[], project: engine.StoredVariable[], pipeline: engine.StoredVariable[],
---  action: engine.StoredVariable[] }
function Stored:levels(pipeline, action)
  return {
    workspace = self:list "workspace",
    project = self:list "project",
    pipeline = pipeline and self:list("pipeline", pipeline) or {},
    action = action and self:list("action", action) or {},
  }
end

---@param id integer
---@return engine.StoredVariable?
function Stored:get(id)
  local row = self.sql.variable:row(id)
  return row and self:from_row(row)
end

---@param level string
---@param owner integer
---@param key string
---@return integer? id of the variable of this name
function Stored:find(level, owner, key)
  local row = self.sql.variable_named:row(level, owner, key)
  return row and row.id
end

---Gives the value, and whether it is encrypted, the two columns that they have in the store.
function Stored:columns(variable)
  if variable.encrypted then return nil, self.key:seal(variable.value) end
  return variable.value, nil
end

---Adds a variable, and gives it its id.
---@param variable engine.StoredVariable
function Stored:add(variable)
  local value, sealed = self:columns(variable)
  local _, id = self.sql.add_variable:run(variable.level, variable.owner, variable.key, value, sealed,
    variable.settable, variable.run_only_settable, variable.description)
  variable.id = id
end

---Writes all of a variable that may change.
---@param variable engine.StoredVariable
function Stored:update(variable)
  local value, sealed = self:columns(variable)
  self.sql.update_variable:run(variable.id, variable.key, value, sealed, variable.settable,
    variable.run_only_settable, variable.description)
end

---An action has given a settable variable another value; nothing happens to one that has been deleted meanwhile.
---@param variable engine.StoredVariable as `levels` gave it
---@param value string
function Stored:change(variable, value)
  local now = self:get(variable.id)
  if not now then return end
  now.value = value
  self:update(now)
end

---@param id integer
function Stored:remove(id)
  self.sql.remove_variable:run(id)
end

return M

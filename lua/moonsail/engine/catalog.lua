--- Names that outlive a start: numeric ids of pipelines, actions and members, each given once, and the last status
--- of pipelines and actions. All of it fits in memory; changes go to the store as well.
local M = {}

---@class engine.catalog.Pipeline
---@field id integer
---@field identifier string
---@field status string of the execution that started last, INITIAL before the first
---@field revision? string its revision

---@class engine.catalog.Action
---@field id integer
---@field pipeline integer
---@field name string
---@field type string
---@field trigger_time string
---@field status string

---@class engine.catalog.Member
---@field id integer
---@field name string
---@field email string

---@class engine.Catalog
---@field pipelines table<integer, engine.catalog.Pipeline>
---@field actions table<integer, engine.catalog.Action>
---@field members table<integer, engine.catalog.Member>
local Catalog = {}
Catalog.__index = Catalog

local function action_key(pipeline, name)
  return pipeline .. "/" .. name
end

---@param sql table<string, host.Statement>
---@return engine.Catalog
function M.open(sql)
  local self = setmetatable({ sql = sql, pipelines = {}, actions = {}, members = {},
    pipeline_by_name = {}, action_by_name = {}, member_by_email = {} }, Catalog)
  for _, row in ipairs(sql.pipelines:rows()) do
    self.pipelines[row.id], self.pipeline_by_name[row.identifier] = row, row
  end
  for _, row in ipairs(sql.actions:rows()) do
    self.actions[row.id], self.action_by_name[action_key(row.pipeline, row.name)] = row, row
  end
  for _, row in ipairs(sql.members:rows()) do
    self.members[row.id], self.member_by_email[row.email] = row, row
  end
  return self
end

---@param identifier string
---@return engine.catalog.Pipeline
function Catalog:pipeline(identifier)
  local row = self.pipeline_by_name[identifier]
  if row then return row end
  local _, id = self.sql.add_pipeline:run(identifier)
  row = { id = id, identifier = identifier, status = "INITIAL" }
  self.pipelines[id], self.pipeline_by_name[identifier] = row, row
  return row
end

---The entry of an action; its type is what it was when it was last seen.
---@param pipeline integer
---@param definition engine.Action
---@return engine.catalog.Action
function Catalog:action(pipeline, definition)
  local key, kind, time = action_key(pipeline, definition.name), definition.type, definition.trigger_time
  local row = self.action_by_name[key]
  if not row then
    local _, id = self.sql.add_action:run(pipeline, definition.name, kind, time)
    row = { id = id, pipeline = pipeline, name = definition.name, type = kind, trigger_time = time,
      status = "INITIAL" }
    self.actions[id], self.action_by_name[key] = row, row
  elseif row.type ~= kind or row.trigger_time ~= time then
    row.type, row.trigger_time = kind, time
    self.sql.change_action:run(row.id, kind, time)
  end
  return row
end

---@param name string
---@param email string
---@return engine.catalog.Member
function Catalog:member(name, email)
  local row = self.member_by_email[email]
  if row then return row end
  local _, id = self.sql.add_member:run(email, name)
  row = { id = id, name = name, email = email }
  self.members[id], self.member_by_email[email] = row, row
  return row
end

---Gives the pipelines of a definition, and their actions, their ids.
---@param pipelines engine.Pipeline[]
function Catalog:number(pipelines)
  for _, pipeline in ipairs(pipelines) do
    pipeline.id = self:pipeline(pipeline.identifier).id
    for _, action in ipairs(pipeline.actions) do
      action.id = self:action(pipeline.id, action).id
    end
  end
end

---@param id integer
---@param status string
---@param revision? string
function Catalog:set_pipeline_status(id, status, revision)
  local row = self.pipelines[id]
  row.status, row.revision = status, revision or row.revision
  self.sql.touch_pipeline:run(id, status, revision)
end

---@param id integer
---@param status string
function Catalog:set_action_status(id, status)
  self.actions[id].status = status
  self.sql.touch_action:run(id, status)
end

return M

--- Where everything is: URLs of the API, and those that Buddy would give to people (html_url).
local hex = require "moonsail.engine.hex"

local M = {}

---@class engine.Urls
---@field endpoint string
---@field workspace string
---@field project_name string
local Urls = {}
Urls.__index = Urls

---@param endpoint string
---@param workspace string
---@param project_name string
---@param seed string of the 24-hex ids
---@return engine.Urls
function M.new(endpoint, workspace, project_name, seed)
  return setmetatable({
    endpoint = endpoint, workspace = workspace, project_name = project_name, seed = seed,
    api = ("%s/workspaces/%s/projects/%s"):format(endpoint, workspace, project_name),
    web = ("%s/%s/%s"):format(endpoint, workspace, project_name),
  }, Urls)
end

local function segment(name)
  return (name:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---The 24-hex id of an execution.
---@param e engine.Execution
---@return string
function Urls:hex(e)
  return hex.of_execution(self.seed, e.pipeline, e.number)
end

---The place of the action of an execution that has this 24-hex id.
---@param e engine.Execution
---@param id string
---@return integer?
function Urls:position(e, id)
  return hex.position(self:hex(e), e.attempt, id)
end

function Urls:workspace_api() return self.endpoint .. "/workspaces/" .. self.workspace end
function Urls:workspace_web() return self.endpoint .. "/" .. self.workspace end

function Urls:member(id) return ("%s/members/%d"):format(self:workspace_api(), id) end
function Urls:member_web(id) return ("%s/profile/%d"):format(self:workspace_web(), id) end

---@param kind "branches"|"tags"|"commits"|"pulls"
---@param name? string
function Urls:repository(kind, name)
  return ("%s/repository/%s%s"):format(self.api, kind, name and "/" .. segment(name) or "")
end

---@param kind "branch"|"tag"|"commit"|"pull"
---@param name string
function Urls:repository_web(kind, name) return ("%s/repository/%s/%s"):format(self.web, kind, segment(name)) end

function Urls:pipelines() return self.api .. "/pipelines" end
function Urls:pipelines_web() return self.web .. "/pipelines" end

function Urls:pipeline(id) return ("%s/pipelines/%d"):format(self.api, id) end
function Urls:pipeline_web(id) return ("%s/pipelines/pipeline/%d"):format(self.web, id) end

function Urls:action(pipeline, id) return ("%s/pipelines/%d/actions/%d"):format(self.api, pipeline, id) end
function Urls:action_web(pipeline, id) return ("%s/action/%d/edit"):format(self:pipeline_web(pipeline), id) end

function Urls:executions(pipeline) return ("%s/pipelines/%d/executions"):format(self.api, pipeline) end
function Urls:executions_web(pipeline) return self:pipeline_web(pipeline) .. "/executions" end

---Where an execution is.
---@param e engine.Execution
---@return { id: string, url: string, web: string, attempt: integer } place with its 24-hex id
function Urls:execution(e)
  local id = self:hex(e)
  return {
    id = id,
    attempt = e.attempt,
    url = self.api .. "/pipelines/" .. e.pipeline .. "/executions/" .. e.number,
    web = self.web .. "/pipelines/pipeline/" .. e.pipeline .. "/execution/" .. id,
  }
end

---Where an action of an execution is.
---@param place { id: string, url: string, web: string, attempt: integer } of the execution
---@param position integer
---@return string id
---@return string url
---@return string web
function Urls.action_execution(_, place, position)
  local id = hex.of_action(place.id, position, place.attempt)
  return id, place.url .. "/action_executions/" .. id, place.web .. "/?actionExecutionId=" .. id
end

return M

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

---The 24-hex id of an execution, or of its action at `position`.
---@param e engine.Execution
---@param position? integer
---@return string
function Urls:hex(e, position)
  return hex.make(self.seed, e.pipeline, e.number, position)
end

---The place of the action of an execution that has this 24-hex id.
---@param e engine.Execution
---@param id string
---@return integer?
function Urls:position(e, id)
  return hex.position(self.seed, e.pipeline, e.number, id)
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

function Urls:execution(e) return ("%s/pipelines/%d/executions/%d"):format(self.api, e.pipeline, e.number) end

function Urls:execution_web(e)
  return ("%s/pipelines/pipeline/%d/execution/%s"):format(self.web, e.pipeline, self:hex(e))
end

-- Of an action of an execution, from the URLs of the execution and the 24-hex id of the action.

function Urls.action_execution(_, execution, id) return execution .. "/action_executions/" .. id end
function Urls.action_execution_web(_, execution, id) return execution .. "/?actionExecutionId=" .. id end

return M

--- An engine over a repository, with a client of its API, for specs. Its state is in a temporary folder.
---
---   local e <close> = support.start(repo, { kill_after = 0.1 })
---   local status, body, response = e:call("GET", e.project .. "/pipelines")
---   local execution = e:run("build", { branch = { name = "main" } })      -- POST, which must be accepted
---   e:finished(execution)                                                 -- waits until the engine is idle
---   e:log(execution, "Build")                                             -- the lines of an action, by its name
local engine = require "moonsail.engine"
local http = require "host.http"
local json = require "host.json"
local repository = require "spec.support.repository"
local task = require "host.task"

local M = {}

M.LIMIT = 20 -- seconds that anything may take

---@class spec.Engine
---@field engine engine.Engine
---@field project string the path of the project in the API
---@field folder spec.Folder
local Engine = {}
Engine.__index = Engine

---@async
---@param repo { path: string }
---@param options? engine.Options project = false: the engine's own default
---@return spec.Engine
function M.start(repo, options)
  local given = { repository = repo.path, project = "site" }
  for name, value in pairs(options or {}) do given[name] = value or nil end
  local folder = not given.state and repository.folder() or nil
  given.state = given.state or folder.path .. "/state"
  local started, message = engine.start(given)
  if not started then
    if folder then folder:close() end
    error(message, 0)
  end
  return setmetatable({ engine = started, folder = folder, state = given.state, token = started.token,
    project = ("/workspaces/%s/projects/%s"):format(started.workspace, started.project) }, Engine)
end

---A client of an engine that runs elsewhere.
---@param endpoint string
---@param token string
---@return spec.Engine
function M.client(endpoint, token)
  return setmetatable({ engine = { endpoint = endpoint, workspace = "local", project = "site" }, token = token,
    project = "/workspaces/local/projects/site" }, Engine)
end

function Engine:close()
  self.engine:close()
  if self.folder then self.folder:close() end
end

Engine.__close = Engine.close

---@async
---@param body? table|string
---@param headers? table<string, string> default: the token
---@return integer status
---@return any decoded
---@return host.http.Response
function Engine:call(method, path, body, headers)
  local response = assert(http.request {
    method = method,
    url = self.engine.endpoint .. path,
    headers = headers or { Authorization = "Bearer " .. self.token },
    body = type(body) == "table" and json.encode(body) or body,
    max_bytes = 64 * 1024 * 1024,
  })
  return response.status, json.decode(response.body), response
end

---@async
---@return any decoded the answer, which must be a 200
function Engine:get(path)
  local status, body, response = self:call("GET", path)
  if status ~= 200 then error(path .. ": " .. response.body, 2) end
  return body
end

---The messages of an answer that must be a refusal with this status, one a line.
---@async
---@return string
function Engine:refusal(expected, method, path, body, headers)
  local status, answer, response = self:call(method, path, body, headers)
  if status ~= expected then error(("%d: %s"):format(status, response.body), 2) end
  local messages = {}
  for index, item in ipairs(answer.errors) do messages[index] = item.message end
  return table.concat(messages, "\n")
end

---@async
---@param identifier string
---@return string path of the pipeline's executions
function Engine:executions(identifier)
  local found = self:get(("/workspaces/%s/identifiers?project=%s&pipeline=%s"):format(self.engine.workspace,
    self.engine.project, identifier))
  return ("%s/pipelines/%d/executions"):format(self.project, found.pipeline_id)
end

---@async
---@param identifier string of the pipeline
---@param fields? table
---@return table execution
function Engine:run(identifier, fields)
  local status, execution, response = self:call("POST", self:executions(identifier), fields or "{}")
  if status ~= 200 then error(response.body, 2) end
  return execution
end

---The path of an object in the API.
function Engine.path(_, object)
  return (object.url:gsub("^http://[^/]*", ""))
end

---@async
function Engine:again(execution) return self:get(self:path(execution)) end

---The first line of an action's log: where it runs.
---@param image? string
---@return string
function Engine:place(image) return self.engine.inside.isolation:describe(image) end

---Waits until nothing is queued or running.
---@async
---@return table execution in full
function Engine:finished(execution)
  assert(task.timeout(M.LIMIT, self.engine.drain, self.engine))
  return self:again(execution)
end

---Waits until a condition holds.
---@async
---@param condition fun(): any
---@return any
function Engine.eventually(_, condition)
  local ends = task.monotonic() + M.LIMIT
  repeat
    local value = condition()
    if value then return value end
    task.sleep(0.005)
  until task.monotonic() > ends
  error("it did not happen in time", 2)
end

---@async
---@return table execution once it has this status
function Engine:until_status(execution, status)
  return self:eventually(function()
    local now = self:again(execution)
    return now.status == status and now
  end)
end

---@param execution table in full
---@param name string
---@return table action_execution
function Engine.action(_, execution, name)
  for _, item in ipairs(execution.action_executions) do
    if item.action.name == name then return item end
  end
  error("no action " .. name, 2)
end

---@async
---@return string[] lines
function Engine:log(execution, name)
  return self:get(self:path(self:action(execution, name))).log
end

return M

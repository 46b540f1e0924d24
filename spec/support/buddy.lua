--- Plays Buddy's API for the client's specs: canned or computed answers, and a record of what was asked.

local json = require "host.json"
local library = require "moonsail.library"
local server = require "host.server"
local session = require "moonsail.client.session"

local M = {}

M.TOKEN = "11111111-2222-3333-4444-555555555555"
M.PROJECT = "/workspaces/acme/projects/website"
M.BUILD = M.PROJECT .. "/pipelines/2"

---An execution as the API answers it: short, or with actions in full.
---@param id integer
---@param status string
---@param actions? table[] of { id, name, status, progress }
function M.execution(id, status, actions)
  local answer = {
    id = id, status = status, html_url = "http://app/executions/" .. id, start_date = "2030-01-01T00:00:00.000Z",
    finish_date = json.null, triggered_on = "CLICK", priority = "NORMAL", comment = "", refresh = false,
    branch = { name = "master", default = true }, to_revision = { revision = ("%040x"):format(id) },
    from_revision = json.null,
  }
  if actions then
    answer.action_executions = json.list {}
    for i, action in ipairs(actions) do
      answer.action_executions[i] = {
        status = action[3], progress = action[4] or 0, action_execution_id = ("%024x"):format(action[1]),
        action = { id = action[1], name = action[2], type = "BUILD" },
      }
    end
  end
  return answer
end

---A response whose body is JSON unless it is a text already.
function M.answer(status, body, headers)
  return { status = status, body = type(body) == "string" and body or json.encode(body), headers = headers }
end

---The API's own form of a failure.
function M.failure(status, message)
  return M.answer(status, { errors = { { message = message } } })
end

---The list of some executions, newest first, in pages as the request asks for them.
function M.page(request, executions)
  local page, size = tonumber(request.query.page) or 1, tonumber(request.query.per_page) or 20
  local list = json.list(table.move(executions, (page - 1) * size + 1, page * size, 1, {}))
  return {
    executions = list, page = page, page_size = size, element_count = #list,
    total_page_count = math.max(1, math.ceil(#executions / size)), total_element_count = #executions,
  }
end

local function respond(api, request)
  local wanted = ("%s %s"):format(request.method, request.path)
  api.requests[#api.requests + 1] = request
  api.count[wanted] = (api.count[wanted] or 0) + 1
  local route = api.routes[wanted]
  if type(route) == "function" then route = route(request, api.count[wanted]) end
  if route == nil then return M.failure(404, "Not found") end
  return (route.status or route.body) and type(route.status) ~= "string" and route or M.answer(200, route)
end

---Listens on loopback. A route is an answer, or a function of the request and of how often it has come; an answer is
---`answer(...)`, or a table that is sent as JSON. The server is closed with the variable.
---@param routes table<string, any> by "METHOD /path"
function M.serve(routes)
  local api = { routes = routes or {}, requests = {}, count = {} }
  api.server = assert(server.listen({}, function(request) return respond(api, request) end))
  api.url = "http://127.0.0.1:" .. api.server.port
  return setmetatable(api, { __index = M.Api, __close = function() api.server:close() end })
end

M.Api = {}

---A session that talks to it, impatiently.
---@param options? { settings?: table, timing?: table, progress?: table, parameters?: table }
function M.Api:session(options)
  options = options or {}
  local settings = { endpoint = self.url, token = M.TOKEN, workspace = "acme", project = "website" }
  for name, value in pairs(options.settings or {}) do settings[name] = value end
  local timing = { backoff = 0.001, poll = 0.002, poll_longest = 0.004, trouble_longest = 0.004, request = 5 }
  for name, value in pairs(options.timing or {}) do timing[name] = value end
  return session.new {
    settings = settings, timing = timing, progress = options.progress, parameters = options.parameters,
    getenv = function() end,
  }
end

---The library over such a session.
function M.Api:sail(options)
  return library.new(self:session(options))
end

---The body of the last request, decoded.
function M.Api:sent()
  return json.decode(self.requests[#self.requests].body)
end

---What a call raises, which must be one of the library's errors.
function M.raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "nothing was raised")
  assert(require("moonsail.errors").is(err), tostring(err))
  return err
end

return M

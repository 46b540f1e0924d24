--- A plain HTTP server that answers like the API and keeps what it was sent. Nothing of the engine is in it.

local json = require "host.json"
local server = require "host.server"

local M = {}

local function execution(id, status)
  return {
    id = id, status = status, html_url = "http://app/" .. id, url = "http://api/" .. id, comment = "",
    to_revision = { revision = ("5"):rep(40) }, action_executions = json.list {},
  }
end

---@class spec.Api
---@field url string
---@field posts { path: string, text: string, body: any }[] the bodies that were sent to start executions, in order
---@field requests { method: string, path: string, authorization: string? }[]

---Starts it. Every execution that is started has succeeded when it is looked at.
---@param options? { actions?: table[], status?: string }
---@return spec.Api|any closable
function M.serve(options)
  options = options or {}
  local api = { posts = {}, requests = {} }

  local function start(request)
    api.posts[#api.posts + 1] = { path = request.path, text = request.body, body = json.decode(request.body) }
    return execution(#api.posts, "INPROGRESS")
  end

  local function list()
    local entries = json.list {}
    for id = #api.posts, 1, -1 do entries[#entries + 1] = execution(id, options.status or "SUCCESSFUL") end
    return { executions = entries, total_element_count = #entries }
  end

  local function answer(request)
    local path, method = request.path, request.method
    if method == "POST" and path:find "/executions$" then return start(request) end
    local id = path:match "/executions/(%d+)$"
    if id then return execution(math.tointeger(tonumber(id)), options.status or "SUCCESSFUL") end
    if path:find "/executions$" then return list() end
    if path:find "/identifiers$" then return { pipeline_id = 7, project_identifier = "website", domain = "acme" } end
    if path:find "/actions$" then return { actions = json.list(options.actions or {}) } end
  end

  local listening = assert(server.listen({}, function(request)
    api.requests[#api.requests + 1] = {
      method = request.method, path = request.path, authorization = request.headers.authorization,
    }
    local body = answer(request)
    return body and { headers = { ["Content-Type"] = "application/json" }, body = json.encode(body) }
      or { status = 404, body = '{"errors":[{"message":"not found"}]}' }
  end))
  api.url = "http://127.0.0.1:" .. listening.port
  return setmetatable(api, { __close = function() listening:close() end })
end

return M

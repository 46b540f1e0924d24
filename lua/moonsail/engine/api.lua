--- The API's conventions, whatever the method: who asks and may they, the rate limit, the headers, Buddy's errors.
local refusal = require "moonsail.engine.refusal"
local task = require "host.task"

local M = {}

local WINDOW = 60 -- seconds for which a rate limit counts

---@class engine.Api
local Api = {}
Api.__index = Api

---@param options { router: table, tokens: engine.Tokens, rate_limit: integer, report: fun(line: string) }
---@return engine.Api
function M.new(options)
  return setmetatable({ router = options.router, tokens = options.tokens, limit = options.rate_limit,
    report = options.report, windows = {} }, Api)
end

-- Counts a request of a token (or of nobody) in its window.
function Api:count(token)
  local key, now = token or self, task.now()
  local window = self.windows[key]
  if not window or now >= window.ends then
    window = { ends = math.ceil(now + WINDOW), used = 0 }
    self.windows[key] = window
  end
  window.used = window.used + 1
  return window
end

function Api:headers(window, token, scope)
  return {
    ["Content-Type"] = "application/json",
    ["X-Buddy-Media-Type"] = "buddy.v1.1.0",
    ["X-Rate-Limit-Limit"] = tostring(self.limit),
    ["X-Rate-Limit-Remaining"] = tostring(math.max(self.limit - window.used, 0)),
    ["X-Rate-Limit-Reset"] = tostring(window.ends),
    ["X-OAuth-Scopes"] = token and token.header or nil,
    ["X-Accepted-OAuth-Scopes"] = scope,
  }
end

-- `found` is told the scope of the route, which the answer names even when it is a refusal.
local function perform(self, request, token, window, found)
  if window.used > self.limit then refusal.raise(429, "Rate limit exceeded.") end
  if not token then
    refusal.raise(401, "A token is missing or wrong; send it as \"Authorization: Bearer TOKEN\"")
  end
  local route, at = self.router:find(request.method, request.path)
  found.scope = route.scope
  if route.scope and not token.allowed[route.scope] then
    refusal.raise(403, ("This token lacks the scope %s"):format(route.scope))
  end
  return route.handler(at, request, token)
end

---Answers a request. What a handler raises other than a refusal is raised again.
---@async
---@param request host.server.Request
---@return host.server.Response
function Api:answer(request)
  local token, found = self.tokens:of(request), {}
  local window = self:count(token)
  local ok, body, status = pcall(perform, self, request, token, window, found)
  local headers = self:headers(window, token, found.scope)
  if ok then return { status = status or 200, headers = headers, body = body } end
  if not refusal.is(body) then error(body, 0) end
  for name, value in pairs(body.headers) do headers[name] = value end
  return { status = body.status, headers = headers, body = refusal.body(body.messages) }
end

---The server's own answers (413, 500 …), in the same form.
---@param status integer
---@param message string
---@return host.server.Response
function Api:reject(status, message)
  return { status = status, headers = self:headers(self:count()), body = refusal.body { message } }
end

return M

--- The HTTP requests of actions: from what buddy.yml says to an answer, told in the action's log.
local http = require "host.http"
local json = require "host.json"
local shape = require "moonsail.engine.shape"

local M = {}

local TIMEOUT = 30 -- seconds, unless the action has its own
local SHOWN = 2048 -- bytes of an answer that are logged
local MAX_BYTES = 16 * 1024 * 1024
local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

---A text that Buddy may have encrypted, which nobody else can read.
M.readable = shape.reader("text", function(check, node, path)
  local text = shape.text(check, node, path)
  if text and text:find "^secure!" then
    check:fault(node, path, "only Buddy itself can decrypt this value; use a variable that comes with the request")
  end
  return text
end)

---The keys that both kinds of request have.
M.keys = {
  port = shape.text,
  headers = { shape.list_of(shape.reader("headers", shape.map {
    name = { shape.name, required = true },
    value = { M.readable, required = true },
  })), default = json.list {} },
  login = shape.text,
  password = M.readable,
}

local function base64(text)
  local encoded = text:gsub("..?.?", function(bytes)
    local a, b, c = bytes:byte(1, 3)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    local group = ""
    for shift = 18, 0, -6 do
      local digit = (bits >> shift & 63) + 1
      group = group .. DIGITS:sub(digit, digit)
    end
    return group:sub(1, #bytes + 1) .. ("="):rep(3 - #bytes)
  end)
  return encoded
end

-- The address with the port of its own key, if there is one.
local function address(url, port)
  local origin, rest = url:match "^(%a+://[^/?#]*)(.*)$"
  if not port or port == "" or not origin then return url end
  return ("%s:%s%s"):format(origin:gsub(":%d*$", ""), port, rest)
end

local function headers_of(context)
  local action, headers = context.action, {}
  for _, header in ipairs(action.headers) do headers[context:expand(header.name)] = context:expand(header.value) end
  if action.login then
    local pair = context:expand(action.login) .. ":" .. context:expand(action.password or "")
    headers.Authorization = "Basic " .. base64(pair)
  end
  return headers
end

-- The beginning of an answer's text.
local function show(context, body)
  if body == "" or not utf8.len(body:sub(1, SHOWN)) and not utf8.len(body) then return end
  local text = body:sub(1, SHOWN)
  local _, cut = utf8.len(text)
  text = cut and text:sub(1, cut - 1) or text
  context.log:write(text:find "\n$" and text or text .. "\n")
  if #body > SHOWN then context.log:note(("… %d bytes more"):format(#body - #text)) end
end

---Sends a request and logs the answer. Raises nothing that a buddy.yml can bring about.
---@async
---@param context engine.Context
---@param request { url: string, method?: string, body?: string, redirects?: integer }
---@return host.http.Response?
---@return string? message
function M.send(context, request)
  local action = context.action
  local url = address(context:expand(request.url), action.port and context:expand(action.port))
  context.log:note(("%s %s"):format(request.method or request.body and "POST" or "GET", url))
  local valid, response, message = pcall(http.request, {
    url = url,
    method = request.method,
    headers = headers_of(context),
    body = request.body and context:expand(request.body),
    redirects = request.redirects,
    timeout = action.timeout and action.timeout + 1 or TIMEOUT, -- its own ends it first: see bounded.lua
    max_bytes = MAX_BYTES,
  })
  if not valid then return nil, tostring(response):match "%((.*)%)" or tostring(response) end
  if not response then return nil, message end
  context.log:note(("Status %d, %d bytes"):format(response.status, #response.body))
  show(context, response.body)
  return response
end

return M

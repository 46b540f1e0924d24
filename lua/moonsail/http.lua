--- Requests to anywhere, as a recipe makes them: never with Buddy's token.

local effect = require "host.effect"
local errors = require "moonsail.errors"
local http = require "host.http"
local json = require "host.json"
local refusal = require "moonsail.client.refusal"
local secret = require "moonsail.secret"

local M = {}

---@class moonsail.HttpRequest
---@field url string credentials in it are refused
---@field method? string
---@field headers? table<string, string|moonsail.Secret>
---@field body? string
---@field json? any sent as the body
---@field timeout? number seconds, default 30
---@field redirects? integer how many are followed, default 0
---@field max_bytes? integer largest answer, default 16 MiB

local known = {
  url = true, method = true, headers = true, body = true, json = true, timeout = true, connect_timeout = true,
  redirects = true, max_bytes = true,
}

---@class moonsail.HttpAnswer: host.http.Response
local Answer = {}
Answer.__index = Answer
Answer.__name = "moonsail.HttpAnswer"

---Its body, decoded. Raises `api` when that is not JSON.
---@return any
function Answer:json()
  local value, fault = json.decode(self.body)
  if fault == nil then return value end
  errors.raise("api", ("the answer of %s is not JSON: %s"):format(self.url, fault), "Look at its body.",
    { status = self.status, url = self.url })
end

local function perform(request)
  local sent = {}
  for name, value in pairs(request) do sent[name] = value end
  sent.headers = secret.reveal(request.headers)
  local ok, response, message, code = pcall(http.request, sent)
  if not ok then
    local what = tostring(response):match("^bad argument #1 to '.-' %((.*)%)$") or tostring(response)
    errors.raise("usage", "the request cannot be made: " .. what, "Correct it; nothing was sent.")
  end
  if not response then error(refusal.network(message, code, { method = request.method, url = request.url }), 0) end
  return response
end

local read = effect.define("http.read", { write = false }, perform)
local write = effect.define("http.write", { write = true }, perform)

local safe = { GET = true, HEAD = true, OPTIONS = true }

local function check(options)
  if type(options) ~= "table" or type(options.url) ~= "string" then
    errors.raise("usage", "a request without a URL", 'Such as sail.http.get { url = "https://example.com" }.')
  end
  for name in pairs(options) do
    if not known[name] then
      errors.raise("usage", ("a request has no field '%s'"):format(tostring(name)), "See moonsail.HttpRequest.")
    end
  end
end

-- The request as the effect sees it: JSON encoded, the method named.
local function prepare(options, method)
  check(options)
  local request = {}
  for name, value in pairs(options) do request[name] = value end
  if options.json ~= nil then
    request.json, request.body = nil, json.encode(options.json)
    request.headers = { ["content-type"] = "application/json" }
    for name, value in pairs(options.headers or {}) do request.headers[name:lower()] = value end
  end
  request.method = (method or options.method or (request.body and "POST" or "GET")):upper()
  return request
end

local function send(options, method)
  local request = prepare(type(options) == "string" and { url = options } or options, method)
  local response = (safe[request.method] and read or write)(request)
  return setmetatable(response, Answer)
end

---@class moonsail.Http
local Http = {}

---Any status is an answer. Raises `network` when there is none, `usage` when the request cannot be made.
---@async
---@param options moonsail.HttpRequest|string
---@return moonsail.HttpAnswer
function Http.request(options)
  return send(options)
end

---@async
---@param options moonsail.HttpRequest|string
---@return moonsail.HttpAnswer
function Http.get(options)
  return send(options, "GET")
end

---@async
---@param options moonsail.HttpRequest|string
---@return moonsail.HttpAnswer
function Http.post(options)
  return send(options, "POST")
end

---What a recipe gets.
---@return table<string, table>
function M.fields()
  return { http = Http }
end

return M

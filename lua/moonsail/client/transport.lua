--- The way to the API: one base URL, one token, JSON both ways. Reads are repeated while there is hope; writes never.
--- The token lives in upvalues here and goes to this origin only.

local errors = require "moonsail.errors"
local execution = require "host.execution"
local http = require "host.http"
local json = require "host.json"
local refusal = require "moonsail.client.refusal"
local task = require "host.task"

local M = {}

local MAX_BYTES = 64 * 1024 * 1024
local TRIES = 5
local PATIENCE = 60 -- seconds after which a read is not begun again

---@class moonsail.TransportOptions
---@field endpoint moonsail.Endpoint
---@field token string
---@field token_source? string for people
---@field note? fun(message: string) told of every repetition
---@field timeout? number seconds for one exchange, default 30
---@field backoff? number seconds before the first repetition, doubled each time; default 0.5

---@class moonsail.Transport
---@field endpoint moonsail.Endpoint
---@field get fun(path: string, tries?: integer): any
---@field write fun(method: string, path: string, body: any): any
---@field context fun(method: string, path: string): moonsail.ExchangeContext
---@field submit fun(path: string, request: host.ExecutionRequest): host.execution.Outcome

-- Seconds before the next try: what the server asks for, or ever longer, with jitter so that many do not come at once.
local function pause_before(try, err, backoff)
  local jitter = 0.5 + math.random()
  if err.reset then return math.min(math.max(err.reset - task.now(), 0), PATIENCE) + backoff * jitter end
  return backoff * 2 ^ (try - 1) * jitter
end

---Makes a transport. Sends nothing.
---@param options moonsail.TransportOptions
---@return moonsail.Transport
function M.new(options)
  local base, timeout = options.endpoint.base, options.timeout or 30
  local backoff = options.backoff or 0.5
  local authorization, media = "Bearer " .. options.token, "application/json"
  local reading = { authorization = authorization, accept = media }
  local writing = { authorization = authorization, accept = media, ["content-type"] = media }
  local targets = {} -- one for each pipeline
  local transport = { endpoint = options.endpoint }

  ---What is asked, for errors.
  function transport.context(method, path)
    return { method = method, url = base .. path, token_source = options.token_source }
  end

  -- Returns the decoded answer, or nil and an error; the third result is false when surely nothing was sent.
  local function exchange(method, path, headers, body)
    local context = transport.context(method, path)
    local response, message, code, sent = http.request {
      url = context.url, method = method, headers = headers, body = body, timeout = timeout, max_bytes = MAX_BYTES,
    }
    if not response then return nil, refusal.network(message, code, context), sent end
    if response.status < 200 or response.status >= 300 then return nil, refusal.answer(response, context), true end
    if response.status == 204 then return {} end
    local answer, fault = json.decode(response.body)
    if type(answer) == "table" then return answer end
    return nil, refusal.body(response, context, fault or "not an object"), true
  end

  ---Reads. Raises an `api` or a `network` error.
  function transport.get(path, tries)
    local begun = task.monotonic()
    for try = 1, math.huge do
      local answer, err = exchange("GET", path, reading)
      if not err then return answer end
      if not err.transient or try >= (tries or TRIES) or task.monotonic() - begun > PATIENCE then error(err, 0) end
      if options.note then options.note(err.message .. "; trying again") end
      task.sleep(pause_before(try, err, backoff))
    end
  end

  ---Changes something, once. Raises an `api`, `network` or `uncertain` error.
  function transport.write(method, path, body)
    local answer, err, sent = exchange(method, path, writing, json.encode(body))
    if not err then return answer end
    if err.kind == "network" and sent ~= false or err.status and (err.status < 300 or err.status >= 500) then
      errors.raise("uncertain", ("it is not known whether it took effect: %s"):format(err.message),
        "Look at its page before you try again.", { url = err.url, status = err.status, code = err.code })
    end
    error(err, 0)
  end

  ---Sends a request to run a pipeline, once.
  function transport.submit(path, request)
    local target = targets[path]
    if not target then
      target = { url = base .. path, headers = writing, timeout = timeout }
      targets[path] = target
    end
    return execution.submit(request, target)
  end

  return transport
end

return M

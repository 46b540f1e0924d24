--- The way to the API: one base URL, one token, JSON both ways. Reads are repeated while there is hope; writes only
--- when the API has refused them for coming too often or with a token that has expired, so surely not done them.
--- The token lives in upvalues here and goes to this origin only.

local budget = require "moonsail.client.budget"
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
---@field reread? fun(): string? the token as its source has it now
---@field shared? string folder for what all processes of the user share
---@field note? fun(message: string) told of every repetition
---@field timeout? number seconds for one exchange, default 30
---@field backoff? number seconds before the first repetition, doubled each time; default 0.5

---@class moonsail.Reading
---@field tries? integer default 5
---@field kind? "read"|"poll" default "read"; a poll leaves more of the rate limit to others

---@class moonsail.Transport
---@field endpoint moonsail.Endpoint
---@field get fun(path: string, options?: moonsail.Reading): any
---@field write fun(method: string, path: string, body: any): any
---@field context fun(method: string, path: string): moonsail.ExchangeContext
---@field submit fun(path: string, request: host.ExecutionRequest): host.execution.Outcome

-- Seconds before the next try: ever longer, with jitter so that many do not come at once.
local function pause_before(try, backoff)
  return backoff * 2 ^ (try - 1) * (0.5 + math.random())
end

---Makes a transport. Sends nothing.
---@param options moonsail.TransportOptions
---@return moonsail.Transport
function M.new(options)
  local base, timeout = options.endpoint.base, options.timeout or 30
  local backoff, note = options.backoff or 0.5, options.note or function() end
  local token, media = options.token, "application/json"
  local reading = { authorization = "Bearer " .. token, accept = media }
  local writing = { authorization = "Bearer " .. token, accept = media, ["content-type"] = media }
  local limit = budget.new { token = token, folder = options.shared, backoff = backoff, note = note }
  local targets = {} -- one for each pipeline
  local transport = { endpoint = options.endpoint }

  ---What is asked, for errors.
  function transport.context(method, path)
    return { method = method, url = base .. path, token_source = options.token_source }
  end

  -- Buddy's OAuth tokens live eight hours. Whether there is a new one, which is then used.
  local function renew_token(used)
    if used ~= reading.authorization then return true end -- another task has done it
    local ok, fresh = pcall(options.reread or error)
    if not ok or not fresh or fresh == token then return false end
    token = fresh
    reading.authorization, writing.authorization = "Bearer " .. token, "Bearer " .. token
    return true
  end

  -- Whether a refused request may be sent again, once the time has come: the refusal was of its moment, not of it.
  local function may_repeat(response, used, tries)
    if refusal.is_rate_limit(response) then
      limit:refused(response)
      return tries.left > 1
    end
    limit:learn(response)
    if response.status ~= 401 or tries.renewed then return false end
    tries.renewed = true
    return renew_token(used)
  end

  local function answer_of(response, context)
    if response.status < 200 or response.status >= 300 then return nil, refusal.answer(response, context) end
    if response.status == 204 then return {} end
    local answer, fault = json.decode(response.body)
    if type(answer) == "table" then return answer end
    return nil, refusal.body(response, context, fault or "not an object")
  end

  -- Returns the decoded answer, or nil and an error; the third result is false when surely nothing was sent.
  local function exchange(kind, method, path, headers, body, tries)
    local context = transport.context(method, path)
    while true do
      limit:take(kind)
      local used = headers.authorization
      local response, message, code, sent = http.request {
        url = context.url, method = method, headers = headers, body = body, timeout = timeout, max_bytes = MAX_BYTES,
      }
      if not response then return nil, refusal.network(message, code, context), sent end
      if response.status < 400 then limit:learn(response) end
      if response.status < 400 or not may_repeat(response, used, tries) then return answer_of(response, context) end
      tries.left = tries.left - 1
    end
  end

  ---Reads. Raises an `api` or a `network` error.
  function transport.get(path, reads)
    local kind, tries = reads and reads.kind or "read", { left = reads and reads.tries or TRIES }
    local begun = task.monotonic()
    for try = 1, math.huge do
      local answer, err = exchange(kind, "GET", path, reading, nil, tries)
      if not err then return answer end
      if not err.transient or tries.left <= 1 or task.monotonic() - begun > PATIENCE then error(err, 0) end
      tries.left = tries.left - 1
      note(err.message .. "; trying again")
      task.sleep(pause_before(try, backoff))
    end
  end

  ---Changes something, once. Raises an `api`, `network` or `uncertain` error.
  function transport.write(method, path, body)
    local answer, err, sent = exchange("write", method, path, writing, json.encode(body), { left = TRIES })
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
    local tries = { left = TRIES }
    while true do
      limit:take "write"
      local used = writing.authorization
      local outcome = execution.submit(request, target)
      if outcome.response and outcome.outcome == "accepted" then limit:learn(outcome.response) end
      if outcome.outcome ~= "refused" or not may_repeat(outcome.response, used, tries) then return outcome end
      tries.left = tries.left - 1
    end
  end

  return transport
end

return M

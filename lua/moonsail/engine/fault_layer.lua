--- The faults that are answers: a thin layer over those of the API. The header X-Moonsail-Fault says which one is
--- wanted; for those that nobody asked for the gate has put it there.
local fault = require "moonsail.engine.fault"
local json = require "host.json"
local refusal = require "moonsail.engine.refusal"
local task = require "host.task"

local M = {}

---@class engine.FaultLayer
---@field faults engine.Faults
---@field api engine.Api
---@field book engine.Book
local Layer = {}
Layer.__index = Layer

---@param faults engine.Faults
---@param api engine.Api
---@param book engine.Book
---@return engine.FaultLayer
function M.new(faults, api, book)
  return setmetatable({ faults = faults, api = api, book = book }, Layer)
end

local function change(response, edit)
  local body = response.status == 200 and json.decode(response.body)
  if not body then return response end
  edit(body)
  return { status = 200, headers = response.headers, body = json.encode(body) }
end

-- A refusal whose headers tell as truly of the rate limit as those of any other answer.
local function refuse(self, request, status, message)
  local token = self.api.tokens:of(request)
  return { status = status, headers = self.api:headers(self.api:count(token), token),
    body = refusal.body { message } }
end

local function replace(response, status, message)
  return { status = status, headers = response.headers, body = refusal.body { message } }
end

-- The limit is used up, which the headers say, or do not.
local function limited(self, request, wanted, status)
  local response = refuse(self, request, status, "Rate limit exceeded.")
  local headers = response.headers
  headers["X-Rate-Limit-Remaining"] = "0"
  headers["X-Rate-Limit-Reset"] = tostring(math.ceil(task.now() + wanted.seconds))
  self.faults:hint(request.headers.authorization or "", wanted.seconds)
  return response
end

local answers = {}

function answers.rate_limit(self, request, wanted)
  local response = limited(self, request, wanted, 429)
  response.headers["Retry-After"] = tostring(math.ceil(wanted.seconds))
  return response
end

function answers.rate_limit_403(self, request, wanted)
  return limited(self, request, wanted, 403)
end

function answers.rate_limit_silent(self, request)
  local response = refuse(self, request, 429, "Rate limit exceeded.")
  for _, name in ipairs { "Limit", "Remaining", "Reset" } do response.headers["X-Rate-Limit-" .. name] = nil end
  return response
end

function answers.error_before_commit(self, request, wanted)
  return refuse(self, request, wanted.status, "Something went wrong, before anything was done.")
end

function answers.error_after_commit(self, request, wanted)
  return replace(self:perform(request), wanted.status, "Something went wrong, after it was done.")
end

function answers.unknown_status(self, request, wanted)
  return change(self:perform(request), function(body) body.status = wanted.status end)
end

local function keep(body, wanted)
  local kept = json.list {}
  for _, entry in ipairs(body.executions) do
    if wanted(entry) then table.insert(kept, entry) end
  end
  local gone = #body.executions - #kept
  body.executions, body.element_count = kept, #kept
  body.total_element_count = body.total_element_count - gone
end

function answers.stale_list(self, request, wanted)
  local pipeline = math.tointeger(tonumber(request.path:match "/pipelines/(%d+)/"))
  local latest = task.now() - wanted.seconds
  return change(self:perform(request), function(body)
    keep(body, function(entry) return self.book:execution(pipeline, entry.id).created <= latest end)
  end)
end

function answers.vanish(self, request)
  self.faults.vanished[request.path] = true
  return self:perform(request)
end

---The engine's own answer, to which those who have vanished do not exist.
function Layer:perform(request)
  local vanished, path = self.faults.vanished, request.path
  if next(vanished) and vanished[path:match "^.*/executions/%d+" or ""] then
    return refuse(self, request, 404, "There is no such execution")
  end
  local response = self.api:answer(request)
  if response.status == 429 then self.faults.beyond = self.faults.beyond + 1 end
  if not next(vanished) or not path:find "/executions$" then return response end
  return change(response, function(body)
    if body.executions then keep(body, function(entry) return not vanished[path .. "/" .. entry.id] end) end
  end)
end

---@async
---@param request host.server.Request
---@return host.server.Response
function Layer:answer(request)
  local text = request.headers["x-moonsail-fault"]
  if not text then return self:perform(request) end
  local wanted, message = fault.parse(text)
  if not wanted then return refuse(self, request, 400, message) end
  local answer = answers[wanted.name]
  local applies = fault.by_name[wanted.name].applies
  if not answer or applies and not applies(request.method, request.path) then return self:perform(request) end
  return answer(self, request, wanted)
end

return M

--- Delivers to webhooks what has happened. Each webhook has a task of its own while something waits for it, so that
--- its deliveries keep their order, and a slow or dead one holds up nobody else, least of all executions.
---
--- A delivery is written in the turn that changes the execution, and posted once that is on disk. It is posted again,
--- under the same id, until it is accepted by a 2xx or given up. It is never posted again after that: only an engine
--- that is killed between the answer and its own commit does not know, which is what the id is for.
local http = require "host.http"
local json = require "host.json"
local payload = require "moonsail.engine.view.webhook".payload
local task = require "host.task"

local M = {}

local TIMEOUT, CONNECT_TIMEOUT = 10, 5 -- seconds
local FIRST_PAUSE, LONGEST_PAUSE = 1, 300 -- seconds, doubled after each attempt
local MAX_ATTEMPTS = 12 -- about twenty minutes

---@class engine.Postman
local Postman = {}
Postman.__index = Postman

---@param engine engine.Inside
---@return engine.Postman
function M.new(engine)
  return setmetatable({ engine = engine, webhooks = engine.webhooks, wanted = {}, busy = {}, changed = task.event() },
    Postman)
end

-- ---- What happens.

local function events_of(status)
  if status == "INPROGRESS" then return { "EXECUTION_STARTED" } end
  if status == "SUCCESSFUL" or status == "FAILED" then return { "EXECUTION_" .. status, "EXECUTION_FINISHED" } end
  return { "EXECUTION_FINISHED" }
end

function Postman:announce(event, e)
  local body
  for _, webhook in ipairs(self.webhooks:listeners(event)) do
    body = body or payload(self.engine, event, self.engine.book:execution(e.pipeline, e.number))
    local lost = self.webhooks:enqueue(webhook, event, body)
    if lost > 0 then self:report(webhook, "too much waits for it; the oldest was given up") end
    self.wanted[webhook.id] = true
    self.changed:notify()
  end
end

---Tells of an execution that has started or ended. A fault here is no reason for the execution to fail.
---@param e engine.Execution
function Postman:tell(e)
  for _, event in ipairs(events_of(e.status)) do
    local ok, fault = xpcall(self.announce, debug.traceback, self, event, e)
    if not ok then self.engine.report(("webhooks: %s"):format(fault)) end
  end
end

-- ---- Posting.

-- The path and the query of a URL may be secret.
function Postman:report(webhook, text)
  self.engine.report(("webhook %d (%s): %s"):format(webhook.id, webhook.target_url:match "^%a+://[^/?#]+", text))
end

function Postman:with_secret(webhook, body)
  if not webhook.secret then return body end
  local key, message = self.webhooks:secret_key(webhook.id)
  if not key then return nil, "its secret key cannot be read: " .. message end
  return ('%s,"secret_key":%s}'):format(body:sub(1, -2), json.encode(key))
end

-- One attempt: the status of the answer, or nil and why there is none.
function Postman:post(webhook, delivery)
  local body, message = self:with_secret(webhook, delivery.body)
  if not body then return nil, message end
  local response
  response, message = http.request {
    method = "POST", url = webhook.target_url, body = body, timeout = TIMEOUT, connect_timeout = CONNECT_TIMEOUT,
    redirects = 0, -- nobody else gets the secret key
    on_data = function() end,
    headers = { ["Content-Type"] = "application/json", ["User-Agent"] = "moonsail",
      ["X-Moonsail-Delivery"] = delivery.id, ["X-Moonsail-Event"] = delivery.event },
  }
  return response and response.status, message
end

local function pause_after(attempts)
  local pause = math.min(FIRST_PAUSE * 2 ^ (attempts - 1), LONGEST_PAUSE)
  return pause * (0.75 + math.random() / 2)
end

-- One attempt and what follows from it.
function Postman:attempt(webhook, delivery)
  delivery.posted, delivery.attempts = task.now(), delivery.attempts + 1
  delivery.status, delivery.problem = self:post(webhook, delivery)
  if delivery.status and delivery.status >= 200 and delivery.status < 300 then
    return self.webhooks:finish(delivery)
  end
  local problem = delivery.problem or ("answered %d"):format(delivery.status)
  if delivery.attempts >= MAX_ATTEMPTS then
    self:report(webhook, ("%s; delivery %s is given up"):format(problem, delivery.id))
    return self.webhooks:finish(delivery)
  end
  local pause = pause_after(delivery.attempts)
  self:report(webhook, ("%s; trying again in %.0f s"):format(problem, pause))
  self.webhooks:postpone(delivery, task.now() + pause)
end

-- All that waits for a webhook, one after the other.
function Postman:serve(id)
  while true do
    local delivery = self.webhooks:next(id)
    if not delivery then return end
    local pause = delivery.due - task.now()
    if pause > 0 then
      task.sleep(pause) -- meanwhile the webhook may have been changed or removed
    elseif self.engine.book:durable() then
      local webhook = self.webhooks:get(id)
      if webhook then self:attempt(webhook, delivery) end
    else
      task.sleep(LONGEST_PAUSE) -- the disk is full: executions cannot go on either
    end
  end
end

-- A fault ends this round; the next event begins another.
function Postman:guard(id)
  local ok, fault = xpcall(self.serve, debug.traceback, self, id)
  self.busy[id] = nil
  if not ok then self.engine.report(("webhook %d: %s"):format(id, fault)) end
end

---Delivers for as long as the engine lives, beginning with what its last life left behind.
---@async
function Postman:run()
  for _, id in ipairs(self.webhooks:waiting()) do self.wanted[id] = true end
  while true do
    local id = next(self.wanted)
    if id then
      self.wanted[id] = nil
      if not self.busy[id] then self.busy[id] = task.spawn(self.guard, self, id) end
    else
      self.changed:wait()
    end
  end
end

return M

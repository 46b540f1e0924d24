--- Webhooks: who is told of which events, and what has been or is to be delivered to them. Knows the store, and not
--- how anything is sent: see postman.lua. Secret keys are sealed, and are in no delivery that is kept.
local json = require "host.json"
local task = require "host.task"
local token = require "moonsail.engine.token"

local M = {}

---What the engine tells of.
M.EVENTS = { "EXECUTION_STARTED", "EXECUTION_SUCCESSFUL", "EXECUTION_FAILED", "EXECUTION_FINISHED" }

---How many deliveries of a webhook are kept once they have come to an end.
M.KEPT = 20

local MAX_WAITING = 1000 -- deliveries of one webhook; of more the oldest ones are given up

---@class engine.Webhook
---@field id integer
---@field target_url string
---@field events string[]
---@field projects string[] empty: all
---@field name string
---@field secret boolean whether there is a secret key
---@field configured boolean it comes from the options of the engine's start

---@class engine.Delivery
---@field sequence integer
---@field id string a UUID, which stays the same over all attempts
---@field webhook integer
---@field event string
---@field body string JSON, without the secret key
---@field due number when the next attempt is to be made
---@field attempts integer
---@field posted? number when the last attempt was made
---@field status? integer of the last answer
---@field problem? string why the last attempt failed
---@field ended? number delivered, or given up

---@class engine.Webhooks
local Webhooks = {}
Webhooks.__index = Webhooks

---@param sql table<string, host.Statement>
---@param key host.Key
---@return engine.Webhooks
function M.open(sql, key)
  return setmetatable({ sql = sql, key = key }, Webhooks)
end

---Whether something can be posted to this URL. Credentials belong in no URL: it is shown and logged.
---@param url any
---@return boolean
function M.is_target(url)
  if type(url) ~= "string" or #url > 2000 or url:find "[^\x21-\x7e]" then return false end
  local scheme, authority = url:match "^(%a+)://([^/?#]+)"
  scheme = scheme and scheme:lower()
  if scheme ~= "http" and scheme ~= "https" then return false end
  local port = authority:match "^[%w.-]+:?(%d*)$" or authority:match "^%[[%x:.]+%]:?(%d*)$"
  return port ~= nil and (port == "" or #port <= 5 and tonumber(port) <= 65535)
end

local function contains(list, item)
  for _, other in ipairs(list) do
    if other == item then return true end
  end
  return false
end

---What is wrong with webhooks that an engine is to be started with.
---@param list { target_url: string, events?: string[] }[]
---@return string? fault
function M.fault_in(list)
  local seen = {}
  for index, item in ipairs(list) do
    local url = item.target_url
    if not M.is_target(url) then
      return ("webhooks[%d].target_url: expected an http or https URL without credentials"):format(index)
    end
    if seen[url] then return ("webhooks[%d].target_url: is there twice"):format(index) end
    seen[url] = true
    for _, event in ipairs(item.events or {}) do
      if not contains(M.EVENTS, event) then
        return ("webhooks[%d].events: the engine tells of no %s, only of %s"):format(index, event,
          table.concat(M.EVENTS, ", "))
      end
    end
  end
end

-- ---- Webhooks.

local function from_row(row)
  return { id = row.id, target_url = row.target_url, events = json.list(json.decode(row.events)),
    projects = json.list(json.decode(row.projects)), name = row.name, secret = row.sealed ~= nil,
    configured = row.configured == 1 }
end

---@return engine.Webhook[]
function Webhooks:list()
  local list = self.sql.webhooks:rows()
  for index, row in ipairs(list) do list[index] = from_row(row) end
  return list
end

---@param id integer
---@return engine.Webhook?
function Webhooks:get(id)
  local row = self.sql.webhook:row(id)
  return row and from_row(row)
end

---@param id integer
---@return string? key
---@return string? message why it cannot be read
function Webhooks:secret_key(id)
  local row = self.sql.webhook:row(id)
  if row and row.sealed then return self.key:open(row.sealed) end
end

---Adds a webhook, and gives it its id.
---@param webhook engine.Webhook
---@param secret_key? string
function Webhooks:add(webhook, secret_key)
  local _, id = self.sql.add_webhook:run(webhook.target_url, json.encode(webhook.events),
    json.encode(webhook.projects), webhook.name, secret_key and self.key:seal(secret_key), webhook.configured)
  webhook.id, webhook.secret = id, secret_key ~= nil
end

---Writes all of a webhook that may change.
---@param webhook engine.Webhook
---@param secret_key? string nil: as it was; "": none any more
function Webhooks:update(webhook, secret_key)
  self.sql.update_webhook:run(webhook.id, webhook.target_url, json.encode(webhook.events),
    json.encode(webhook.projects), webhook.name)
  if not secret_key then return end
  webhook.secret = secret_key ~= ""
  self.sql.set_webhook_secret:run(webhook.id, webhook.secret and self.key:seal(secret_key) or nil)
end

---Removes a webhook, also what it has not been told yet.
---@param id integer
function Webhooks:remove(id)
  self.sql.remove_deliveries:run(id)
  self.sql.remove_webhook:run(id)
end

---Makes the configured webhooks those of this list. One whose URL stays keeps its id and its deliveries.
---@param wanted { target_url: string, events?: string[], secret_key?: string }[]
function Webhooks:configure(wanted)
  local before = {}
  for _, webhook in ipairs(self:list()) do
    if webhook.configured then before[webhook.target_url] = webhook end
  end
  for _, item in ipairs(wanted) do
    local webhook = before[item.target_url]
    local events = json.list(table.move(item.events or M.EVENTS, 1, #(item.events or M.EVENTS), 1, {}))
    if webhook then
      webhook.events = events
      self:update(webhook, item.secret_key or "")
    else
      self:add({ target_url = item.target_url, events = events, projects = json.list {}, name = "",
        configured = true }, item.secret_key)
    end
    before[item.target_url] = nil
  end
  for _, webhook in pairs(before) do self:remove(webhook.id) end
end

-- ---- Deliveries.

---The webhooks that want to be told of an event.
---@param event string
---@return engine.Webhook[]
function Webhooks:listeners(event)
  local found = {}
  for _, webhook in ipairs(self:list()) do
    if contains(webhook.events, event) then table.insert(found, webhook) end
  end
  return found
end

---Writes down what is to be delivered.
---@param webhook engine.Webhook
---@param event string
---@param body string
---@return integer lost how many older ones had to be given up for it
function Webhooks:enqueue(webhook, event, body)
  local now = task.now()
  self.sql.add_delivery:run(token.random(), webhook.id, event, body, now)
  return (self.sql.give_up_deliveries:run(webhook.id, now, MAX_WAITING))
end

---The webhooks for which something waits.
---@return integer[]
function Webhooks:waiting()
  local ids = {}
  for index, row in ipairs(self.sql.waiting_webhooks:rows()) do ids[index] = row.webhook end
  return ids
end

---What is to be delivered next.
---@param id integer of the webhook
---@return engine.Delivery?
function Webhooks:next(id)
  return self.sql.next_delivery:row(id)
end

---An attempt that was not accepted: another one is to be made.
---@param delivery engine.Delivery
---@param due number
function Webhooks:postpone(delivery, due)
  self.sql.postpone_delivery:run(delivery.sequence, due, delivery.attempts, delivery.posted, delivery.status,
    delivery.problem)
end

---It was accepted, or is given up. Of those only the newest are kept.
---@param delivery engine.Delivery
function Webhooks:finish(delivery)
  self.sql.finish_delivery:run(delivery.sequence, task.now(), delivery.attempts, delivery.posted, delivery.status,
    delivery.problem)
  self.sql.forget_deliveries:run(delivery.webhook, M.KEPT)
end

---The last deliveries, newest first.
---@param id integer of the webhook
---@return engine.Delivery[]
function Webhooks:deliveries(id)
  return self.sql.deliveries:rows(id, M.KEPT)
end

return M

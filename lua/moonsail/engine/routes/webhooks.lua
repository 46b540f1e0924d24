--- Methods of webhooks.
local date = require "moonsail.engine.date"
local durable = require "moonsail.engine.durable"
local fields = require "moonsail.engine.fields"
local json = require "host.json"
local mask = require "moonsail.engine.mask"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"
local webhooks = require "moonsail.engine.webhooks"

local M = {}

local WEBHOOKS = "/workspaces/:workspace/webhooks"

local read = fields.of_body({
  target_url = fields.such("an http or https URL without credentials", webhooks.is_target),
  events = fields.list_of(fields.one_of(webhooks.EVENTS), 1, 100),
  -- Names; the oldest pages have ids, and there is one project.
  projects = fields.list_of(fields.such("the name of a project", function(value)
    return type(value) == "string" or value == 1
  end), 0, 100),
  name = fields.text(255),
  secret_key = fields.such("a text of at most 1024 bytes that is not the mask of one", function(value)
    return type(value) == "string" and #value <= 1024 and value ~= mask.MASK
  end),
}, { "target_url", "events" })

local function read_body(engine, body, change)
  local values, faults = read(body, change)
  for index, name in ipairs(values.projects or {}) do
    if name == 1 then
      values.projects[index] = engine.urls.project_name
    elseif name ~= engine.urls.project_name then
      table.insert(faults, ("projects[%d]: there is no project %q"):format(index, name))
    end
  end
  fields.check(faults)
  return values
end

local function places(engine)
  return engine.urls:workspace_api() .. "/webhooks", engine.urls:workspace_web() .. "/webhooks"
end

local function object_of(engine, webhook)
  local list, web = places(engine)
  return { url = ("%s/%d"):format(list, webhook.id), html_url = web, id = webhook.id, name = webhook.name,
    target_url = webhook.target_url, events = webhook.events, projects = webhook.projects,
    secret_key = webhook.secret and mask.MASK or json.null }
end

local function or_null(value)
  return value == nil and json.null or value
end

-- A delivery as Buddy shows it, and what it says nothing of.
local function request_of(webhook, delivery)
  local body = delivery.body
  if webhook.secret then body = ('%s,"secret_key":"%s"}'):format(body:sub(1, -2), mask.MASK) end
  return { post_date = or_null(date.format(delivery.posted)), response_status = or_null(delivery.status), body = body,
    delivery_id = delivery.id, event = delivery.event, attempts = delivery.attempts,
    error_message = or_null(delivery.problem) }
end

local function list(engine, _, request)
  local objects = json.list {}
  for index, webhook in ipairs(page.slice_if_asked(request.query, engine.webhooks:list())) do
    objects[index] = object_of(engine, webhook)
  end
  local url, web = places(engine)
  return json.encode { url = url, html_url = web, webhooks = objects }
end

local function found(engine, at)
  return engine.webhooks:get(at.webhook) or refusal.raise(404, ("There is no webhook %d"):format(at.webhook))
end

local function get(engine, at)
  local webhook = found(engine, at)
  local object = object_of(engine, webhook)
  object.requests = json.list {}
  for index, delivery in ipairs(engine.webhooks:deliveries(webhook.id)) do
    object.requests[index] = request_of(webhook, delivery)
  end
  return json.encode(object)
end

local function given(secret_key)
  return secret_key ~= "" and secret_key or nil
end

local function create(engine, _, request)
  local webhook = read_body(engine, request.body)
  webhook.name, webhook.projects, webhook.configured = webhook.name or "", webhook.projects or json.list {}, false
  engine.webhooks:add(webhook, given(webhook.secret_key))
  durable(engine)
  return json.encode(object_of(engine, webhook)), 201
end

local function changeable(engine, at)
  local webhook = found(engine, at)
  if not webhook.configured then return webhook end
  refusal.raise(403, ("Webhook %d is one of the engine's start: change it there"):format(webhook.id))
end

local function change(engine, at, request)
  local webhook = changeable(engine, at)
  local values = read_body(engine, request.body, true)
  for _, name in ipairs { "target_url", "events", "projects", "name" } do
    webhook[name] = values[name] or webhook[name]
  end
  engine.webhooks:update(webhook, values.secret_key)
  durable(engine)
  return json.encode(object_of(engine, webhook))
end

local function remove(engine, at)
  engine.webhooks:remove(changeable(engine, at).id)
  durable(engine)
  return nil, 204
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  add("GET", WEBHOOKS, "WEBHOOK_INFO", list)
  add("POST", WEBHOOKS, "WEBHOOK_ADD", create)
  add("GET", WEBHOOKS .. "/:webhook", "WEBHOOK_INFO", get)
  add("PATCH", WEBHOOKS .. "/:webhook", "WEBHOOK_MANAGE", change)
  add("DELETE", WEBHOOKS .. "/:webhook", "WEBHOOK_MANAGE", remove)
end

return M

--- What the engine supports of buddy.yml and of the API, told by the tables that it reads and serves them with.
local json = require "host.json"
local language = require "moonsail.engine.language"
local routes = require "moonsail.engine.routes"
local shape = require "moonsail.engine.shape"
local trigger = require "moonsail.engine.trigger"

local M = {}

---@class engine.coverage.Item
---@field name string
---@field takes? string what may be its value, for people
---@field required? boolean
---@field refused? string why the engine refuses it
---@field note? string what the engine does with it
---@field keys? engine.coverage.Item[]

---@class engine.coverage.Section
---@field title string
---@field note? string what the engine does not do with these
---@field items engine.coverage.Item[]

local function describe_key(name, spec)
  local read = type(spec) == "table" and spec[1] or spec
  local takes = shape.expected(read)
  local refused = takes:match "^refused: (.*)"
  return { name = name, takes = not refused and takes or nil, refused = refused,
    required = type(spec) == "table" and spec.required or false }
end

local function describe_keys(keys)
  local items = json.list {}
  for index, name in ipairs(shape.names(keys)) do items[index] = describe_key(name, keys[name]) end
  return items
end

local function describe_variants(variants)
  local items = json.list {}
  for index, name in ipairs(shape.names(variants)) do
    items[index] = { name = name, keys = describe_keys(variants[name]) }
  end
  return items
end

local function describe_events()
  local items = describe_variants(language.events)
  for _, item in ipairs(items) do
    item.note = trigger.seen[item.name] and "starts pipelines with --events"
      or "shown by the API; never happens here"
  end
  return items
end

local function describe_words(words)
  local items = json.list {}
  for index, word in ipairs(words) do items[index] = { name = word } end
  return items
end

local function describe_routes()
  local items = json.list {}
  routes.each(function(method, pattern, scope, _, refused)
    local takes = not refused and (scope and "scope " .. scope or "any token") or nil
    table.insert(items, { name = method .. " " .. pattern, takes = takes, refused = refused })
  end)
  return items
end

local EACH_RUNS = "Every execution that is asked for runs: none is skipped for a newer one."
local EVENTS = "The API shows them. Only with --events does anything start by itself. Git knows no target of a pull "
  .. "request: one with branches other than * never happens here. Schedules are in UTC; what is missed is skipped."
local ONE_USER = "Times are in UTC. The engine has one user and no groups."
local NO_IMAGES = "Commands run on this machine: images are named in the log, and not pulled."

---@return engine.coverage.Section[]
function M.sections()
  return json.list {
    { title = "Keys of a pipeline", note = EACH_RUNS, items = describe_keys(language.pipeline) },
    { title = "Events", note = EVENTS, items = describe_events() },
    { title = "Keys of a variable", items = describe_keys(language.variable) },
    { title = "Keys of every action", items = describe_keys(language.action) },
    { title = "Trigger times", items = describe_words(language.trigger_times) },
    { title = "Trigger conditions", note = ONE_USER, items = describe_variants(language.conditions) },
    { title = "Types of action", note = NO_IMAGES, items = describe_variants(language.action_types) },
    { title = "Methods of the API", items = describe_routes() },
  }
end

-- ---- For people.

local function line_of(item, indent)
  local words = { indent .. item.name }
  if item.required then table.insert(words, "required") end
  if item.refused then table.insert(words, "REFUSED: " .. item.refused) end
  if item.takes then table.insert(words, item.takes) end
  if item.note then table.insert(words, item.note) end
  if #words == 1 then return words[1] end
  return ("%-34s %s"):format(words[1], table.concat(words, "; ", 2))
end

local function add_items(lines, items, indent)
  for _, item in ipairs(items) do
    table.insert(lines, line_of(item, indent))
    add_items(lines, item.keys or {}, indent .. "  ")
  end
end

---@param sections engine.coverage.Section[]
---@return string text without a final line break
function M.text(sections)
  local lines = {}
  for index, section in ipairs(sections) do
    if index > 1 then table.insert(lines, "") end
    table.insert(lines, section.title)
    if section.note then table.insert(lines, "  (" .. section.note .. ")") end
    add_items(lines, section.items, "  ")
  end
  return table.concat(lines, "\n")
end

return M

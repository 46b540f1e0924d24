--- The actions of a pipeline: which of them a list holds, and choosing some by id, by name, or by what a function says.

local errors = require "moonsail.errors"
local execution = require "host.execution"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

local function fail(message, hint)
  errors.raise("usage", message, hint, { field = "actions" })
end

local function describe(action)
  return ("%s (%d)"):format(action.name, action.id)
end

local function list(actions)
  local texts = {}
  for i, action in ipairs(actions) do texts[i] = describe(action) end
  return #texts > 0 and table.concat(texts, ", ") or "none"
end

local function by_name(name, actions)
  local found, names = {}, {}
  for i, action in ipairs(actions) do
    names[i] = action.name
    if action.name == name then found[#found + 1] = action end
  end
  if #found == 1 then return found[1].id end
  if #found > 1 then
    fail(("%d actions are called '%s'"):format(#found, name), "Choose by id: " .. list(found) .. ".")
  end
  if name:find("^%d+$") then return math.tointeger(tonumber(name)) end
  local near = execution.nearest(name, names)
  fail(("there is no action '%s'"):format(name),
    (near and ("Did you mean '%s'? "):format(near) or "") .. "There are: " .. list(actions) .. ".")
end

local function by_function(choose, actions)
  local ids = {}
  for _, action in ipairs(actions) do
    if choose(action) then ids[#ids + 1] = action.id end
  end
  if #ids == 0 then fail("the function chose no action", "There are: " .. list(actions) .. ".") end
  return ids
end

local function by_list(chosen, actions)
  local ids = {}
  for i, choice in ipairs(chosen) do
    local id = math.tointeger(choice)
    if not id and type(choice) ~= "string" then
      fail(("actions[%d] is a %s"):format(i, type(choice)), "Expected an id or a name.")
    end
    ids[i] = type(choice) == "string" and by_name(choice, actions()) or id
  end
  if #ids == 0 then
    fail("no action is chosen", "Name at least one, or leave `actions` out to run what the pipeline defines.")
  end
  return ids
end

---The one action that a name or an id means. Raises a `usage` error when that is none or several.
---@generic T: { id: integer, name: string }
---@param choice integer|string
---@param actions T[]
---@return T
function M.one(choice, actions)
  local id = type(choice) == "string" and by_name(choice, actions) or math.tointeger(choice)
  for _, action in ipairs(actions) do
    if action.id == id then return action end
  end
  fail(("there is no action %s"):format(tostring(choice)), "There are: " .. list(actions) .. ".")
end

---The ids of the chosen actions, in the order given. Raises a `usage` error when a name means none or several.
---@async
---@param choice (integer|string)[]|fun(action: table): boolean?
---@param actions fun(): table[] the pipeline's actions; called only when a name or a function must be looked up
---@return integer[]
function M.choose(choice, actions)
  if type(choice) == "function" then return by_function(choice, actions()) end
  if type(choice) == "table" then return by_list(choice, actions) end
  fail(("`actions` is a %s"):format(type(choice)), "Expected a list of ids and names, or a function of an action.")
end

-- ---- Lists of them.

-- Source: the pages of actions in https://buddy.works/docs/yaml/yaml-actions
local trigger_times = { "ON_EVERY_EXECUTION", "ON_SUCCESS", "ON_FAILURE", "ON_BACK_TO_SUCCESS", "ON_WARNING",
  "ON_WAIT_FOR_APPROVE", "ON_TERMINATE" }

---An action as the API lists it, without nulls; older servers leave out what is as usual.
---@param entry table
---@return table
function M.read(entry)
  local action = view.plain(entry)
  action.disabled = action.disabled == true
  action.trigger_time = action.trigger_time or "ON_EVERY_EXECUTION"
  return action
end

local function check_filter(filter)
  if type(filter) ~= "table" then
    fail(("pipeline:actions takes a table, not a %s"):format(type(filter)), "Such as { disabled = false }.")
  end
  for name in pairs(filter) do
    if name ~= "trigger_time" and name ~= "disabled" then
      fail(("pipeline:actions knows no '%s'"):format(tostring(name)), "It takes trigger_time and disabled.")
    end
  end
  local time = filter.trigger_time
  for _, known in ipairs(trigger_times) do
    if time == nil or time == known then return end
  end
  local near = execution.nearest(tostring(time), trigger_times)
  fail(("there is no trigger time %s"):format(tostring(time)), near and ("Did you mean %s?"):format(near)
    or "There are: " .. table.concat(trigger_times, ", ") .. ".")
end

---What a list is to hold: its query, and whether an action belongs to it, since older servers ignore the query.
---@param filter? { trigger_time?: string, disabled?: boolean }
---@return { query: string, holds: fun(action: table): boolean }
function M.filter(filter)
  filter = filter or {}
  check_filter(filter)
  local time, disabled = filter.trigger_time, filter.disabled
  return {
    query = time and "?trigger_time=" .. url.encode(time) or "",
    holds = function(action)
      return (time == nil or action.trigger_time == time) and (disabled == nil or action.disabled == disabled)
    end,
  }
end

return M

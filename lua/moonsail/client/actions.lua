--- Choosing the actions of a run: by id, by name, or by what a function says of each.

local errors = require "moonsail.errors"
local execution = require "host.execution"

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

return M

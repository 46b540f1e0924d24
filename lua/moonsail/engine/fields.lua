--- The body of a request to make or change an object: its fields by their readers, with every fault at once. Fields
--- that are not known are ignored, and null is as if absent, as with Buddy.
---
--- A reader is a function(value, path, faults); it returns nil after it has noted a fault.
local json = require "host.json"
local refusal = require "moonsail.engine.refusal"
local request_reader = require "moonsail.engine.request"

local M = {}

local function found(value)
  if type(value) == "string" then return ("%q"):format(#value > 60 and value:sub(1, 60) .. "…" or value) end
  if json.is_list(value) then return "a list" end
  if type(value) == "table" then return "an object" end
  return value == json.null and "null" or tostring(value)
end

---Notes a fault.
---@param faults string[]
---@param path string
---@param value any
---@param expected string
function M.fault(faults, path, value, expected)
  table.insert(faults, ("%s: found %s, expected %s"):format(path, found(value), expected))
end

---A reader of what passes a test.
---@param expected string
---@param test fun(value: any): boolean
function M.such(expected, test)
  return function(value, path, faults)
    if test(value) then return value end
    M.fault(faults, path, value, expected)
  end
end

M.boolean = M.such("true or false", function(value) return type(value) == "boolean" end)

M.id = M.such("an id: a whole number from 1", function(value) return math.type(value) == "integer" and value > 0 end)

---A text without NUL.
---@param most integer bytes
function M.text(most)
  return M.such(("a text of at most %d bytes, without NUL"):format(most), function(value)
    return type(value) == "string" and #value <= most and not value:find "%z"
  end)
end

---@param choices string[]
function M.one_of(choices)
  return M.such(table.concat(choices, ", "), function(value)
    for _, choice in ipairs(choices) do
      if value == choice then return true end
    end
    return false
  end)
end

---@param read function of an item
---@param least integer
---@param most integer
function M.list_of(read, least, most)
  local expected = ("a list of %d to %d items"):format(least, most)
  return function(value, path, faults)
    if not json.is_list(value) or #value < least or #value > most then
      return M.fault(faults, path, value, expected)
    end
    local items = json.list {}
    for index, item in ipairs(value) do
      table.insert(items, (read(item, ("%s[%d]"):format(path, index), faults)))
    end
    return items
  end
end

---An object of which one field counts, such as { id = 3 }; the reader's value is that field's.
---@param name string
---@param read function
function M.only(name, read)
  return function(value, path, faults)
    if type(value) ~= "table" or json.is_list(value) then return M.fault(faults, path, value, "an object") end
    return read(value[name], path .. "." .. name, faults)
  end
end

local function sorted_names(readers)
  local names = {}
  for name in pairs(readers) do table.insert(names, name) end
  table.sort(names)
  return names
end

---A reader of bodies.
---@param readers table<string, function>
---@param required string[] in a body that makes an object
---@return fun(body: string, change?: boolean): table values, string[] faults for the caller to add to and to raise
function M.of_body(readers, required)
  local names = sorted_names(readers)
  return function(body, change)
    local object, values, faults = request_reader.object(body), {}, {}
    for _, name in ipairs(change and {} or required) do
      if object[name] == nil or object[name] == json.null then table.insert(faults, name .. ": is missing") end
    end
    for _, name in ipairs(names) do
      local value = object[name]
      if value ~= nil and value ~= json.null then values[name] = readers[name](value, name, faults) end
    end
    return values, faults
  end
end

---Raises the refusal of a body with faults.
---@param faults string[]
function M.check(faults)
  if #faults > 0 then refusal.raise(400, faults) end
end

return M

--- JSON objects put together from the JSON text of their members, in the key order of host.json. Most of an answer
--- (commits, members, pipelines) does not change between two of them: it is encoded once and its text is reused.
local json = require "host.json"

local M = {}

M.null = "null"

---The JSON text of a value.
---@type fun(value: any): string
M.text = json.encode

---The JSON text of a string that is known to need no escapes: an enum's value, a URL, digits.
---@param plain string
---@return string
function M.plain(plain)
  return '"' .. plain .. '"'
end

---@param value? any
---@return string # its JSON text, or null
function M.maybe(value)
  return value and json.encode(value) or M.null
end

---@param texts string[]
---@return string
function M.list(texts)
  return "[" .. table.concat(texts, ",") .. "]"
end

local function sorted(required, optional)
  local names, may_lack = {}, {}
  for _, name in ipairs(required) do table.insert(names, name) end
  for _, name in ipairs(optional) do
    table.insert(names, name)
    may_lack[name] = true
  end
  table.sort(names)
  assert(not may_lack[names[#names]], "the last key must be one that is always there") -- it ends the commas
  return names, may_lack
end

---Makes a writer of objects with these keys. It is compiled to one concatenation: answers are made of hundreds of
---members, and going through them one by one was half of the time of a request.
---@param required string[]
---@param optional? string[] keys whose members may be nil, and are then left out
---@return fun(members: table<string, string>): string # from JSON texts to JSON text
function M.object(required, optional)
  local names, may_lack = sorted(required, optional or {})
  local pieces = {}
  for index, name in ipairs(names) do
    local comma = index < #names and "," or ""
    local piece = may_lack[name] and "(m.%s and '\"%s\":' .. m.%s .. '%s' or '')" or "'\"%s\":' .. m.%s .. '%s'"
    local holes = may_lack[name] and { name, name, name, comma } or { name, name, comma }
    pieces[index] = piece:format(table.unpack(holes))
  end
  return assert(load("local m = ... return '{' .. " .. table.concat(pieces, " .. ") .. " .. '}'", "=object", "t", {}))
end

return M

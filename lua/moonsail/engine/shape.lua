--- Readers of YAML nodes: each turns a node into a plain value, or notes a fault with its line and path.
--- A reader is a function(check, node, path); it returns nil after a fault.
local nearest = require "host.execution".nearest

local M = {}

---@class engine.Check
---@field faults { line: integer, text: string }[]
local Check = {}
Check.__index = Check

---Collects the faults of one file.
---@param file string its name, for the messages
---@return engine.Check
function M.check(file)
  return setmetatable({ file = file, faults = {} }, Check)
end

---@param node { line?: integer }
---@param path string
---@param message string
function Check:fault(node, path, message, ...)
  local line = node.line or 0
  local place = line > 0 and ("%s:%d"):format(self.file, line) or self.file
  local what = (path == "" and "" or path .. ": ") .. message:format(...)
  table.insert(self.faults, { line = line, order = #self.faults, text = ("%s: %s"):format(place, what) })
end

---@return string[] texts in the order of the file
function Check:texts()
  table.sort(self.faults, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.order < b.order
  end)
  local texts = {}
  for index, fault in ipairs(self.faults) do texts[index] = fault.text end
  return texts
end

---What a node is, for a message.
---@param node engine.yaml.Node
---@return string
local function found(node)
  if node.kind == "scalar" then return ("%q"):format(#node.text > 40 and node.text:sub(1, 40) .. "…" or node.text) end
  return ({ map = "a map", list = "a list", null = "nothing" })[node.kind]
end

local function unexpected(check, node, path, expected)
  check:fault(node, path, "found %s, expected %s", found(node), expected)
end

---Any scalar, as it is written.
function M.text(check, node, path)
  if node.kind == "scalar" and not node.text:find "\0" then return node.text end
  unexpected(check, node, path, "text")
end

---A scalar on one line that is not empty.
function M.name(check, node, path)
  local ok = node.kind == "scalar" and node.text ~= "" and #node.text <= 255 and not node.text:find "%c"
  if ok then return node.text end
  unexpected(check, node, path, "a name: text on one line, of 1 to 255 bytes")
end

function M.boolean(check, node, path)
  local value = ({ ["true"] = true, ["false"] = false })[node.text]
  if node.plain and value ~= nil then return value end
  unexpected(check, node, path, "true or false")
end

---@param least integer
---@param most integer
function M.integer(least, most)
  return function(check, node, path)
    local value = node.text and node.text:find "^%d+$" and math.tointeger(tonumber(node.text))
    if value and value >= least and value <= most then return value end
    unexpected(check, node, path, ("a whole number from %d to %d"):format(least, most))
  end
end

---@param choices string[]
function M.one_of(choices)
  local known = {}
  for _, choice in ipairs(choices) do known[choice] = true end
  return function(check, node, path)
    if known[node.text] then return node.text end
    unexpected(check, node, path, table.concat(choices, ", "))
  end
end

---@param read function
---@param least? integer how many there must be
function M.list_of(read, least)
  return function(check, node, path)
    if node.kind ~= "list" then return unexpected(check, node, path, "a list") end
    if #node.items < (least or 0) then return unexpected(check, node, path, "a list that is not empty") end
    local values = {}
    for index, item in ipairs(node.items) do
      table.insert(values, (read(check, item, ("%s[%d]"):format(path, index))))
    end
    return values
  end
end

local function sorted_names(keys)
  local names = {}
  for name in pairs(keys) do table.insert(names, name) end
  table.sort(names)
  return names
end

---A map with these keys: name = reader, or name = { reader, required = true, default = value }. Another is a fault.
---@param keys table<string, function|table>
function M.map(keys)
  local names = sorted_names(keys)

  local function read_known(check, node, prefix, value)
    for _, key in ipairs(node.keys) do
      local spec, item = keys[key], node.items[key]
      if not spec then
        local near = nearest(key, names)
        check:fault({ line = node.lines[key] }, prefix .. key, "the engine does not know this key%s",
          near and (", did you mean %q?"):format(near) or "")
      elseif item.kind ~= "null" then
        local read = type(spec) == "table" and spec[1] or spec
        value[key] = read(check, item, prefix .. key)
      end
    end
  end

  local function fill_in(check, node, prefix, value)
    for _, key in ipairs(names) do
      local spec, item = keys[key], node.items[key]
      if type(spec) == "table" and (not item or item.kind == "null") then
        if spec.required then check:fault(node, prefix .. key, "is missing") end
        value[key] = spec.default
      end
    end
  end

  return function(check, node, path)
    if node.kind ~= "map" then return unexpected(check, node, path, "a map") end
    local prefix, value = path == "" and "" or path .. ".", {}
    read_known(check, node, prefix, value)
    fill_in(check, node, prefix, value)
    return value
  end
end

---The keys of both, for M.map.
function M.with(keys, more)
  local all = {}
  for name, spec in pairs(keys) do all[name] = spec end
  for name, spec in pairs(more) do all[name] = spec end
  return all
end

return M

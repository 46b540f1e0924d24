--- Readers of YAML nodes: each turns a node into a plain value, or notes a fault with its line and path.
--- A reader is a function(check, node, path); it returns nil after a fault. What it takes can be asked for.
local json = require "host.json"
local nearest = require "host.execution".nearest

local M = {}

local expectations = setmetatable({}, { __mode = "k" }) -- by reader

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

---A reader, and what it takes, for people.
---@param expected string
---@param read fun(check: engine.Check, node: engine.yaml.Node, path: string): any
function M.reader(expected, read)
  expectations[read] = expected
  return read
end

---What a reader takes.
---@param read function
---@return string
function M.expected(read)
  return expectations[read] or "text"
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

-- A reader of scalars: `value_of` gives nil for one that does not do.
local function scalar(expected, value_of)
  return M.reader(expected, function(check, node, path)
    local value
    if node.kind == "scalar" then value = value_of(node.text, node) end
    if value == nil then unexpected(check, node, path, expected) end
    return value
  end)
end

---Any scalar, as it is written.
M.text = scalar("text", function(text) return not text:find "\0" and text or nil end)

---A scalar on one line that is not empty.
M.name = scalar("a name: text on one line, of 1 to 255 bytes", function(text)
  return text ~= "" and #text <= 255 and not text:find "%c" and text or nil
end)

M.boolean = scalar("true or false", function(text, node)
  if node.plain then return ({ ["true"] = true, ["false"] = false })[text] end
end)

---@param least integer
---@param most integer
function M.integer(least, most)
  return scalar(("a whole number from %d to %d"):format(least, most), function(text)
    local value = text:find "^%d+$" and math.tointeger(tonumber(text))
    return value and value >= least and value <= most and value or nil
  end)
end

---One of these words. `synonyms` are other spellings: what is written to what is meant.
---@param choices string[]
---@param synonyms? table<string, string>
function M.one_of(choices, synonyms)
  local meant = {}
  for written, choice in pairs(synonyms or {}) do meant[written] = choice end
  for _, choice in ipairs(choices) do meant[choice] = choice end
  return scalar(table.concat(choices, ", "), function(text) return meant[text] end)
end

---A key that Buddy knows and the engine cannot honour.
---@param reason string
function M.refused(reason)
  return M.reader("refused: " .. reason, function(check, node, path)
    check:fault(node, path, "the engine does not support this key: %s", reason)
  end)
end

---@param read function
---@param least? integer how many there must be
function M.list_of(read, least)
  return M.reader("a list of: " .. M.expected(read), function(check, node, path)
    if node.kind ~= "list" then return unexpected(check, node, path, "a list") end
    if #node.items < (least or 0) then return unexpected(check, node, path, "a list that is not empty") end
    local values = json.list {}
    for index, item in ipairs(node.items) do
      table.insert(values, (read(check, item, ("%s[%d]"):format(path, index))))
    end
    return values
  end)
end

---@param keys table<string, any>
---@return string[]
function M.names(keys)
  local names = {}
  for name in pairs(keys) do table.insert(names, name) end
  table.sort(names)
  return names
end

---A map with these keys: name = reader, or name = { reader, required = true, default = value }. Another is a fault.
---@param keys table<string, function|table>
function M.map(keys)
  local names = M.names(keys)

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

---Maps whose other keys depend on the value of one: a type, say.
---@param key string the one
---@param common table<string, function|table> keys of all, `key` among them
---@param variants table<string, table> by the value of `key`, its keys
---@param unknown string what to say of another value; one %q for it, one %s for those that there are
function M.variant(key, common, variants, unknown)
  local readers, known = {}, table.concat(M.names(variants), ", ")
  for name, keys in pairs(variants) do readers[name] = M.map(M.with(common, keys)) end
  local read_common = M.map(common)
  return function(check, node, path)
    if node.kind ~= "map" then return unexpected(check, node, path, "a map") end
    local kind = node.items[key]
    local read = kind and kind.text and readers[kind.text]
    if kind and not read then
      return check:fault(kind, path .. "." .. key, unknown, kind.text or kind.kind, known)
    end
    return (read or read_common)(check, node, path)
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

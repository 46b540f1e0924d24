--- YAML as a tree that remembers where each thing stands. Scalars stay text, so that 1.10 is not 1.1 and `on` is
--- a key; what they mean is up to the reader (shape.lua). Refuses what a definition has no use for: duplicate keys,
--- tags, several documents, endless nesting.
local parser = require "yaml".parser

local M = {}

local MAX_DEPTH = 64
local NULLS = { [""] = true, ["~"] = true, null = true, Null = true, NULL = true }

---@class engine.yaml.Node
---@field kind "map"|"list"|"scalar"|"null"
---@field line integer from 1
---@field text? string of a scalar
---@field plain? boolean a scalar without quotes
---@field items? table<string|integer, engine.yaml.Node> of a map, by key, or of a list
---@field keys? string[] of a map, in the order of the file
---@field lines? table<string, integer> of a map: where its keys stand

local function fault(line, message, ...)
  error({ line = line, message = message:format(...) }, 0)
end

local function tidy(message)
  local what, line = message:match "^(.-) at document: %d+, line: (%d+)"
  return { line = tonumber(line), message = what or message:match "^(.-) at document" or message }
end

local Reader = {}
Reader.__index = Reader

function Reader:event()
  local ok, event = pcall(self.next)
  if not ok then error(tidy(tostring(event)), 0) end
  self.line = event.start_mark.line + 1
  return event
end

function Reader:list(depth)
  local node = { kind = "list", line = self.line, items = {} }
  for item in function() return self:node(depth) end do table.insert(node.items, item) end
  return node
end

function Reader:map(depth)
  local node = { kind = "map", line = self.line, items = {}, keys = {}, lines = {} }
  for key in function() return self:node(depth) end do
    if key.kind ~= "scalar" then fault(key.line, "a key must be text") end
    if node.items[key.text] then fault(key.line, "the key %q stands here twice", key.text) end
    table.insert(node.keys, key.text)
    node.lines[key.text] = key.line
    node.items[key.text] = self:node(depth)
  end
  return node
end

local function scalar(event, line)
  local plain = event.style == "PLAIN"
  if plain and NULLS[event.value] then return { kind = "null", line = line } end
  return { kind = "scalar", line = line, text = event.value, plain = plain }
end

--- The next node, or nil at the end of the list or map that is being read.
function Reader:node(depth)
  local event = self:event()
  local line, kind = self.line, event.type
  if depth > MAX_DEPTH then fault(line, "nested more than %d deep", MAX_DEPTH) end
  if event.tag then fault(line, "the tag %s is not supported", event.tag) end
  local node
  if kind == "SCALAR" then
    node = scalar(event, line)
  elseif kind == "SEQUENCE_START" then
    node = self:list(depth + 1)
  elseif kind == "MAPPING_START" then
    node = self:map(depth + 1)
  elseif kind == "ALIAS" then
    return self.anchors[event.anchor] or fault(line, "nothing is named &%s above", event.anchor)
  else
    return nil
  end
  if event.anchor then self.anchors[event.anchor] = node end
  return node
end

local function read(text)
  local reader = setmetatable({ next = parser(text), anchors = {}, line = 1 }, Reader)
  reader:event() -- the stream starts
  if reader:event().type == "STREAM_END" then return { kind = "null", line = 1 } end
  local root = reader:node(0)
  reader:event() -- the document ends
  if reader:event().type ~= "STREAM_END" then fault(reader.line, "more than one document") end
  return root
end

---Reads one YAML document. An empty text is a null.
---@param text string
---@return engine.yaml.Node? root
---@return { line?: integer, message: string }? fault
function M.read(text)
  local ok, result = pcall(read, text)
  if ok then return result end
  return nil, type(result) == "table" and result or { message = tostring(result) }
end

return M

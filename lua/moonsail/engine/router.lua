--- Routes: patterns such as "/workspaces/:workspace" to handlers. A path is split before it is decoded, so that %2F
--- is a slash inside a segment; what a parameter may be is checked by its reader.
local refusal = require "moonsail.engine.refusal"

local M = {}

local MAX_KNOWN = 1000 -- paths

---@class engine.Route
---@field handler function
---@field scope? string that the token needs

local Router = {}
Router.__index = Router

---@param readers table<string, fun(text: string): any> of each parameter; nil from one: there is no such thing
function M.new(readers)
  return setmetatable({ readers = readers, root = { children = {} }, known = {}, count = 0 }, Router)
end

---@param method string
---@param pattern string
---@param scope? string
---@param handler fun(at: table, request: host.server.Request): string?, integer? body and status, default 200
function Router:add(method, pattern, scope, handler)
  local node = self.root
  for segment in pattern:gmatch "[^/]+" do
    local name = segment:match "^:(.*)"
    if name then
      node.parameter = node.parameter or { name = name, children = {} }
      node = node.parameter
    else
      node.children[segment] = node.children[segment] or { children = {} }
      node = node.children[segment]
    end
  end
  node.methods = node.methods or {}
  node.methods[method] = { handler = handler, scope = scope }
end

local function decode(segment)
  if segment:gsub("%%%x%x", ""):find("%", 1, true) then
    refusal.raise(400, "The path holds a % that is not followed by two hex digits")
  end
  return (segment:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function checked(segment)
  if not segment:find "[^%w._~-]" then return segment end
  local text = decode(segment)
  if text:find "%z" then refusal.raise(400, "The path holds a NUL") end
  if not utf8.len(text) then refusal.raise(400, "The path is not UTF-8") end
  return text
end

function Router:step(node, segment, at)
  local text = checked(segment)
  local child = node.children[text]
  if child then return child end
  child = node.parameter
  if not child then return nil end
  local value = self.readers[child.name](text)
  if value == nil then
    refusal.raise(404, ("There is no %s %q"):format(child.name:gsub("_", " "), text))
  end
  at[child.name] = value
  return child
end

local function methods_of(node)
  local names = {}
  for name in pairs(node.methods) do table.insert(names, name) end
  table.sort(names)
  return table.concat(names, ", ")
end

function Router:walk(path)
  local node, at = self.root, {}
  for segment in path:gmatch "/([^/]*)" do
    node = node and self:step(node, segment, at)
  end
  if not node or not node.methods then refusal.raise(404, ("There is nothing at %s"):format(path)) end
  return { node = node, at = at }
end

-- Where a path leads stays so, since nothing that has been given an id ever loses it.
function Router:place(path)
  local place = self.known[path]
  if not place then
    place = self:walk(path)
    if self.count >= MAX_KNOWN then self.known, self.count = {}, 0 end
    self.known[path], self.count = place, self.count + 1
  end
  return place
end

---The route of a request; raises a refusal: 404, 405, or 400 for a path that is none.
---@param method string
---@param path string
---@return engine.Route route
---@return table at the parameters, not to be changed
function Router:find(method, path)
  local place = self:place(path)
  local route = place.node.methods[method]
  if not route then
    local allowed = methods_of(place.node)
    refusal.raise(405, ("%s is not possible here, only %s"):format(method, allowed), { Allow = allowed })
  end
  return route, place.at
end

return M

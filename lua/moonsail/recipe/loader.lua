--- From a recipe's path to a function that runs it.

local environment = require "moonsail.recipe.environment"
local errors = require "moonsail.errors"

local M = {}

local MAX_BYTES = 4 * 1024 * 1024 -- a device or a mistaken archive must not fill the memory

local function read_file(path)
  local file, problem = io.open(path, "r")
  if not file then return nil, problem end
  local source, fault = file:read(MAX_BYTES + 1)
  file:close()
  if fault then return nil, ("%s: %s"):format(path, fault) end
  if source and #source > MAX_BYTES then return nil, ("%s is longer than %d bytes"):format(path, MAX_BYTES) end
  return source or "" -- an empty file
end

local function read(path)
  local source, problem = read_file(path)
  if source then return source end
  errors.raise("usage", ("the recipe cannot be read: %s"):format(problem),
    "Give the path of a Lua file, such as scripts/recipes/release.lua.", { path = path })
end

---@class moonsail.Recipe
---@field path string
---@field source string
---@field run fun(): any

---Reads and compiles a recipe. Raises a `usage` error when there is none or when it does not parse.
---@param path string
---@param sail table
---@return moonsail.Recipe
function M.load(path, sail)
  local source = read(path)
  local directory = path:match "^(.*)/[^/]*$" or "."
  local text = source:gsub("^#![^\n]*", "") -- a recipe may be an executable
  local chunk, problem = load(text, "@" .. path, "t", environment.new(sail, directory))
  if not chunk then
    errors.raise("usage", ("the recipe does not parse: %s"):format(problem), "Correct that line; nothing was sent.",
      { path = path })
  end
  return { path = path, source = source, run = chunk }
end

---What the recipe says of itself: the comment at its beginning.
---@param source string
---@return string[] lines
function M.description(source)
  local lines = {}
  for line in source:gmatch "([^\n]*)\n?" do
    local comment = line:match "^%-%-+%s?(.*)"
    if not comment and not line:find "^#!" then break end
    if comment and not comment:find "^@" then lines[#lines + 1] = comment end
  end
  return lines
end

return M

--- From an error to what a person reads and the exit code that a program sees.

local errors = require "moonsail.errors"
local json = require "host.json"
local task = require "host.task"
local terminal = require "host.terminal"

local M = {}

-- A path as Lua shortens it in messages.
local function shown(path)
  return path and debug.getinfo(load("", "@" .. path), "S").short_src
end

-- The first place in the traceback that lies in the recipe.
local function recipe_line(traceback, path)
  for place, line in (traceback or ""):gmatch "\n%s*([^\n]-):(%d+): in" do
    if place == path then return ("%s:%s"):format(path, line) end
  end
end

-- A recipe author wants his own frames; those of the library and of C are noise.
local function recipe_frames(traceback, path)
  local lines = {}
  for line in (traceback or ""):gmatch "[^\n]+" do
    local frame = line:match "^%s*(.*)"
    if path and frame:sub(1, #path + 1) == path .. ":" then lines[#lines + 1] = "  " .. frame end
  end
  return lines
end

-- A recipe may raise anything.
local function plain(err)
  if err == nil then return "the recipe raised nil" end
  if type(err) ~= "table" or (getmetatable(err) or {}).__tostring then return tostring(err) end
  local ok, text = pcall(json.encode, err)
  return "the recipe raised a table" .. (ok and ": " .. text or "")
end

---The text of an error, without a final line break. A traceback only for a fault in the recipe.
---@param err any
---@param path? string the recipe
---@return string
function M.text(err, path)
  local traceback = task.traceback(err)
  path = shown(path)
  if errors.is(err) then
    local place = err.kind == "usage" and not err.on_command_line and recipe_line(traceback, path)
    return ("moonsail: %s%s"):format(place and place .. ": " or "", tostring(err))
  end
  local lines = { "moonsail: " .. plain(err) }
  table.move(recipe_frames(traceback, path), 1, 100, 2, lines)
  return table.concat(lines, "\n")
end

---Tells of an error on standard error and returns the exit code.
---@param err any
---@param path? string the recipe
---@return integer
function M.error(err, path)
  terminal.write("stderr", M.text(err, path) .. "\n")
  return errors.exit_code(err)
end

return M

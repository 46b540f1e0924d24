--- What a pipeline keeps from one execution to the next beside its checkout: the cached folders of its actions, and
--- which actions have run their setup commands.
local process = require "host.process"

local M = {}

---@class engine.Cache
local Cache = {}
Cache.__index = Cache

---@param folder string absolute
---@return engine.Cache
function M.new(folder)
  return setmetatable({ folder = folder }, Cache)
end

local function run(...)
  local done, message = process.run { command = { ... } }
  if not done then return nil, message end
  if done.code ~= 0 then return nil, (done.stderr:gsub("%s+$", "")) end
  return true
end

function Cache:path(pipeline, what)
  return ("%s/%d/%s"):format(self.folder, pipeline, what)
end

-- A path as the name of one file.
local function escape(path)
  return (path:gsub("[^%w._-]", function(byte) return ("%%%02x"):format(byte:byte()) end))
end

---The cached folders of an action, to be mounted.
---@async
---@param pipeline integer
---@param names string[] absolute, or below the checkout
---@param checkout string
---@return { source: string, target: string }[]? mounts
---@return string? message
function Cache:mounts(pipeline, names, checkout)
  local mounts, command = {}, { "mkdir", "-p", "--" }
  for index, name in ipairs(names) do
    local source = self:path(pipeline, "folders/" .. escape(name))
    mounts[index] = { source = source, target = name:find "^/" and name or checkout .. "/" .. name }
    table.insert(command, source)
  end
  if #names == 0 then return mounts end
  local ok, message = run(table.unpack(command))
  if not ok then return nil, message end
  return mounts
end

local function setup_file(self, pipeline, action)
  return self:path(pipeline, "setup/" .. action)
end

---Whether these setup commands of an action have run since the cache was cleared.
---@param pipeline integer
---@param action integer
---@param commands string[]
---@return boolean
function Cache:has_setup(pipeline, action, commands)
  local file <close> = io.open(setup_file(self, pipeline, action), "rb")
  return file ~= nil and file:read "a" == table.concat(commands, "\0")
end

---@async
---@param pipeline integer
---@param action integer
---@param commands string[]
---@return true? ok
---@return string? message
function Cache:set_up(pipeline, action, commands)
  local ok, message = run("mkdir", "-p", "--", self:path(pipeline, "setup"))
  if not ok then return nil, message end
  local file <close>, problem = io.open(setup_file(self, pipeline, action), "wb")
  if not file then return nil, problem end
  return file:write(table.concat(commands, "\0")) and true
end

---Removes a part of a pipeline's cache, or all of it.
---@async
---@param pipeline integer
---@param part? "folders"|"setup"
---@return true? ok
---@return string? message
function Cache:clear(pipeline, part)
  return run("rm", "-rf", "--", self:path(pipeline, part or ""))
end

return M

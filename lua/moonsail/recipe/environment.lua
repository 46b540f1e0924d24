--- What a recipe finds around it: Lua without the world, and `require` for the library and for its own folder.
--- A fresh one for each recipe; whatever reaches outside goes through `sail`, and so through effects.

local M = {}

local base = {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset",
  "select", "setmetatable", "tonumber", "tostring", "type", "xpcall", "_VERSION",
}

local libraries = { "coroutine", "math", "string", "table", "utf8" }

local function copy(from)
  local to = {}
  for name, value in pairs(from) do to[name] = value end
  return to
end

-- The part of os that has no effect but reading the clock.
local function clock(sail)
  return {
    time = function(date) return date and os.time(date) or math.floor(sail.now()) end,
    date = function(format, time) return os.date(format or "%c", time or math.floor(sail.now())) end,
    difftime = os.difftime,
  }
end

-- A module of the recipe's own folder: "deploy.regions" is deploy/regions.lua.
local function load_own(name, directory, environment)
  if not name:find "^[%w_][%w_.-]*$" or name:find("..", 1, true) then
    error(("module %q: a name of letters, digits, '_' and '.' expected"):format(name), 3)
  end
  local path = ("%s/%s.lua"):format(directory, (name:gsub("%.", "/")))
  local chunk, problem = loadfile(path, "t", environment)
  if not chunk then
    error(("module %q is neither \"moonsail\" nor a file of the recipe's folder: %s"):format(name, problem), 3)
  end
  return chunk(name, path)
end

-- The metatable of strings is one for all, so behind it lies the library that handles the token.
local function metatable_of(value)
  if type(value) == "string" then return "string" end
  return getmetatable(value)
end

local function make_require(environment, directory, loaded)
  return function(name)
    if type(name) ~= "string" then error("require: a name expected, got a " .. type(name), 2) end
    if loaded[name] == nil then
      local value = load_own(name, directory, environment)
      loaded[name] = value == nil and true or value
    end
    return loaded[name]
  end
end

---@param sail table what `require "moonsail"` answers
---@param directory string the recipe's folder
---@return table environment
function M.new(sail, directory)
  local environment = {}
  for _, name in ipairs(base) do environment[name] = _G[name] end
  for _, name in ipairs(libraries) do environment[name] = copy(_G[name]) end
  environment.string.dump = nil
  environment.getmetatable = metatable_of
  environment._G = environment
  environment.os = clock(sail)
  environment.print = function(...) return sail.print(...) end
  environment.load = function(chunk, name, _, env) return load(chunk, name, "t", env or environment) end
  environment.require = make_require(environment, directory, { moonsail = sail })
  return environment
end

return M

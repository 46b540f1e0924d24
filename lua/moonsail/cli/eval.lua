--- moonsail eval 'LUA': runs a few words of Lua and prints what they return. All of `sail` and of host.* is at hand,
--- loaded when it is first used.

local usage = [[
usage: moonsail eval 'LUA'

Runs the words and prints what they return, tables as JSON.

  moonsail eval 'return 6 * 7'
  moonsail eval 'return sail.project "acme/website":pipelines()'
]]

local function text(value)
  if type(value) ~= "table" or getmetatable(value) then return tostring(value) end
  local ok, json = pcall(require("host.json").encode, value, { indent = 2 })
  return ok and json or tostring(value)
end

-- `sail` is made when it is first named.
local function environment()
  local held = {}
  local function index(_, name)
    if name == "sail" and not held.sail then
      held.session = require("moonsail.client.session").new {
        embedded = true, progress = require("moonsail.cli.display").new(),
      }
      held.sail = require("moonsail.library").new(held.session)
    end
    return held[name] or _G[name]
  end
  return setmetatable({}, { __index = index }), held
end

local function close(held)
  if held.session then
    held.session:close()
    held.session.progress:close()
  end
end

local function evaluate(code)
  local env, held = environment()
  local chunk, problem = load(code, "=eval", "t", env)
  if not chunk then
    require("moonsail.errors").raise("usage", "the words do not parse: " .. problem, "See: moonsail eval --help")
  end
  local guard <close> = setmetatable({}, { __close = function() close(held) end }) -- luacheck: ignore 211
  local results = table.pack(chunk())
  for i = 1, results.n do results[i] = text(results[i]) end
  if results.n > 0 then print(table.concat(results, "\t")) end
end

return function(arguments)
  if #arguments ~= 1 or arguments[1] == "--help" or arguments[1] == "-h" then
    local asked = #arguments == 1
    io[asked and "stdout" or "stderr"]:write(usage)
    return asked and 0 or 2
  end
  local task = require("host.task").spawn(evaluate, arguments[1])
  local ok, problem = pcall(task.join, task)
  return ok and 0 or require("moonsail.cli.report").error(problem, "eval")
end

--- moonsail test: busted, inside the host, so that specs can call the primitives and wait.

local task = require "host.task"

-- What busted's call of os.exit raises: the host has to close before the process ends.
local ended = {}

local function run_busted(arguments)
  local exit_code = 0
  local real_exit = os.exit
  os.exit = function(code) -- luacheck: ignore 122
    exit_code = code == nil and 0 or code == true and 0 or code == false and 1 or code
    error(ended, 0)
  end
  package.path = "./?.lua;./?/init.lua;" .. package.path -- helpers beside the specs
  _G.arg = { [0] = "moonsail test", table.unpack(arguments) } -- luacheck: ignore 111 112
  local ok, problem = xpcall(require "busted.runner", function(problem)
    return problem == ended and problem or debug.traceback(tostring(problem), 2)
  end, { standalone = false })
  os.exit = real_exit -- luacheck: ignore 122
  if not ok and problem ~= ended then error(problem, 0) end
  return exit_code
end

return function(arguments)
  local exit_code
  local specs = task.spawn(function()
    exit_code = run_busted(arguments)
    error(ended, 0) -- so that what a failed spec has left running is cancelled, not waited for
  end)
  local _, problem = pcall(specs.join, specs)
  if problem ~= ended then error(problem, 0) end
  return exit_code
end

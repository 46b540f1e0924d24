--- Runs a command inside this process, so that the simulated clock is its clock too. Its environment is a clean one,
--- and its standard streams are what the spec says they are.
---
---   local result = cli.run({ "execute", "build" }, { api = api, as = "pipe" })       -- { code, stdout, stderr }

local buddy = require "spec.support.buddy"
local terminal = require "host.terminal"

local M = {}

local real = { write = terminal.write, is_terminal = terminal.is_terminal, size = terminal.size, getenv = os.getenv }

local restoring = {
  __close = function()
    terminal.write, terminal.is_terminal, terminal.size = real.write, real.is_terminal, real.size
    os.getenv = real.getenv -- luacheck: ignore 122
  end,
}

---@async
---@param arguments string[] of moonsail
---@param options { api: table, as?: "pipe"|"terminal", columns?: integer, environment?: table<string, string> }
---@return { code: integer, stdout: string, stderr: string }
function M.run(arguments, options)
  local written = { stdout = {}, stderr = {} }
  local environment = { BUDDY_TOKEN = buddy.TOKEN, BUDDY_API_ENDPOINT = options.api.url, BUDDY_WORKSPACE = "acme",
    BUDDY_PROJECT = "website", TERM = "xterm" }
  for name, value in pairs(options.environment or {}) do environment[name] = value end
  local _ <close> = setmetatable({}, restoring)
  terminal.write = function(stream, text)
    table.insert(written[stream], text)
    return true
  end
  terminal.is_terminal = function(stream) return stream ~= "stdin" and options.as == "terminal" end
  terminal.size = function() return options.columns or 80, 24 end
  os.getenv = function(name) return environment[name] end -- luacheck: ignore 122
  local code = require "moonsail.cli"({ [0] = "moonsail", table.unpack(arguments) }, "0")
  return { code = code, stdout = table.concat(written.stdout), stderr = table.concat(written.stderr) }
end

return M

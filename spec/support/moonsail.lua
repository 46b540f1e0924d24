--- Runs our own binary as a user would, in a clean environment with a folder of its own.

local process = require "host.process"

local M = {}

local self_path = assert(io.popen "readlink /proc/$PPID/exe"):read "l"

---A temporary folder, removed when the variable closes: local folder <close> = moonsail.folder()
---@return { path: string }
function M.folder()
  local path = assert(process.run { command = { "mktemp", "-d" } }).stdout:match "[^\n]+"
  return setmetatable({ path = path }, {
    __close = function()
      require("host.task").shield(process.run, { command = { "rm", "-rf", path } })
    end,
  })
end

---@param path string
---@param text string
function M.write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

---Runs moonsail with the arguments and returns { code, signal, stdout, stderr }.
---@async
---@param folder string HOME and XDG folders lie there, and it is the working directory unless options says otherwise
---@param arguments string[]
---@param options? { environment?: table<string, string>, directory?: string }
function M.run(folder, arguments, options)
  options = options or {}
  local environment = {
    PATH = os.getenv "PATH", HOME = folder, XDG_STATE_HOME = folder .. "/state", XDG_CONFIG_HOME = folder .. "/config",
    XDG_RUNTIME_DIR = folder .. "/runtime", LANG = "C.UTF-8", MOONSAIL_LUA = os.getenv "MOONSAIL_LUA",
    ASAN_OPTIONS = os.getenv "ASAN_OPTIONS", LSAN_OPTIONS = os.getenv "LSAN_OPTIONS",
  }
  for name, value in pairs(options.environment or {}) do environment[name] = value end
  return assert(process.run {
    command = { self_path, table.unpack(arguments) }, environment = environment,
    directory = options.directory or folder,
  })
end

---The path of the binary.
M.path = self_path

return M

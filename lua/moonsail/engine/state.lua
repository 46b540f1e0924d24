--- The folder where an engine keeps its state: its store, its tokens, and the folders in which actions run.
local process = require "host.process"
local token = require "moonsail.engine.token"

local M = {}

-- The folders are for their owner only. The token is written by a shell of its own, since Lua cannot make a file
-- that nobody else may read; one that is already there stays.
local PREPARE = [[
umask 077
mkdir -p -- "$1/work" "$1/home" || exit
[ -e "$1/token" ] || { cat > "$1/token.$$" && mv -n -- "$1/token.$$" "$1/token"; } || exit
cd -- "$1" && pwd -P
]]

-- FNV-1a, to tell two repositories of one name apart.
local function hash(text)
  local value = 0xcbf29ce484222325
  for index = 1, #text do value = (value ~ text:byte(index)) * 0x100000001b3 end
  return ("%016x"):format(value)
end

---Where the state of a project is kept unless the caller says so.
---@param project string
---@param repository string its path
---@return string? path
---@return string? message
function M.default_folder(project, repository)
  local base, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if not base or not base:find "^/" then
    if not home then return nil, "HOME is not set: say where the engine keeps its state" end
    base = home .. "/.local/state"
  end
  return ("%s/moonsail/engine/%s-%s"):format(base, project, hash(repository))
end

---Makes what is missing in the folder.
---@async
---@param folder string
---@return string? path the folder, absolute
---@return string? message
function M.prepare(folder)
  local done, message = process.run { command = { "sh", "-c", PREPARE, "sh", folder },
    input = token.random() .. "\n" }
  if not done then return nil, message end
  if done.code == 0 then return (done.stdout:gsub("\n$", "")) end
  return nil, ("cannot use the state folder %s: %s"):format(folder, (done.stderr:gsub("%s+$", "")))
end

---Leaves word where the engine that uses this folder listens; nil takes it away.
---@param folder string
---@param endpoint? string
function M.announce(folder, endpoint)
  local path = folder .. "/endpoint"
  if not endpoint then return os.remove(path) end
  local file <close> = io.open(path, "w")
  if file then file:write(endpoint, "\n") end
end

---@param folder string
---@return string? endpoint of the engine that uses the folder
function M.announced(folder)
  local file <close> = io.open(folder .. "/endpoint", "r")
  return file and file:read "l"
end

return M

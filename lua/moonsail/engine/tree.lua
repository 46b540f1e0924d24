--- Files of the checkout, as ZIP and COPY_FILES choose them: all of a folder but what is excluded, less the exceptions
--- from that. A pattern with a / at its beginning or inside stands for a path from the folder on, another one for a
--- name at any depth; either also for what lies below. `*` matches any characters. No path leads out of the checkout,
--- also not through symbolic links, which themselves are taken as links.
local command = require "moonsail.engine.command"
local json = require "host.json"
local paths = require "moonsail.engine.paths"
local shape = require "moonsail.engine.shape"

local M = {}

---The keys of a choice.
M.keys = {
  deployment_excludes = { shape.list_of(paths.inside), default = json.list {} },
  deployment_includes = { shape.list_of(paths.inside), default = json.list {} },
}

-- What each script begins with, in the checkout. `chosen FOLDER SKIP WORD...` prints the paths below the folder, each
-- ended by NUL, of which find's words hold, without SKIP and what is in it.
local PRELUDE = [[
set -eu -o pipefail
root=$(pwd -P)
need() {
  command -v "$1" >/dev/null || { printf '%s is missing; install the package %s\n' "$1" "$2"; exit 127; }
}
inside() {
  case $(realpath -m -- "$1")/ in
    "$root"/*) ;;
    *) printf '%s leads out of the checkout\n' "$1"; exit 1 ;;
  esac
}
present() {
  inside "$1"
  [ -e "$1" ] || { printf '%s is not in the checkout\n' "$1"; exit 1; }
}
chosen() (
  folder=$1 skip=$2
  shift 2
  if [ -d "$folder" ]; then
    cd -- "$folder"
    find . -mindepth 1 -samefile "$skip" -prune -o "$@" -print0
  else
    printf './%s\0' "$(basename -- "$folder")"
  fi
)
# Where the paths of `chosen` begin.
base() {
  if [ -d "$1" ]; then printf '%s' "$1"; else dirname -- "$1"; fi
}
need realpath coreutils
need find findutils
]]

---A path of buddy.yml as one that a program can take; "/" is the checkout.
---@param context engine.Context
---@param text string
---@return string
function M.path(context, text)
  local path = context:expand(text):gsub("^/+", ""):gsub("/+$", "")
  return "./" .. path
end

local function add(list, ...)
  for _, word in ipairs { ... } do table.insert(list, word) end
end

-- One pattern in find's words.
local function add_pattern(list, pattern)
  local path = pattern:gsub("/+$", "")
  if path:find "/" then
    path = "./" .. path:gsub("^/+", "")
    add(list, "-path", path, "-o", "-path", path .. "/*")
  else
    add(list, "-name", path, "-o", "-path", "*/" .. path .. "/*")
  end
end

local function add_any(list, context, patterns)
  add(list, "(", "-false")
  for _, pattern in ipairs(patterns) do
    add(list, "-o")
    add_pattern(list, context:expand(pattern))
  end
  add(list, ")")
end

---What the action chooses, in find's words.
---@param context engine.Context
---@param hidden boolean also names that begin with a dot
---@return string[]
function M.choice(context, hidden)
  local list = { "(", "!" }
  add_any(list, context, context.action.deployment_excludes)
  add(list, "-o")
  add_any(list, context, context.action.deployment_includes)
  add(list, ")")
  if not hidden then add(list, "!", "-name", ".*", "!", "-path", "*/.*") end
  return list
end

---Runs a script of bash in the checkout.
---@async
---@param context engine.Context
---@param script string
---@param arguments string[] everybody on this machine may read them
---@param hidden? table<string, string> what else the script needs, as variables: they may hold secrets
---@return string status
---@return string? message
function M.run(context, script, arguments, hidden)
  local line = { "bash", "-c", PRELUDE .. script, "bash" }
  table.move(arguments, 1, #arguments, #line + 1, line)
  return command.run(context, { command = line, environment = hidden })
end

return M

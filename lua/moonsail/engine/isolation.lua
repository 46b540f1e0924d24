--- Where the commands of actions run: isolated by bubblewrap where this machine can, plainly otherwise.
---
--- Isolated, a command sees the system read-only, its checkout, its cache and the engine's action home writable, a /tmp
--- and processes of its own, and nothing else but what the user of this machine adds: not the user's home, not the
--- engine's state. The network is shared.
--- Signals to the process group reach the commands as they do without isolation, and their exit status comes back;
--- bubblewrap itself ignores SIGTERM, so that it outlives a command that cleans up. It dies with the engine.
local process = require "host.process"

local M = {}

local PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

local SYSTEM = { "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt" }

local MODES = { auto = true, on = true, off = true }

-- What root may do in a container, too: files whatever their owner. No-one else has any of these.
local CAPABILITIES = { "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID" }

-- Bubblewrap reads its options from a pipe, not from its command line, which everybody may read. The environment of the
-- action is among them: bubblewrap itself must not run under variables that a buddy.yml sets, such as LD_PRELOAD.
local OUTSIDE = [[trap "" TERM; exec bwrap --args 3 -- "$@" 3<&0 0</dev/null]]
local INSIDE = { "/usr/bin/env", "--default-signal=TERM" }

---@class engine.Isolation
---@field active boolean
---@field problem? string why it is not active, although it was asked for
local Isolation = {}
Isolation.__index = Isolation

local function is_root()
  local file <close> = io.open "/proc/self/status"
  return file ~= nil and file:read "a":match "\nUid:%s+%d+%s+(%d+)" == "0"
end

-- Below one of the folders that are shown as they are.
local function is_shown(path)
  for _, folder in ipairs(SYSTEM) do
    if path:sub(1, #folder + 1) == folder .. "/" then return true end
  end
  return false
end

local function add(list, ...)
  for _, item in ipairs { ... } do table.insert(list, item) end
end

-- The name servers' file is often a link to a folder that is not shown.
local function add_resolver(list)
  local found = process.run { command = { "readlink", "-f", "/etc/resolv.conf" } }
  local path = found and found.stdout:match "^(/[^\n]+)"
  if path and not is_shown(path) then add(list, "--ro-bind-try", path, path) end
end

-- What all commands have in common.
local function view(state, writable)
  local list = { "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "moonsail", "--die-with-parent",
    "--cap-drop", "ALL" }
  if is_root() then
    for _, name in ipairs(CAPABILITIES) do add(list, "--cap-add", name) end
  end
  for _, folder in ipairs(SYSTEM) do add(list, "--ro-bind-try", folder, folder) end
  add(list, "--proc", "/proc", "--dev", "/dev")
  for _, folder in ipairs { "/tmp", "/var/tmp" } do add(list, "--perms", "1777", "--tmpfs", folder) end
  add_resolver(list)
  for _, hidden in ipairs { os.getenv "HOME" or "/", state } do
    if is_shown(hidden) then add(list, "--tmpfs", hidden) end
  end
  for _, path in ipairs(writable) do add(list, "--bind-try", path, path) end
  return list
end

---@class engine.Command
---@field command string[]
---@field directory string absolute
---@field environment table<string, string>
---@field writable string[] folders, absolute
---@field mounts? { source: string, target: string }[] more writable folders, at another place
---@field merge? boolean as host.process has it

-- Bubblewrap's options for one command. A NUL would end an option and begin another, which might show anything.
local function options_for(self, command)
  local options = table.move(self.view, 1, #self.view, 1, {})
  for _, path in ipairs(command.writable) do add(options, "--bind", path, path) end
  for _, mount in ipairs(command.mounts or {}) do add(options, "--bind", mount.source, mount.target) end
  add(options, "--remount-ro", "/", "--chdir", command.directory, "--clearenv")
  for name, value in pairs(command.environment) do add(options, "--setenv", name, value) end
  for _, option in ipairs(options) do
    if option:find "\0" then error("a path or a variable of a command contains a NUL byte", 3) end
  end
  return table.concat(options, "\0") .. "\0"
end

---A command as host.process starts it.
---@param command engine.Command
---@return host.process.Options
function Isolation:wrap(command)
  if not self.active then
    return { command = command.command, directory = command.directory, environment = command.environment,
      merge = command.merge }
  end
  local line = { "/bin/sh", "-c", OUTSIDE, "sh", table.unpack(INSIDE) }
  table.move(command.command, 1, #command.command, #line + 1, line)
  return { command = line, environment = { PATH = PATH }, input = options_for(self, command), merge = command.merge }
end

-- Whether it works here: namespaces may be forbidden.
local function probe(self, state)
  local done, message = process.run(self:wrap { command = { "true" }, directory = state, environment = { PATH = PATH },
    writable = { state } })
  if done and done.code == 0 then return true end
  return false, done and done.stderr:match "[^\n]+" or message or "bwrap does not work here"
end

-- What the user of this machine says, for engines that are started without a command line of their own.
local function settle(options)
  local writable = options.writable
  if not writable then
    writable = {}
    for path in (os.getenv "MOONSAIL_WRITABLE" or ""):gmatch "[^:]+" do add(writable, path) end
  end
  return options.mode or os.getenv "MOONSAIL_ISOLATION" or "auto", writable
end

local function check(mode, writable)
  if not MODES[mode] then return nil, ("isolation is auto, on or off, not %q"):format(mode) end
  for _, path in ipairs(writable) do
    if not path:find "^/" then return nil, ("%s is writable for actions only as an absolute path"):format(path) end
  end
  return true
end

---Finds out what this machine can.
---@async
---@param options { state: string, mode?: "auto"|"on"|"off", writable?: string[] } state: the engine's folder, which is
---not shown; mode: auto is where it works, default $MOONSAIL_ISOLATION or auto; writable: more paths that commands see,
---absolute, default the list $MOONSAIL_WRITABLE, which : separates
---@return engine.Isolation? isolation nil when it must be on and does not work
---@return string? message
---@return string? code "ENOTSUP", or "EINVAL"
function M.open(options)
  local mode, writable = settle(options)
  local ok, message = check(mode, writable)
  if not ok then return nil, message, "EINVAL" end
  local self = setmetatable({ active = mode ~= "off" }, Isolation)
  if not self.active then return self end
  self.view = view(options.state, writable)
  self.active, self.problem = probe(self, options.state)
  if self.active or mode == "auto" then return self end
  return nil, ("actions cannot be isolated: %s; install bubblewrap, or let them run without it")
    :format(self.problem), "ENOTSUP"
end

---Where an action runs, for its log.
---@param image? string that Buddy would run it in
---@return string
function Isolation:describe(image)
  local place = self.active and "Running on this machine, isolated by bubblewrap; the network is shared"
    or "Running on this machine, without isolation"
  return image and ("%s; not in the image %s"):format(place, image) or place
end

return M

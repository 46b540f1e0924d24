--- A list of commands in one shell, as a BUILD action has them: each is shown and run, the first that fails ends them.
--- At its end the shell reports what it exports, on a descriptor of its own: output cannot be mistaken for it, and no
--- value of a variable touches the disk.
local command = require "moonsail.engine.command"

local M = {}

local MAX_REPORT = 4 * 1024 * 1024 -- bytes; no process could be started with an environment larger than that

local SHELLS = { SH = "sh", BASH = "bash" }

-- `set -e` and `exit` in a command mean what they mean in a script, so the commands stand in no condition here. A
-- command that takes descriptor 7 for itself keeps it: then nothing is reported.
local DRIVER = [[
exec 7>&2 2>&1
moonsail_done=0 moonsail_failed=0 moonsail_reported=
moonsail_report() {
  [ -z "$moonsail_reported" ] && [ -p /dev/fd/7 ] || return 0
  moonsail_reported=yes
  { printf '\0%s\0' "$moonsail_done"; command -p env -0; } >&7
}
trap moonsail_report EXIT
moonsail_root=$(pwd -P)
cd -- "$1" || exit
case $(pwd -P)/ in
  "$moonsail_root"/*) shift ;;
  *) printf 'The working directory %s leads out of the checkout\n' "$1"; exit 1 ;;
esac
for moonsail_command; do
  printf 'Executing command: %s\n' "$moonsail_command"
  eval "$moonsail_command"
  moonsail_status=$?
  if [ "$moonsail_status" -ne 0 ]; then
    moonsail_failed=$moonsail_status
    STOP
  elif [ "$moonsail_failed" -eq 0 ]; then
    moonsail_done=$((moonsail_done + 1))
  fi
done
moonsail_report
exit "$moonsail_failed"
]]

-- What a shell keeps for itself.
local OWN = { PWD = true, OLDPWD = true, SHLVL = true, _ = true }

-- In Buddy an absolute working directory is where the checkout is mounted in the container: here, the checkout itself.
local function working_directory(context)
  local inside = context.action.working_directory
  inside = inside and context:expand(inside)
  return inside and inside ~= "" and not inside:find "^/" and inside or "."
end

local function command_line(context, commands)
  local action = context.action
  local driver = DRIVER:gsub("STOP", action.execute_every_command and ":" or "break")
  local shell = SHELLS[action.shell]
  local line = { shell, "-c", driver, shell, working_directory(context) }
  return table.move(commands, 1, #commands, #line + 1, line)
end

-- Follows how far the commands have come by the driver's own lines.
local function follow_progress(context, commands)
  local next_one = 1
  return function(chunk)
    local from = 1
    while commands[next_one] do
      local _, last = chunk:find("Executing command: " .. commands[next_one], from, true)
      if not last then return end
      context:progress((next_one - 1) / #commands)
      next_one, from = next_one + 1, last + 1
    end
  end
end

-- Collects the report. What comes before its NUL is a complaint of the shell's, or of what should have started it.
local function collect(context)
  local pieces, bytes = {}, 0
  local function add(chunk)
    bytes = bytes + #chunk
    if bytes <= MAX_REPORT then table.insert(pieces, chunk) end
  end
  return pieces, function(chunk)
    local complaint = #pieces == 0 and chunk:match "^%Z+" or ""
    if complaint ~= "" then context.log:write(complaint) end
    if #complaint < #chunk then add(chunk:sub(#complaint + 1)) end
  end
end

-- The variables of a report that are new or have another value, and how many commands succeeded before one failed.
local function read_report(report, before)
  local done, rest = report:match "^%z(%d+)%z(.*)$"
  local changed = {}
  for name, value in (rest or ""):gmatch "([%a_][%w_]*)=(%Z*)%z" do
    if before[name] ~= value and not OWN[name] and not name:find "^moonsail_" then changed[name] = value end
  end
  return changed, tonumber(done) or 0
end

---Runs commands in the action's shell and working directory.
---@async
---@param context engine.Context
---@param commands string[]
---@param mounts? { source: string, target: string }[]
---@return "SUCCESSFUL"|"FAILED"|"TERMINATED" status
---@return string? message why it failed
---@return integer done how many commands succeeded before one failed
function M.run(context, commands, mounts)
  local report, on_report = collect(context)
  local before = context:environment()
  local status, message = command.run(context, {
    command = command_line(context, commands),
    mounts = mounts,
    on_output = follow_progress(context, commands),
    on_report = on_report,
  })
  local changed, done = read_report(table.concat(report), before)
  if next(changed) then context:exported(changed) end
  return status, message, done
end

return M

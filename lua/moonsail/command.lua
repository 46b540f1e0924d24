--- Commands, as a recipe runs them.

local effect = require "host.effect"
local errors = require "moonsail.errors"
local secret = require "moonsail.secret"

local M = {}

---@class moonsail.CommandOptions
---@field [integer] string the program and its arguments; no shell in between
---@field check? boolean whether anything but exit code 0 raises; default true
---@field directory? string
---@field environment? table<string, string|moonsail.Secret> the whole environment of the command; default: ours
---@field input? string
---@field merge? boolean standard error goes where standard output goes
---@field max_bytes? integer largest output, default 16 MiB

---@class moonsail.CommandResult
---@field code? integer
---@field signal? string when a signal ended it
---@field stdout string
---@field stderr string

local perform = effect.define("process.run", { write = true }, function(options)
  local sent = {}
  for name, value in pairs(options) do sent[name] = value end
  sent.environment = secret.reveal(options.environment)
  local result, message, code = require("host.process").run(sent)
  if result then return result end
  local what, hint = errors.split(message)
  errors.raise("recipe", what, hint, { code = code })
end)

local known = { directory = true, environment = true, input = true, merge = true, max_bytes = true, check = true }

-- Arguments and options, apart.
local function split(fields)
  local options = { command = {} }
  for name, value in pairs(fields) do
    if math.type(name) == "integer" then
      options.command[name] = tostring(value)
    elseif known[name] then
      options[name] = value
    else
      errors.raise("usage", ("a command has no option '%s'"):format(tostring(name)), "See moonsail.CommandOptions.")
    end
  end
  if options.command[1] == nil then
    errors.raise("usage", "a command without a program", 'Such as sail.run { "make", "all" }.')
  end
  return options
end

local function last_words(result)
  local text = result.stderr ~= "" and result.stderr or result.stdout or ""
  return text:match("([^\n]*%S[^\n]*)%s*$") or "It printed nothing; run it by hand to see why."
end

---What a recipe gets.
---@return table<string, function>
function M.fields()
  return {
    ---Runs a command to its end. Raises `recipe` when it cannot be run, or does not exit with 0 (see `check`).
    ---@async
    ---@param command moonsail.CommandOptions|string
    ---@param ... string arguments, after a string
    ---@return moonsail.CommandResult
    run = function(command, ...)
      local options = split(type(command) == "table" and command or { command, ... })
      local check = options.check ~= false
      options.check = nil
      local result = perform(options)
      if result.code == 0 or not check then return result end
      errors.raise("recipe", ("'%s' ended with %s"):format(table.concat(options.command, " "),
        result.signal or "exit code " .. result.code), last_words(result),
        { code = result.code, signal = result.signal, stdout = result.stdout, stderr = result.stderr })
    end,
  }
end

return M

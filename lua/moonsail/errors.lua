--- Errors that a recipe sees, and the exit code that each kind ends the process with.
--- What raises them, and when, belongs to the modules that do.

---@alias moonsail.ErrorKind
---| "recipe" the recipe raised it
---| "usage" a bad command line, parameter, setting or request
---| "execution" an execution finished and did not succeed
---| "uncertain" it is not known whether a request took effect
---| "permission" the sandbox refused an effect
---| "api" the API refused
---| "network" unreachable, TLS failure, timeout
---| "interrupted" Ctrl-C

---An error, with the facts it was made of as further fields (`status`, `url`, `field`, …). Prints as two lines.
---@class moonsail.Error
---@field kind moonsail.ErrorKind
---@field message string what happened, on one line
---@field hint? string what to do next
---@field [string] any

local M = {}

local exit_codes = {
  recipe = 1,
  usage = 2,
  execution = 3,
  uncertain = 4,
  permission = 5,
  api = 6,
  network = 7,
  interrupted = 130,
}

local Error_mt = { __name = "moonsail.Error" }

function Error_mt:__tostring()
  if not self.hint then return self.message end
  return self.message .. "\n  " .. self.hint:gsub("\n", "\n  ")
end

---Makes an error, without raising it.
---@param kind moonsail.ErrorKind
---@param message string
---@param hint? string
---@param facts? table becomes further fields of the error
---@return moonsail.Error
function M.new(kind, message, hint, facts)
  assert(exit_codes[kind], "no such kind of error")
  local err = {}
  for name, fact in pairs(facts or {}) do err[name] = fact end
  err.kind, err.message, err.hint = kind, message, hint
  return setmetatable(err, Error_mt)
end

---@param value any
---@return boolean # whether it was made here
function M.is(value)
  return getmetatable(value) == Error_mt
end

---Raises an error of the given kind. The same arguments as `new`.
---@param kind moonsail.ErrorKind
---@param message string
---@param hint? string
---@param facts? table
function M.raise(kind, message, hint, facts)
  error(M.new(kind, message, hint, facts), 0)
end

---Takes a primitive's message apart, which is often "what happened; what to do next".
---@param message string
---@return string what
---@return string? hint as a sentence
function M.split(message)
  local what, remedy = message:match("^(.+); (.-)%.?$")
  if not what then return message, nil end
  return what, remedy:sub(1, 1):upper() .. remedy:sub(2) .. "."
end

---The exit code that an error ends the process with. Whatever a recipe raised itself is 1; a cancelled task is 130.
---@param err any
---@return integer
function M.exit_code(err)
  if M.is(err) then return exit_codes[err.kind] end
  local cancelled = type(err) == "userdata" and getmetatable(err) == "host.Cancellation" -- its metatable is locked
  return cancelled and exit_codes.interrupted or exit_codes.recipe
end

return M

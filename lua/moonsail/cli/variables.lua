--- Variables on the command line: plain ones, secrets that never stand on it, and files of them.

local errors = require "moonsail.errors"

local M = {}

local function fail(message, hint)
  errors.raise("usage", message, hint, { on_command_line = true })
end

---Declares the options.
---@param p table a parser
function M.declare(p)
  p:option("--variable", "A variable."):argname "KEY=VALUE":count "*"
  p:option("--secret", "A variable that is sent encrypted: with the value of the environment variable KEY, or with the "
    .. "content of a file; KEY=@- reads standard input."):argname "KEY[=@FILE]":count "*"
  p:option("--variables-file", "Variables from a file, one KEY=VALUE a line; the options above win."):argname "FILE"
    :count "*"
end

local function read(path)
  local file, problem = io.stdin, nil
  if path ~= "-" then file, problem = io.open(path, "r") end
  local text
  if file then
    text, problem = file:read "a"
    if path ~= "-" then file:close() end
  end
  return text or fail("cannot read " .. problem, "Give the path of a file that you may read.")
end

local function add(variables, key, value, option)
  if variables[key] then fail(("%s %s is given twice"):format(option, key), "Give each variable once.") end
  variables[key] = value
end

local function plain(texts)
  local variables = {}
  for _, text in ipairs(texts) do
    local key, value = text:match "^([^=]+)=(.*)$"
    if not key then fail(("--variable %s has no value"):format(text), "Give it as --variable KEY=VALUE.") end
    add(variables, key, value, "--variable")
  end
  return variables
end

-- A value that stands on the command line is not repeated in the message.
local function secrets(texts, sail)
  local variables = {}
  for _, text in ipairs(texts) do
    local key, source = text:match "^([^=]+)=?(.*)$"
    local path = source and source:match "^@(.+)$"
    if not key then fail("--secret has no name", "Give it as --secret KEY, or --secret KEY=@FILE.") end
    if source ~= "" and not path then
      fail(("the value of --secret %s stands on the command line, where other users can read it"):format(key),
        ("Set the environment variable %s and give --secret %s, or give --secret %s=@FILE."):format(key, key, key))
    end
    local value = path and { value = read(path):gsub("\r?\n$", ""), encrypted = true } or sail.secret(key)
    add(variables, key, value, "--secret")
  end
  return variables
end

-- Empty lines and those that begin with # say nothing.
local function from_file(path)
  local variables, number = {}, 0
  for line in (read(path) .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    if line:find "%S" and not line:find "^%s*#" then
      local key, value = line:match "^%s*([^=%s]+)=(.*)$"
      if not key then fail(("%s:%d is not KEY=VALUE"):format(path, number), "Correct that line.") end
      add(variables, key, value, path .. ":")
    end
  end
  return variables
end

---The variables that were given, as `pipeline:run` takes them; nil for none.
---@param options table of argparse
---@param sail moonsail.Library
---@return table<string, any>?
function M.of(options, sail)
  local variables = {}
  local function take(more)
    for key, value in pairs(more) do variables[key] = value end
  end
  for _, path in ipairs(options.variables_file) do take(from_file(path)) end
  local given, hidden = plain(options.variable), secrets(options.secret, sail)
  for key in pairs(hidden) do
    if given[key] then fail(("%s is given as a variable and as a secret"):format(key), "Give one of the two.") end
  end
  take(given)
  take(hidden)
  return next(variables) and variables or nil
end

return M

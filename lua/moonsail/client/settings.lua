--- Settings: who we are and where the API is. Weakest first: the configuration file, the environment variables that
--- Buddy's own command line reads, our command line. Every value is checked, and a fault names where it came from.

local errors = require "moonsail.errors"
local url = require "moonsail.client.url"

local M = {}

---@class moonsail.Settings
---@field token? string
---@field endpoint? moonsail.Endpoint nil together with `token`: nothing is configured, so the embedded engine serves
---@field workspace? string
---@field project? string
---@field sources table<string, string> where each value came from, for people

local DEFAULT_ENDPOINT = "https://api.buddy.works"
local ENOENT, ENOTDIR = 2, 20

local variables = {
  token = "BUDDY_TOKEN",
  endpoint = "BUDDY_API_ENDPOINT",
  workspace = "BUDDY_WORKSPACE",
  project = "BUDDY_PROJECT",
}

local types = {
  allow_http = "boolean",
  endpoint = "string",
  project = "string",
  token = "string",
  workspace = "string",
}

local function fail(message, hint, facts)
  facts = facts or {}
  facts.on_command_line = true -- or in what stands beside it: no line of the recipe is to blame
  errors.raise("usage", message, hint, facts)
end

local function check_name(name, source)
  if types[name] then return end
  local names = {}
  for known in pairs(types) do names[#names + 1] = known end
  table.sort(names)
  local near = require("host.execution").nearest(tostring(name), names)
  fail(("%s has an unknown setting '%s'"):format(source, name),
    near and ("Did you mean '%s'?"):format(near) or "Known are: " .. table.concat(names, ", ") .. ".")
end

local function check_value(name, value, source)
  local subject, facts = ("%s in %s"):format(name, source), { field = name }
  if type(value) ~= types[name] then
    fail(("%s is a %s"):format(subject, type(value)), "Expected a " .. types[name] .. ".", facts)
  end
  if value == "" then fail(subject .. " is empty", "Give it a value, or leave it out.", facts) end
  if types[name] == "string" and value:find("%c") then
    fail(subject .. " has a control character in it", "Often it is a line break that was copied along.", facts)
  end
end

-- A project may be given as WORKSPACE/PROJECT, which then also wins over a workspace of a weaker layer.
local function split_project(settings, values, source)
  local workspace, project = (values.project or ""):match("^([^/]+)/(.+)$")
  if not project then return end
  if values.workspace and values.workspace ~= workspace then
    fail(("project in %s is in the workspace '%s', and the workspace beside it is '%s'"):format(source, workspace,
      values.workspace), "Give one of the two.", { field = "workspace" })
  end
  settings.workspace, settings.project, settings.sources.workspace = workspace, project, source
end

-- Lays values over the weaker ones.
local function layer(settings, values, source_of)
  for name, value in pairs(values) do
    local source = source_of(name)
    check_name(name, source)
    check_value(name, value, source)
    settings[name], settings.sources[name] = value, source
  end
  split_project(settings, values, source_of "project")
end

local function configuration_path(getenv)
  local base = getenv "XDG_CONFIG_HOME"
  if not base or base == "" then
    local home = getenv "HOME"
    base = home and home .. "/.config"
  end
  return base and base .. "/moonsail/config.lua"
end

-- The file's text, or nil when there is no such file.
local function read_file(path)
  local file, fault, code = io.open(path, "r")
  if not file and (code == ENOENT or code == ENOTDIR) then return nil end
  local text
  if file then
    text, fault = file:read "a"
    file:close()
  end
  if not text then fail("the configuration file cannot be read: " .. fault, "Correct it, or remove it.") end
  return text
end

-- A Lua file that returns a table; it runs with no globals at all.
local function read_configuration(path)
  local text = path and read_file(path)
  if not text then return {} end
  local chunk, fault = load(text, "@" .. path, "t", {})
  local ok, values = pcall(chunk or error, fault)
  if not ok then
    fail("the configuration file does not load: " .. tostring(values), "It is a Lua file that returns a table.")
  end
  if type(values) ~= "table" then
    fail(path .. " returns a " .. type(values), 'Expected a table such as { workspace = "acme" }.')
  end
  return values
end

local function read_environment(getenv)
  local values = {}
  for name, variable in pairs(variables) do
    local value = getenv(variable)
    if value ~= "" then values[name] = value end
  end
  return values
end

local function resolve_endpoint(settings)
  local text, source = settings.endpoint, settings.sources.endpoint
  if not text and not settings.token then return end
  local endpoint, fault = url.endpoint(text or DEFAULT_ENDPOINT)
  if not endpoint then
    local shown = text:gsub("//[^/]*@", "//…@") -- a password does not belong on a screen
    fail(("the endpoint %s in %s %s"):format(shown, source, fault), "Give it as https://HOST or https://HOST/PATH.",
      { field = "endpoint" })
  end
  if not endpoint.secure and not endpoint.loopback and not settings.allow_http then
    fail(("the endpoint %s in %s is plain http: everybody on the way could read the token"):format(text, source),
      "Use https, or allow it with --allow-http (allow_http = true in the configuration file).", { field = "endpoint" })
  end
  if not settings.token then
    fail(("there is an endpoint in %s, but no token"):format(source),
      "Set BUDDY_TOKEN to a personal access token with the scopes EXECUTION_INFO and EXECUTION_RUN.",
      { field = "token" })
  end
  settings.endpoint = endpoint
end

---Reads all settings. Raises a `usage` error that names the source of what is wrong.
---@param options { command_line?: table, getenv?: fun(name: string): string? }
---@return moonsail.Settings
function M.load(options)
  local getenv = options.getenv or os.getenv
  local path = configuration_path(getenv)
  local settings = { sources = {} }
  layer(settings, read_configuration(path), function() return path end)
  layer(settings, read_environment(getenv), function(name) return variables[name] end)
  layer(settings, options.command_line or {}, function() return "the command line" end)
  resolve_endpoint(settings)
  return settings
end

return M

--- A session: what all objects of one `sail` share. Owns the settings, the transport, the followers and, when nothing
--- is configured, the embedded engine. The runner makes one, in a task that outlives the recipe's own:
---
---   local session <close> = require("moonsail.client.session").new {
---     settings = { workspace = "acme" },      -- from the command line
---     embedded = true,                        -- without token and endpoint, serve over the current directory
---     parameters = { version = "1.2.0" },     -- for sail.parameters: strings, lists of strings, or true
---     progress = reporter,                    -- a moonsail.Reporter
---   }
---   local sail = require("moonsail.library").new(session)
---
--- Nothing is read, connected or started before it is needed. An embedded engine belongs to the task that made the
--- session; closing the session waits for what the engine is still executing.

local errors = require "moonsail.errors"
local once = require "moonsail.client.once"
local task = require "host.task"

local M = {}

---Is told what happens, on changes only. Every method may be missing.
---@class moonsail.Reporter
---@field started? fun(self, execution: moonsail.Execution)
---@field changed? fun(self, execution: moonsail.Execution, actions?: moonsail.ActionExecution[]) actions, when known
---@field lines? fun(self, execution: moonsail.Execution, action: moonsail.ActionExecution, lines: string[]) new
---  lines of an action's log, each once, in order; only where somebody waits with `logs`
---@field finished? fun(self, execution: moonsail.Execution, actions?: moonsail.ActionExecution[], name: string) nobody
---  waits for it any more: `name` is its last status, or what verdict.name calls its having none
---@field note? fun(self, message: string) such as a read that is tried again
---@field print? fun(self, text: string) text for standard output, when a display must make room for it

---How long things take; specs make them short. All in seconds.
---@class moonsail.Timing
---@field request? number longest exchange, default 30
---@field backoff? number before a read is first repeated, default 0.5
---@field poll? number between two looks at a pipeline, at first; default 0.2 on this machine, otherwise 1
---@field poll_longest? number and at last, while nothing changes; default five times as much, and by and by up to 15
---  once nothing has changed for minutes
---@field trouble_longest? number between two looks while reading fails, default 30
---@field unknown? number how long a status that we do not know may last unchanged, default 600
---@field vanished? number how long the API must say that there is no such execution, default ten times `poll`
---@field refused? number how long a refusal must last that may be a proxy's, default sixty times `poll`

---@class moonsail.SessionOptions
---@field settings? table from the command line: token, endpoint, workspace, project, allow_http
---@field getenv? fun(name: string): string? default os.getenv
---@field embedded? boolean whether the embedded engine may serve; such a session must be closed
---@field directory? string of the git repository, default "."
---@field parameters? table<string, string|string[]|boolean>
---@field on_parameters? fun(declared: moonsail.Parameter[]) called before the values are read, such as to print help
---@field progress? moonsail.Reporter
---@field timing? moonsail.Timing

---@class moonsail.Session
---@field directory string
---@field parameters table
---@field on_parameters? fun(declared: moonsail.Parameter[])
---@field timing moonsail.Timing
---@field following? moonsail.Following once somebody waits: see follow/init.lua
local Session = {}
Session.__index = Session
Session.__name = "moonsail.Session"

---Tells the reporter, if it wants to know.
---@param what string name of a method of moonsail.Reporter
---@param ... any
function Session:report(what, ...)
  local method = self.progress and self.progress[what]
  if method then method(self.progress, ...) end
end

---Whether the reporter has a method of that name.
---@param what string
---@return boolean
function Session:reports(what)
  return self.progress ~= nil and self.progress[what] ~= nil
end

-- `way` is where to and with which token: a part of moonsail.TransportOptions.
local function connect(self, way)
  way.note = function(message) self:report("note", message) end
  way.timeout, way.backoff = self.timing.request, self.timing.backoff
  return require("moonsail.client.transport").new(way)
end

-- ---- The embedded engine. It lives in a task of its own, because what it spawns belongs to who started it.

local function start_engine(self, wanted)
  local ok, engine, message = pcall(require("moonsail.engine").start, {
    repository = self.directory, workspace = wanted.workspace, project = wanted.project,
  })
  if ok and engine then return engine end
  local what, hint = errors.split(tostring(ok and message or engine))
  return nil, errors.new("usage", "nothing is configured, and the embedded engine cannot start: " .. what,
    (hint or "Start moonsail in a git repository that has a buddy.yml.") .. " Or set BUDDY_TOKEN to work with Buddy.")
end

local closing_mt = { __close = function(self) self.engine:close() end }

local function keep_engine(self)
  while not (self.wanted or self.closing) do self.signal:wait() end
  if not self.wanted then return end
  self.engine, self.failure = start_engine(self, self.wanted)
  self.signal:notify()
  if not self.engine then return end
  local _ <close> = setmetatable({ engine = self.engine }, closing_mt)
  while not self.closing do self.signal:wait() end
  self.engine:drain()
end

-- The first project that a recipe names is the one that the engine serves, unless the settings say otherwise.
local function engine_for(self, workspace, project)
  if not self.wanted then
    self.wanted = { workspace = workspace, project = project }
    self.signal:notify()
  end
  while not (self.engine or self.failure) do self.signal:wait() end
  if self.failure then error(self.failure, 0) end
  return self.engine
end

-- ---- What is configured.

local function read_settings(self, options)
  local settings = require("moonsail.client.settings").load { command_line = options.settings, getenv = options.getenv }
  if settings.token or self.keeper then return settings end
  errors.raise("usage", "nothing is configured: there is no token and no endpoint",
    "Set BUDDY_TOKEN, or run the recipe with moonsail run, which then serves the current directory itself.")
end

local function require_name(value, what)
  if value then return value end
  errors.raise("usage", ("it is not known which %s is meant"):format(what),
    ('Name it in the recipe, as in sail.project "acme/website", or set BUDDY_%s.'):format(what:upper()))
end

-- With what the settings and the embedded engine add, which is started when it is to serve.
local function complete(self, workspace, project)
  local settings = self.settings()
  workspace, project = workspace or settings.workspace, project or settings.project
  if settings.token then return workspace, project end
  local engine = engine_for(self, settings.workspace or workspace, settings.project or project)
  return workspace or engine.workspace, project or engine.project
end

---Which workspace and project are meant.
---@async
---@param workspace? string
---@param project? string
---@return { workspace: string, project: string }
function Session:place(workspace, project)
  workspace, project = complete(self, workspace, project)
  return { workspace = require_name(workspace, "workspace"), project = require_name(project, "project") }
end

---Which workspace is meant.
---@async
---@param workspace? string
---@return string
function Session:workspace(workspace)
  return require_name((complete(self, workspace)), "workspace")
end

local function make_transport(self, options)
  local settings, getenv = self.settings(), options.getenv or os.getenv
  if settings.token then
    return connect(self, { endpoint = settings.endpoint, token = settings.token, token_source = settings.sources.token,
      reread = function() return read_settings(self, options).token end, shared = getenv "XDG_RUNTIME_DIR" })
  end
  local engine = engine_for(self, settings.workspace, settings.project)
  local endpoint = require("moonsail.client.url").endpoint(engine.endpoint)
  return connect(self, { endpoint = endpoint, token = engine.token, token_source = "the embedded engine" })
end

---The way to the API.
---@async
---@return moonsail.Transport
function Session:transport()
  return self.connection()
end

---Ends the session: waits for what the embedded engine is still executing, and closes it.
---@async
function Session:close()
  if not self.keeper or self.closing then return end
  self.closing = true
  self.signal:notify()
  self.keeper:join()
end

Session.__close = Session.close

Session.__tostring = function() return "session" end

---Makes a session.
---@param options? moonsail.SessionOptions
---@return moonsail.Session
function M.new(options)
  options = options or {}
  local self = setmetatable({
    directory = options.directory or ".",
    parameters = options.parameters or {},
    on_parameters = options.on_parameters,
    progress = options.progress,
    timing = options.timing or {},
  }, Session)
  self.settings = once.new(function() return read_settings(self, options) end)
  self.connection = once.new(function() return make_transport(self, options) end)
  if options.embedded then
    self.signal = task.event()
    self.keeper = task.spawn(keep_engine, self)
  end
  return self
end

return M

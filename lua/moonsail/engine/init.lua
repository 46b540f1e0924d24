--- The embedded engine: a local server that speaks Buddy's API and really runs the pipelines of a git repository.
--- Here it is put together, started and closed.
local api = require "moonsail.engine.api"
local book = require "moonsail.engine.book"
local catalog = require "moonsail.engine.catalog"
local checkout = require "moonsail.engine.checkout"
local dispatcher = require "moonsail.engine.dispatcher"
local events = require "moonsail.engine.events"
local execution_view = require "moonsail.engine.view.execution"
local fault_layer = require "moonsail.engine.fault_layer"
local faults = require "moonsail.engine.faults"
local gate = require "moonsail.engine.gate"
local isolation = require "moonsail.engine.isolation"
local pipeline_view = require "moonsail.engine.view.pipeline"
local postman = require "moonsail.engine.postman"
local project = require "moonsail.engine.project"
local repository_view = require "moonsail.engine.view.repository"
local routes = require "moonsail.engine.routes"
local schema = require "moonsail.engine.schema"
local secret = require "host.secret"
local server = require "host.server"
local state = require "moonsail.engine.state"
local store = require "host.store"
local stored_variables = require "moonsail.engine.stored_variables"
local task = require "host.task"
local token = require "moonsail.engine.token"
local urls = require "moonsail.engine.urls"
local webhooks = require "moonsail.engine.webhooks"

local M = {}

---@class engine.Options
---@field repository? string a work tree or a bare repository; default "."
---@field workspace? string default "local"
---@field project? string default the repository folder's name as a URL handle
---@field address? string of the loopback; default "127.0.0.1"
---@field port? integer default 0: any free one
---@field state? string folder; default in $XDG_STATE_HOME/moonsail/engine
---@field log? fun(line: string) told of each event, for people
---@field rate_limit? integer requests a minute for each token, default 5000
---@field concurrency? integer executions that run at once at most, default 32
---@field kill_after? number seconds between SIGTERM and SIGKILL, default 5
---@field isolation? "auto"|"on"|"off" of the commands of actions; default: see isolation.lua
---@field writable? string[] paths that isolated commands may write to beside their own; default: see isolation.lua
---@field webhooks? { target_url: string, events?: string[], secret_key?: string }[] told beside those of the API;
---default events: all that the engine tells of
---@field events? boolean whether pushes, schedules and other events start pipelines: see events.lua; default: false
---@field faults? true|string faults that are asked for, and by whom: see faults.lua; default: none

---@class engine.Engine
---@field endpoint string such as "http://127.0.0.1:4711"
---@field token string the one for local use, which may do everything
---@field token_file string where it is kept, with mode 0600
---@field workspace string
---@field project string
---@field faults? engine.Faults of an engine that was started with faults
local Engine = {}
Engine.__index = Engine
Engine.__name = "moonsail.Engine"

---@class engine.Inside what the parts of a running engine share
---@field project engine.Project
---@field catalog engine.Catalog
---@field book engine.Book
---@field checkouts engine.Checkout
---@field urls engine.Urls
---@field dispatcher engine.Dispatcher
---@field key host.Key for what is encrypted in the store
---@field stored engine.StoredVariables
---@field webhooks engine.Webhooks
---@field report fun(line: string) for people
local Inside = {}
Inside.__index = Inside

-- A name as Buddy has it in URLs.
local function handle(name)
  local text = name:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):gsub("%-$", "")
  return text ~= "" and text or "project"
end

local function folder_name(path)
  local name = path:gsub("/+$", "")
  if name:find "/%.git$" then name = name:gsub("/%.git$", "") end
  return handle((name:match "[^/]*$":gsub("%.git$", "")))
end

local function check_name(name, what)
  if not name:find "^[%w][%w_.-]*$" then
    error(("%s: %q is not a name that can stand in a URL; use letters, digits, - and _"):format(what, name), 3)
  end
end

local function seed(sql)
  local row = sql.setting:row "seed"
  if row then return row.value end
  local value = token.random():sub(1, 8)
  sql.set_setting:run("seed", value)
  return value
end

local function created(sql)
  local row = sql.setting:row "created"
  if row then return tonumber(row.value) end
  sql.set_setting:run("created", tostring(task.now()))
  return task.now()
end

local function in_use(folder, message)
  local endpoint = state.announced(folder)
  return ("cannot use the state folder %s: %s%s"):format(folder, message,
    endpoint and ("; the engine at %s may be using it: use that one, or another folder"):format(endpoint) or "")
end

local function open_store(inside, folder)
  local message, code
  inside.store, message, code = store.open(folder .. "/engine.db")
  if not inside.store then return nil, in_use(folder, message), code end
  local ok, result = pcall(schema.prepare, inside.store)
  if not ok then return nil, in_use(folder, result), result:find "locked" and "EBUSY" or "ESTATE" end
  inside.sql = result
  return true
end

-- In front of the server, when faults are asked for.
local function open_gate(inside, options)
  local message, code
  inside.faults, message = faults.new(options.faults)
  if not inside.faults then return nil, message, "EINVAL" end
  inside.gate, message, code = gate.open { address = options.address, port = options.port, upstream = inside.server,
    faults = inside.faults, report = inside.report }
  return inside.gate, message, code
end

local function listen(inside, options)
  local message, code
  inside.server, message, code = server.listen({
    address = options.address, port = options.faults and 0 or options.port,
    on_error = inside.report,
    reject = function(...) return inside.api:reject(...) end,
  }, function(request) return inside.answering:answer(request) end)
  if not inside.server or not options.faults then return inside.server, message, code end
  return open_gate(inside, options)
end

local function assemble(inside, folder, configured)
  inside.catalog = catalog.open(inside.sql)
  inside.project:use(inside.catalog)
  inside.book = book.open(inside.store, inside.sql, inside.catalog)
  inside.stored = stored_variables.open(inside.sql, inside.key, inside.report)
  inside.webhooks = webhooks.open(inside.sql, inside.key)
  inside.webhooks:configure(configured)
  inside.checkouts = checkout.new(folder, inside.sql, inside.project, inside.isolation)
  inside.home, inside.created = folder .. "/home", created(inside.sql)
end

local function host_of(address)
  return address:find(":", 1, true) and "[" .. address .. "]" or address
end

-- What needs to know where the engine listens.
local function publish(inside, options)
  local endpoint = ("http://%s:%d"):format(host_of(options.address), (inside.gate or inside.server).port)
  inside.urls = urls.new(endpoint, options.workspace, options.project, seed(inside.sql))
  inside.repository_view = repository_view.new(inside.urls, inside.project, inside.catalog)
  inside.pipeline_view = pipeline_view.new(inside.urls, inside.catalog, inside.repository_view)
  inside.execution_view = execution_view.new { urls = inside.urls, project = inside.project,
    catalog = inside.catalog, book = inside.book, repository = inside.repository_view,
    pipelines = inside.pipeline_view }
  inside.dispatcher = dispatcher.new(inside, options.concurrency)
  inside.postman = postman.new(inside)
  inside.book.on_change = function(e) inside.postman:tell(e) end
  inside.api = api.new { router = routes.of(inside), tokens = inside.tokens, rate_limit = options.rate_limit }
  inside.answering = inside.faults and fault_layer.new(inside.faults, inside.api, inside.book) or inside.api
end

local function start(inside, options)
  local ok, message, code
  local folder = options.state
  if not folder then
    folder, message = state.default_folder(options.project, inside.project.path)
    if not folder then return nil, message, "ENOENT" end
  end
  folder, message = state.prepare(folder)
  if not folder then return nil, message, "EACCES" end
  inside.tokens, message = token.read(folder)
  if not inside.tokens then return nil, message, "EACCES" end
  inside.key, message, code = secret.key(folder .. "/key")
  if not inside.key then return nil, message, code end
  inside.isolation, message, code = isolation.open {
    state = folder, mode = options.isolation, writable = options.writable }
  if not inside.isolation then return nil, message, code end
  if inside.isolation.problem then inside.report("actions run without isolation: " .. inside.isolation.problem) end
  ok, message, code = open_store(inside, folder)
  if not ok then return nil, message, code end
  assemble(inside, folder, options.webhooks)
  ok, message, code = listen(inside, options)
  if not ok then return nil, message, code end
  publish(inside, options)
  inside.folder = folder
  state.announce(folder, inside.urls.endpoint)
  return true
end

local DEFAULTS = { repository = ".", workspace = "local", address = "127.0.0.1", port = 0, rate_limit = 5000,
  concurrency = 32, kill_after = 5, webhooks = {}, log = function() end }

local function settle(options)
  local given = setmetatable({}, { __index = DEFAULTS })
  for name, value in pairs(options or {}) do given[name] = value end
  if given.address == "localhost" then given.address = DEFAULTS.address end
  return given
end

local function is_loopback(address)
  return address:find "^127%.%d+%.%d+%.%d+$" ~= nil or address == "::1"
end

---Starts an engine. Misuse raises.
---@async
---@param options? engine.Options
---@return engine.Engine? engine to be closed by the task that started it
---@return string? message
---@return string? code such as "EADDRINUSE", "EBUSY" (another engine has the state folder), "ENOTFOUND" (no repository)
function M.start(options)
  local given = settle(options)
  if not is_loopback(given.address) then
    return nil, ("the engine listens on the loopback only, not on %s; use 127.0.0.1"):format(given.address),
      "EADDRNOTAVAIL"
  end
  local source, message, code = project.open(given.repository)
  if not source then return nil, message, code end
  local inside <close> = setmetatable({ project = source, report = given.log, kill_after = given.kill_after }, Inside)
  given.project = given.project or folder_name(source.path)
  check_name(given.workspace, "workspace")
  check_name(given.project, "project")
  local fault = webhooks.fault_in(given.webhooks)
  if fault then error(fault, 2) end
  local ok
  ok, message, code = start(inside, given)
  if not ok then return nil, message, code end
  inside.project:pipelines() -- so that its pipelines have their ids from the beginning
  events.notice(inside, given.events or false)
  if given.events then
    inside.events, message = events.open(inside)
    if not inside.events then return nil, message, "EGIT" end
  end
  inside.dispatcher:take_over()
  inside.supervisor = task.spawn(inside.dispatcher.run, inside.dispatcher)
  inside.delivery = task.spawn(inside.postman.run, inside.postman)
  if inside.events then inside.watching = task.spawn(inside.events.run, inside.events) end
  return setmetatable({ endpoint = inside.urls.endpoint, token = inside.tokens.first.text,
    token_file = inside.tokens.file, workspace = given.workspace, project = given.project, faults = inside.faults,
    inside = inside }, Engine)
end

local function stop(running)
  if not running then return end
  running:cancel "the engine was closed"
  task.shield(pcall, running.join, running)
end

function Inside:close()
  if self.closed then return end
  self.closed = true
  if self.gate then self.gate:close() end
  if self.server then self.server:close() end
  stop(self.watching)
  stop(self.supervisor)
  stop(self.delivery)
  if self.folder then state.announce(self.folder, nil) end
  if self.store then self.store:close() end
  if self.key then self.key:close() end
  self.project:close()
end

-- A start that came to nothing leaves nothing open.
function Inside:__close()
  if not self.supervisor then self:close() end
end

---How many executions are queued or running.
---@return integer
function Engine:busy()
  return self.inside.book.unfinished
end

---Waits until no execution is queued or running.
---@async
function Engine:drain()
  self.inside.book:drain()
end

---Stops serving and ends what runs; the next start reports that as failed, and goes on with what is queued.
---Also `<close>`.
---@async
function Engine:close()
  self.inside:close()
end

Engine.__close = Engine.close

return M

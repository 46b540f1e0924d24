--- A pipeline: finding it, starting executions of it, and the executions it had.

local api = require "moonsail.client.api"
local effect = require "host.effect"
local errors = require "moonsail.errors"
local execution = require "host.execution"
local executions = require "moonsail.client.execution"
local missing = require "moonsail.client.missing"
local once = require "moonsail.client.once"
local pages = require "moonsail.client.pages"
local private = require "moonsail.client.private"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Pipeline
---@field project moonsail.Project
---@field id? integer nil until it is first used, when it was named by identifier
---@field name? string what it was asked for by, or its display name when it was listed
---@field identifier? string known of those that `project:pipelines()` lists; so are the following
---@field url? string its page
---@field last_status? string of its last execution
---@field last_revision? string of its last execution
local Pipeline = {}
Pipeline.__index = Pipeline
Pipeline.__name = "moonsail.Pipeline"

function Pipeline:__tostring()
  local name = tostring(self.identifier or self.name or self.id)
  return self.project.name and ("%s/%s"):format(self.project, name) or name
end

-- ---- Reading. A 404 is explained: one of the names is wrong.

local function explained(self, ok, ...)
  if ok then return ... end
  local err = ...
  if errors.is(err) and err.status == 404 then
    err = missing.explain(private[self.project].session, self.project:place(), self.id or self.name, err)
  end
  error(err, 0)
end

local function reader(self)
  local session = private[self.project].session
  return function(path) return explained(self, pcall(api.get, session, path)) end
end

-- ---- Finding it.

-- What the look-up of identifiers says, or nil when it does not know the name.
-- Source: GET /workspaces/:workspace/identifiers in Buddy's REST types (npm @buddy-works/unit-tests)
local function look_up(self)
  local place = self.project:place()
  local path = ("%s/identifiers?project=%s&pipeline=%s"):format(url.path("workspaces", place.workspace),
    url.encode(place.project), url.encode(self.name))
  local ok, answer = pcall(api.get, private[self.project].session, path)
  if ok then return view.field(answer, "pipeline_id") end
  if not errors.is(answer) or answer.status ~= 404 then error(answer, 0) end
end

-- By identifier in the list, or else by the display name, which need not be unique.
local function find(self)
  local ids, names = {}, {}
  for entry in pages.each(reader(self), private[self.project].path() .. "/pipelines", "pipelines", 100) do
    local identifier = view.field(entry, "identifier")
    if identifier == self.name then return entry.id end
    if entry.name == self.name then ids[#ids + 1] = entry.id end
    names[#names + 1] = identifier or entry.name
  end
  if #ids == 1 then return ids[1] end
  if #ids == 0 then error(missing.unknown("pipeline", self.name, "in " .. tostring(self.project), names), 0) end
  errors.raise("usage", ("%d pipelines of %s are called '%s'"):format(#ids, self.project, self.name),
    "Name one by its id: " .. table.concat(ids, ", ") .. ".")
end

-- Learns its id, and the path that everything of it begins with.
local function locate(self)
  self.id = self.id or look_up(self) or find(self)
  return private[self.project].path() .. url.path("pipelines", self.id)
end

-- ---- Starting.

local start = effect.define("execution.run", { write = true }, function(session, path, request)
  return session:transport().submit(path, request)
end)

-- The fields as host.execution wants them: secrets as encrypted variables, the chosen actions as ids.
local function prepare(self, fields)
  local variables, actions = fields.variables, fields.actions
  local revealed = type(variables) == "table" and require("moonsail.secret").reveal_variables(variables) or variables
  if actions == nil and revealed == variables then return fields end
  local copy = {}
  for name, value in pairs(fields) do copy[name] = value end
  copy.variables, copy.actions = revealed, nil
  if actions ~= nil then
    if fields.actions_to_run ~= nil then
      errors.raise("usage", "both `actions` and `actions_to_run` are given", "Give one of them.")
    end
    copy.actions_to_run = require("moonsail.client.actions").choose(actions, function() return self:actions() end)
  end
  return copy
end

local function make_request(self, fields)
  if fields ~= nil and type(fields) ~= "table" then
    errors.raise("usage", ("pipeline:run takes a table, not a %s"):format(type(fields)),
      'Such as pipeline:run { branch = "main" }.')
  end
  local request, faults = execution.request(fields and prepare(self, fields) or {})
  if request then return request end
  error(require("moonsail.client.outcome").faulty(self, faults), 0)
end

---@class moonsail.Run what to run; the API's own form of each field is taken too
---@field revision? string a commit, or "HEAD"; also `to_revision`
---@field from_revision? string where the change set begins
---@field branch? string at most one of `branch`, `tag` and `pull_request`
---@field tag? string
---@field pull_request? string such as "pull/1"
---@field comment? string
---@field refresh? boolean deploy from scratch
---@field clear_cache? boolean
---@field priority? "LOW"|"NORMAL"|"HIGH"
---@field variables? table<string, string|number|boolean|moonsail.Secret|{ value: any, encrypted: boolean }>
---@field actions? (integer|string)[]|fun(action: table): boolean? ids, names, or what to say of each action
---@field actions_to_run? integer[] the API's form of `actions`
---@field delay_until? string when to start: "2030-01-31T12:00:00.000Z", or from now: "30s", "3h10m", "2d"
---@field environment? string
---@field package_version? string

---Starts an execution, exactly as asked and at most once. Does not wait for its end.
---Raises `usage` when the request is wrong (nothing is sent), `api` when it was refused, `network` when it surely was
---not sent, `uncertain` when it may have been.
---Source: https://buddy.works/docs/api/executions/run
---@async
---@param fields? moonsail.Run
---@return moonsail.Execution
function Pipeline:run(fields)
  local request = make_request(self, fields)
  local path = private[self].path() .. "/executions"
  local session = private[self.project].session
  local outcome = start(session, path, request)
  if outcome.outcome ~= "accepted" then
    error(require("moonsail.client.outcome").failure(self, outcome, path), 0)
  end
  local started = executions.new(self, outcome.execution)
  session:report("started", started)
  return started
end

-- ---- What it has.

---Its actions, as the API lists them: tables with `id`, `name`, `type`, `trigger_time`, ….
---Source: GET …/actions in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return table[]
function Pipeline:actions()
  return pages.all(reader(self), private[self].path() .. "/actions", "actions")
end

---Its latest executions, newest first. Source: https://buddy.works/docs/api/executions/list
---@async
---@param options? { limit?: integer } default 20
---@return moonsail.Execution[]
function Pipeline:executions(options)
  local limit = options and options.limit or 20
  if math.type(limit) ~= "integer" or limit < 1 then
    errors.raise("usage", "limit is " .. tostring(limit), "Expected a number of executions, such as 20.")
  end
  local list = pages.all(reader(self), private[self].path() .. "/executions", "executions", limit)
  for i, entry in ipairs(list) do list[i] = executions.new(self, entry) end
  return list
end

---The latest execution that succeeded, or nil.
---@async
---@return moonsail.Execution?
function Pipeline:last_successful()
  for entry in pages.each(reader(self), private[self].path() .. "/executions", "executions", 50) do
    if entry.status == "SUCCESSFUL" then return executions.new(self, entry) end
  end
end

---One of its executions. Raises `api` when there is none of that number.
---Source: GET …/executions/:id in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@param id integer
---@return moonsail.Execution
function Pipeline:execution(id)
  if not math.tointeger(id) then
    errors.raise("usage", "an execution's id is an integer, not " .. tostring(id), "It is the `id` of an execution.")
  end
  local path = private[self].path() .. url.path("executions", math.tointeger(id))
  return executions.new(self, api.get(private[self.project].session, path))
end

---Makes a pipeline, without asking anything.
---@param project moonsail.Project
---@param known { id?: integer, name?: string }
---@return moonsail.Pipeline
function M.new(project, known)
  local self = setmetatable({ project = project, id = known.id, name = known.name }, Pipeline)
  private[self] = { path = once.new(function() return locate(self) end) }
  return self
end

---Makes a pipeline from the entry of a list.
---@param project moonsail.Project
---@param entry table
---@return moonsail.Pipeline
function M.from(project, entry)
  local self = M.new(project, { id = entry.id, name = view.field(entry, "name") })
  self.identifier = view.field(entry, "identifier")
  self.url = view.field(entry, "html_url")
  self.last_status = view.field(entry, "last_execution_status")
  self.last_revision = view.field(entry, "last_execution_revision")
  return self
end

return M

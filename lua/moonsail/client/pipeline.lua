--- A pipeline: finding it, starting executions of it, the executions it had, its actions and variables.

local actions_of = require "moonsail.client.actions"
local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local executions = require "moonsail.client.execution"
local identifiers = require "moonsail.client.identifiers"
local missing = require "moonsail.client.missing"
local once = require "moonsail.client.once"
local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local url = require "moonsail.client.url"
local variables = require "moonsail.client.variables"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Pipeline
---@field project moonsail.Project
---@field id? integer nil until it is first used, when it was named by identifier
---@field name? string what it was asked for by, or its display name once that is known
---@field identifier? string once it is known
---@field url? string its page, known of those that `project:pipelines()` lists; so are the following
---@field disabled? boolean
---@field last_status? string of its last execution
---@field last_revision? string of its last execution
local Pipeline = {}
Pipeline.__index = Pipeline
Pipeline.__name = "moonsail.Pipeline"

function Pipeline:__tostring()
  local name = tostring(self.identifier or self.name or self.id)
  return self.project.name and ("%s/%s"):format(self.project, name) or name
end

-- ---- Finding it.

-- By identifier in the list, or else by the display name, which need not be unique.
local function find(self)
  local ids, names = {}, {}
  for entry in reading.each(self.project, private[self.project].path() .. "/pipelines", "pipelines", 100) do
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

local function look_up(self)
  local place = self.project:place()
  local found = identifiers.look_up(private[self].session, place.workspace,
    { project = place.project, pipeline = self.name })
  return found and found.pipeline_id
end

-- Learns its id, and the path that everything of it begins with.
local function locate(self)
  self.id = self.id or look_up(self) or find(self)
  return private[self.project].path() .. url.path("pipelines", self.id)
end

local function place(self)
  local names = self.project:place()
  names.pipeline = self.name or self.id
  return names
end

-- ---- Starting.

---@class moonsail.Run what to run; the API's own form of each field is taken too
---@field revision? string a commit, or "HEAD"; also `to_revision`
---@field from_revision? string where the change set begins
---@field branch? string at most one of `branch`, `tag` and `pull_request`
---@field tag? string
---@field pull_request? string|integer such as "pull/1" or 1
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
  return require("moonsail.client.start").run(self, fields)
end

---Throws its cache away. Does not touch what runs.
---Source: PATCH …/pipelines/:id in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return moonsail.Pipeline
function Pipeline:clear_cache()
  api.write(private[self].session, "PATCH", private[self].path(), { clear_cache = true })
  return self
end

-- ---- What it has.

---Its actions, as the API lists them: tables with `id`, `name`, `type`, `trigger_time`, `disabled`, ….
---Source: GET …/actions in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@param filter? { trigger_time?: string, disabled?: boolean } such as { trigger_time = "ON_FAILURE" }
---@return table[]
function Pipeline:actions(filter)
  local wanted = actions_of.filter(filter)
  local list, chosen = reading.list(self, private[self].path() .. "/actions" .. wanted.query, "actions"), {}
  for _, entry in ipairs(list) do
    local action = actions_of.read(entry)
    if wanted.holds(action) then chosen[#chosen + 1] = action end
  end
  return chosen
end

---The variables that the API keeps for the pipeline itself.
---@async
---@return moonsail.Variable[]
function Pipeline:variables()
  private[self].path()
  return variables.list(self, "pipeline_id=" .. self.id)
end

---What the API says of it: `name`, `identifier`, `refs`, `events`, `priority`, `disabled`, ….
---Source: GET …/pipelines/:id in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return table
function Pipeline:facts()
  local facts = view.plain(reading.get(self, private[self].path()))
  view.name_pipeline(self, facts)
  return facts
end

-- ---- The executions it had.

---Goes through its executions, newest first, and asks for more as it comes to them:
---`for execution in pipeline:each_execution() do … end`. Source: https://buddy.works/docs/api/executions/list
---@async
---@return fun(): moonsail.Execution?
function Pipeline:each_execution()
  local following = reading.each(self, private[self].path() .. "/executions", "executions", 50)
  return function()
    local entry = following()
    return entry and executions.new(self, entry)
  end
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
  local list = reading.list(self, private[self].path() .. "/executions", "executions", limit)
  for i, entry in ipairs(list) do list[i] = executions.new(self, entry) end
  return list
end

---The latest execution that succeeded, or nil.
---@async
---@return moonsail.Execution?
function Pipeline:last_successful()
  for execution in self:each_execution() do
    if execution.last_status == "SUCCESSFUL" then return execution end
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
  local path = private[self].path() .. "/executions"
  return executions.new(self, reading.one(self, path, math.tointeger(id), "execution"))
end

-- ---- Making.

---Makes a pipeline, without asking anything.
---@param project moonsail.Project
---@param known { id?: integer, name?: string }
---@return moonsail.Pipeline
function M.new(project, known)
  local self = setmetatable({ project = project, id = known.id, name = known.name }, Pipeline)
  private[self] = {
    session = private[project].session,
    path = once.new(function() return locate(self) end),
    place = function() return place(self) end,
  }
  return self
end

---Makes a pipeline from the entry of a list.
---@param project moonsail.Project
---@param entry table
---@return moonsail.Pipeline
function M.from(project, entry)
  local self = M.new(project, { id = entry.id })
  view.name_pipeline(self, entry)
  self.url = view.text(entry, "html_url")
  self.disabled = view.field(entry, "disabled") == true
  self.last_status = view.text(entry, "last_execution_status")
  self.last_revision = view.text(entry, "last_execution_revision")
  return self
end

return M

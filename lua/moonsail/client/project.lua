--- A project of a workspace: where its API begins, its pipelines, what else it has.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local once = require "moonsail.client.once"
local pipelines = require "moonsail.client.pipeline"
local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local repository = require "moonsail.client.repository"
local url = require "moonsail.client.url"
local variables = require "moonsail.client.variables"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Project: moonsail.Repository
---@field workspace? string nil until it is first used, when the settings are to say
---@field name? string the same
---@field display_name? string known of those that `workspace:projects()` lists; so are the following
---@field status? string "ACTIVE" or "CLOSED"
---@field url? string its page
local Project = setmetatable({}, { __index = repository.Repository })
Project.__index = Project
Project.__name = "moonsail.Project"

function Project:__tostring()
  if not self.name then return "the project of the settings" end
  return self.workspace and ("%s/%s"):format(self.workspace, self.name) or self.name
end

-- Learns its names, and the path that everything of it begins with.
local function locate(self)
  local place = api.place(private[self].session, self.workspace, self.name)
  self.workspace, self.name = place.workspace, place.project
  return url.path("workspaces", place.workspace, "projects", place.project)
end

---One of its pipelines, by id (an integer or "123"), by identifier, or by its exact display name. Nothing is asked
---until the pipeline is used.
---@param name integer|string
---@return moonsail.Pipeline
function Project:pipeline(name)
  if math.type(name) == "integer" and name > 0 or type(name) == "string" and name:find("^%d+$") then
    return pipelines.new(self, { id = math.tointeger(tonumber(name)) })
  end
  if type(name) == "string" and name ~= "" then return pipelines.new(self, { name = name }) end
  errors.raise("usage", ("a pipeline's name is a string or an id, not %s"):format(tostring(name)),
    'Such as project:pipeline "build".')
end

---All its pipelines. Source: GET …/pipelines in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return moonsail.Pipeline[]
function Project:pipelines()
  local list = reading.list(self, private[self].path() .. "/pipelines", "pipelines")
  for i, entry in ipairs(list) do list[i] = pipelines.from(self, entry) end
  return list
end

---The variables of the project itself; those of its workspace and its pipelines are theirs.
---@async
---@return moonsail.Variable[]
function Project:variables()
  return variables.list(self, "project_name=" .. url.encode(self:place().project))
end

---What the API says of it: `name`, `display_name`, `default_branch`, `http_repository`, ….
---Source: GET /workspaces/:workspace/projects/:project in Buddy's REST types (npm @buddy-works/unit-tests)
---@async
---@return table
function Project:facts()
  return view.plain(reading.get(self, private[self].path()))
end

---The names that stand in its paths.
---@async
---@return { workspace: string, project: string }
function Project:place()
  private[self].path()
  return { workspace = self.workspace, project = self.name }
end

---Makes a project, without asking anything.
---@param session moonsail.Session
---@param known { workspace?: string, name?: string, display_name?: string, status?: string, url?: string }
---@return moonsail.Project
function M.new(session, known)
  local self = setmetatable(known, Project)
  private[self] = {
    session = session,
    path = once.new(function() return locate(self) end),
    place = function() return self:place() end,
  }
  return self
end

-- "workspace/project", "project", or nothing. Names of dots only would climb up the path.
local function parse(name)
  if name == nil then return nil, nil end
  local workspace, project
  if type(name) == "string" then
    workspace, project = name:match("^([^/%s%c]+)/([^/%s%c]+)$")
    project = project or name:match("^[^/%s%c]+$")
  end
  if project and not project:find("^%.+$") and not (workspace or ""):find("^%.+$") then return workspace, project end
  errors.raise("usage", ("'%s' does not name a project"):format(tostring(name)),
    'Such as sail.project "acme/website", or sail.project() for the one in the settings.')
end

---What a recipe gets.
---@param session moonsail.Session
---@return table<string, function>
function M.fields(session)
  return {
    ---Opens a project: "workspace/project", "project" in the workspace of the settings, or the one of the settings.
    ---@param name? string
    ---@return moonsail.Project
    project = function(name)
      local workspace, project = parse(name)
      return M.new(session, { workspace = workspace, name = project })
    end,
  }
end

return M

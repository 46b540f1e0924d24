--- A project of a workspace: where its API begins, and its pipelines.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local missing = require "moonsail.client.missing"
local once = require "moonsail.client.once"
local pages = require "moonsail.client.pages"
local pipelines = require "moonsail.client.pipeline"
local private = require "moonsail.client.private"
local url = require "moonsail.client.url"

local M = {}

---@class moonsail.Project
---@field workspace? string nil until it is first used, when the settings are to say
---@field name? string the same
local Project = {}
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
  local session = private[self].session
  local get = function(path) return api.get(session, path) end
  local ok, entries = pcall(pages.all, get, private[self].path() .. "/pipelines", "pipelines")
  if not ok then
    if errors.is(entries) and entries.status == 404 then
      entries = missing.explain(session, self:place(), nil, entries)
    end
    error(entries, 0)
  end
  local list = {}
  for i, entry in ipairs(entries) do list[i] = pipelines.from(self, entry) end
  return list
end

---The names that stand in its paths.
---@async
---@return { workspace: string, project: string }
function Project:place()
  private[self].path()
  return { workspace = self.workspace, project = self.name }
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
      local self = setmetatable({ workspace = workspace, name = project }, Project)
      private[self] = { session = session, path = once.new(function() return locate(self) end) }
      return self
    end,
  }
end

return M

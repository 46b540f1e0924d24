--- A workspace: its projects, its variables, and from text identifiers to ids.
--- Source: /workspaces in Buddy's REST types (npm @buddy-works/unit-tests)

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local identifiers = require "moonsail.client.identifiers"
local once = require "moonsail.client.once"
local pages = require "moonsail.client.pages"
local private = require "moonsail.client.private"
local projects = require "moonsail.client.project"
local reading = require "moonsail.client.reading"
local url = require "moonsail.client.url"
local variables = require "moonsail.client.variables"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Workspace
---@field domain? string its name in paths; nil until it is first used, when the settings are to say
---@field name? string its display name, known of those that `sail.workspaces()` lists; so are the following
---@field id? integer
---@field url? string its page
local Workspace = {}
Workspace.__index = Workspace
Workspace.__name = "moonsail.Workspace"

function Workspace:__tostring()
  return self.domain or "the workspace of the settings"
end

local function locate(self)
  self.domain = api.workspace(private[self].session, self.domain)
  return url.path("workspaces", self.domain)
end

---All its projects.
---@async
---@return moonsail.Project[]
function Workspace:projects()
  local list = reading.list(self, private[self].path() .. "/projects", "projects")
  for i, entry in ipairs(list) do
    list[i] = projects.new(private[self].session, {
      workspace = self.domain, name = view.text(entry, "name"), display_name = view.text(entry, "display_name"),
      status = view.text(entry, "status"), url = view.text(entry, "html_url"),
    })
  end
  return list
end

---The variables of the workspace itself.
---@async
---@return moonsail.Variable[]
function Workspace:variables()
  return variables.list(self)
end

local function check_wanted(wanted)
  if type(wanted) == "table" and next(wanted) ~= nil then
    for name, value in pairs(wanted) do
      local near = require("host.execution").nearest(tostring(name), identifiers.names)
      if near ~= name then
        errors.raise("usage", ("workspace:identify knows no '%s'"):format(tostring(name)),
          near and ("Did you mean '%s'?"):format(near) or "It takes " .. table.concat(identifiers.names, ", ") .. ".")
      end
      if type(value) ~= "string" then
        errors.raise("usage", ("%s is a %s"):format(name, type(value)), "Expected an identifier.")
      end
    end
    return
  end
  errors.raise("usage", "workspace:identify takes what is to be looked up",
    'Such as workspace:identify { project = "website", pipeline = "build" }.')
end

---The ids of what text identifiers name. Raises `api` when the API does not know one of them.
---@async
---@param wanted { project?: string, pipeline?: string, environment?: string, package?: string,
---  package_version?: string }
---@return moonsail.Identified
function Workspace:identify(wanted)
  check_wanted(wanted)
  private[self].path()
  return identifiers.read(reading.get(self, identifiers.path(self.domain, wanted)))
end

local function new(session, known)
  local self = setmetatable(known, Workspace)
  private[self] = { session = session, path = once.new(function() return locate(self) end) }
  private[self].place = function()
    private[self].path()
    return { workspace = self.domain }
  end
  return self
end

---What a recipe gets.
---@param session moonsail.Session
---@return table<string, function>
function M.fields(session)
  return {
    ---All workspaces that the token may enter.
    ---@async
    ---@return moonsail.Workspace[]
    workspaces = function()
      local list = pages.all(function(path) return api.get(session, path) end, "/workspaces", "workspaces")
      for i, entry in ipairs(list) do
        list[i] = new(session, { domain = view.text(entry, "domain"), name = view.text(entry, "name"),
          id = view.field(entry, "id"), url = view.text(entry, "html_url") })
      end
      return list
    end,

    ---Opens a workspace, by default the one of the settings. Nothing is asked until it is used.
    ---@param name? string
    ---@return moonsail.Workspace
    workspace = function(name)
      if name ~= nil and (type(name) ~= "string" or not name:find "^[^/%s%c]+$" or name:find "^%.+$") then
        errors.raise("usage", ("'%s' does not name a workspace"):format(tostring(name)),
          'Such as sail.workspace "acme", or sail.workspace() for the one in the settings.')
      end
      return new(session, { domain = name })
    end,
  }
end

return M

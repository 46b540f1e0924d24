--- After a 404: finds out which name is wrong, as far as the lists tell, and what it may have been meant to be.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local execution = require "host.execution"
local pages = require "moonsail.client.pages"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

-- The names in a list, each the first of the given fields that is there, and the set of all of these fields' values.
-- nil when the list cannot be read.
local function names_in(session, path, key, fields)
  local ok, entries = pcall(pages.all, function(page) return api.get(session, page) end, path, key)
  if not ok then
    if errors.is(entries) then return nil end
    error(entries, 0)
  end
  local names, known = {}, {}
  for _, entry in ipairs(entries) do
    local first
    for _, name in ipairs(fields) do
      local value = view.field(entry, name)
      if value then known[tostring(value)] = true end
      first = first or value
    end
    names[#names + 1] = first and tostring(first)
  end
  return names, known
end

---The error for a name that is in none of the given ones.
---@param what string such as "pipeline"
---@param name string
---@param where string such as "in acme/website"
---@param names string[]
---@return moonsail.Error
function M.unknown(what, name, where, names)
  local near = execution.nearest(name, names)
  local hint = near and ("Did you mean '%s'?"):format(near)
    or #names > 0 and "There are: " .. table.concat(names, ", ", 1, math.min(#names, 20)) .. "."
    or "There is none at all."
  return errors.new("api", ("there is no %s '%s' %s"):format(what, name, where), hint, { status = 404, field = what })
end

---Which of workspace, project and pipeline does not exist.
---@async
---@param session moonsail.Session
---@param place moonsail.Place
---@param err moonsail.Error the 404; returned when all of them seem to exist
---@return moonsail.Error
function M.explain(session, place, err)
  local workspace, project, pipeline = place.workspace, place.project, place.pipeline
  local names, known = names_in(session, "/workspaces", "workspaces", { "domain" })
  if names and not known[workspace] then
    return M.unknown("workspace", workspace, "that the token may enter", names)
  end
  if not project then return err end
  local path = url.path("workspaces", workspace, "projects")
  names, known = names_in(session, path, "projects", { "name" })
  if names and not known[project] then
    return M.unknown("project", project, "in the workspace " .. workspace, names)
  end
  if not pipeline then return err end
  path = path .. url.path(project, "pipelines")
  names, known = names_in(session, path, "pipelines", { "identifier", "name", "id" })
  if not names or known[tostring(pipeline)] then return err end
  return M.unknown("pipeline", tostring(pipeline), ("in %s/%s"):format(workspace, project), names)
end

return M

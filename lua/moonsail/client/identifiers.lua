--- From the text identifiers that people use to the ids that the API's paths need.
--- Source: GET /workspaces/:workspace/identifiers in Buddy's REST types (npm @buddy-works/unit-tests)

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

-- Fields of the query, as the API has them and as they are ours.
M.names = { "project", "pipeline", "environment", "package", "package_version" }

---Where a look-up is asked.
---@param workspace string
---@param wanted table<string, string>
---@return string
function M.path(workspace, wanted)
  local query = {}
  for _, name in ipairs(M.names) do
    if wanted[name] then query[#query + 1] = ("%s=%s"):format(name, url.encode(wanted[name])) end
  end
  return url.path("workspaces", workspace, "identifiers") .. "?" .. table.concat(query, "&")
end

---@class moonsail.Identified
---@field workspace? string
---@field project? string
---@field pipeline_id? integer
---@field environment_id? string|integer
---@field package_id? string|integer
---@field package_version_id? string|integer
---@field url? string

---@param answer table
---@return moonsail.Identified
function M.read(answer)
  return {
    workspace = view.field(answer, "domain"),
    project = view.field(answer, "project_identifier"),
    pipeline_id = view.field(answer, "pipeline_id"),
    environment_id = view.field(answer, "environment_id"),
    package_id = view.field(answer, "pkg_id"),
    package_version_id = view.field(answer, "pkg_version_id"),
    url = view.field(answer, "html_url"),
  }
end

---What the look-up says; nil when it does not know a name, or when there is no look-up.
---@async
---@param session moonsail.Session
---@param workspace string
---@param wanted table<string, string>
---@return moonsail.Identified?
function M.look_up(session, workspace, wanted)
  local ok, answer = pcall(api.get, session, M.path(workspace, wanted))
  if ok then return M.read(answer) end
  if not errors.is(answer) or answer.status ~= 404 then error(answer, 0) end
end

return M

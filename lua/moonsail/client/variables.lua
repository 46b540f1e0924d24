--- Variables that the API keeps, of a workspace, a project or a pipeline.
--- Source: GET /workspaces/:workspace/variables in Buddy's REST types (npm @buddy-works/unit-tests)

local private = require "moonsail.client.private"
local reading = require "moonsail.client.reading"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

---@class moonsail.Variable
---@field id integer
---@field key string
---@field value? string as the API shows it: masked when it is encrypted
---@field encrypted boolean
---@field settable boolean whether actions may change it
---@field type string "VAR", "FILE", "SSH_KEY", …
---@field description? string

local function read(entry)
  return {
    id = view.field(entry, "id"),
    key = view.text(entry, "key"),
    value = view.field(entry, "value"),
    encrypted = view.field(entry, "encrypted") == true,
    settable = view.field(entry, "settable") == true,
    type = view.text(entry, "type") or "VAR",
    description = view.text(entry, "description"),
  }
end

---The variables of one level, in the order of the API.
---@async
---@param owner table a workspace, project or pipeline
---@param query? string which level, such as "pipeline_id=7"; none: the workspace's own
---@return moonsail.Variable[]
function M.list(owner, query)
  local path = url.path("workspaces", private[owner].place().workspace, "variables")
  local list = reading.list(owner, query and path .. "?" .. query or path, "variables")
  for i, entry in ipairs(list) do list[i] = read(entry) end
  return list
end

return M

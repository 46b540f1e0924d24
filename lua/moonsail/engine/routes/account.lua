--- Methods of what stands around pipelines: the workspace, the project, the user and the token.
local date = require "moonsail.engine.date"
local json = require "host.json"
local page = require "moonsail.engine.page"

local M = {}

local function short_workspace(urls)
  return { url = urls:workspace_api(), html_url = urls:workspace_web(), id = 1, name = urls.workspace,
    domain = urls.workspace }
end

local function workspaces(engine, _, request)
  return json.encode { url = engine.urls.endpoint .. "/workspaces", html_url = engine.urls.endpoint,
    workspaces = json.list(page.slice(request.query, { short_workspace(engine.urls) })) }
end

local function workspace(engine)
  local value = short_workspace(engine.urls)
  value.owner_id, value.frozen, value.sso_enabled = engine.repository_view.owner.id, false, false
  value.create_date = date.format(engine.created)
  return json.encode(value)
end

local function short_project(urls)
  return { url = urls.api, html_url = urls.web, name = urls.project_name,
    display_name = urls.project_name, status = "ACTIVE" }
end

-- There is one project, which is active and of which the one user is a member: order and membership change nothing.
local function projects(engine, _, request)
  local urls, query = engine.urls, request.query
  page.word(query, "sort_by", { "name", "create_date", "repository_size" })
  page.word(query, "sort_direction", { "ASC", "DESC" })
  page.word(query, "membership", { "true", "false" })
  local list = page.word(query, "status", { "ACTIVE", "CLOSED" }) == "CLOSED" and {} or { short_project(urls) }
  return json.encode { url = urls:workspace_api() .. "/projects", html_url = urls:workspace_web(),
    projects = json.list(page.slice(query, list)) }
end

local function project(engine)
  local value = short_project(engine.urls)
  local _, branch = engine.project:head()
  value.create_date = date.format(engine.created)
  value.created_by = engine.repository_view:member_object(engine.repository_view.owner)
  value.default_branch = branch or json.null
  value.http_repository, value.ssh_repository = engine.project.path, json.null
  value.access, value.without_repository, value.integration = "PRIVATE", false, json.null
  return json.encode(value)
end

local function member(engine, at)
  return engine.repository_view:member(at.member)
end

local function user(engine)
  local owner = engine.repository_view.owner
  return json.encode { url = engine.urls.endpoint .. "/user", html_url = engine.urls.endpoint, id = owner.id,
    name = owner.name, avatar_url = "", workspaces_url = engine.urls.endpoint .. "/workspaces" }
end

local function token(engine, _, _, caller)
  return json.encode { url = engine.urls.endpoint .. "/user/token", html_url = engine.urls.endpoint, id = caller.id,
    name = "local", scopes = json.list(caller.scopes), expires_at = json.null, ip_restrictions = json.list {},
    workspace_restrictions = json.list {} }
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  add("GET", "/user", "USER_INFO", user)
  add("GET", "/user/token", nil, token)
  add("GET", "/workspaces", "WORKSPACE", workspaces)
  add("GET", "/workspaces/:workspace", "WORKSPACE", workspace)
  add("GET", "/workspaces/:workspace/members/:member", "WORKSPACE", member)
  add("GET", "/workspaces/:workspace/projects", "WORKSPACE", projects)
  add("GET", "/workspaces/:workspace/projects/:project", "WORKSPACE", project)
end

return M

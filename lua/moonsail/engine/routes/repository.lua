--- Methods of the repository: branches, tags, commits and pull requests.
local fragment = require "moonsail.engine.fragment"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"

local M = {}

local REPOSITORY = "/workspaces/:workspace/projects/:project/repository"

local function envelope(engine, plural, texts)
  return fragment.object { "url", "html_url", plural } {
    url = fragment.text(engine.urls:repository(plural)),
    html_url = fragment.text(engine.urls.web .. "/repository/" .. plural),
    [plural] = fragment.list(texts),
  }
end

-- The handlers of a kind of ref: its list, and one of it by name.
local function list_of(plural, read, write)
  return function(engine, _, request)
    local texts = {}
    for index, item in ipairs(page.slice(request.query, read(engine.project.repository))) do
      texts[index] = write(engine.repository_view, item)
    end
    return envelope(engine, plural, texts)
  end
end

local function one_of(word, read, write)
  return function(engine, at)
    for _, item in ipairs(read(engine.project.repository)) do
      local found = at.name and item.name == at.name or at.number and item.number == at.number
      if found then return write(engine.repository_view, item) end
    end
    refusal.raise(404, ("There is no %s %q"):format(word, tostring(at.name or at.number)))
  end
end

local function branches(repository) return repository:branches() end
local function tags(repository) return repository:tags() end
local function pull_requests(repository) return repository:pull_requests() end

local function write_branch(view, item) return view:branch_with_commit(item.name, item.revision) end
local function write_tag(view, item) return view:tag(item.name, item.message, item.revision) end
local function write_pull_request(view, item) return view:pull_request(item.name) end

local function list_commits(engine, _, request)
  local number, per_page = page.of(request.query)
  local tip = engine.project:head()
  if request.query.branch then
    tip = engine.project:resolve("branch", request.query.branch)
      or refusal.raise(404, ("There is no branch %q"):format(request.query.branch))
  end
  local texts = {}
  local commits = tip and engine.project.repository:commits(nil, tip, { limit = number * per_page }) or {}
  for index, commit in ipairs(page.slice(request.query, commits)) do
    texts[index] = engine.repository_view:commit(commit.revision)
  end
  return envelope(engine, "commits", texts)
end

local function get_commit(engine, at)
  local commit = at.revision:find "^%x+$" and engine.project:commit(at.revision)
  if not commit then refusal.raise(404, ("There is no commit %q"):format(at.revision)) end
  return engine.repository_view:commit(commit.revision)
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  local scope = "REPOSITORY_READ"
  add("GET", REPOSITORY .. "/branches", scope, list_of("branches", branches, write_branch))
  add("GET", REPOSITORY .. "/branches/:name", scope, one_of("branch", branches, write_branch))
  add("GET", REPOSITORY .. "/tags", scope, list_of("tags", tags, write_tag))
  add("GET", REPOSITORY .. "/tags/:name", scope, one_of("tag", tags, write_tag))
  add("GET", REPOSITORY .. "/pulls", scope, list_of("pull_requests", pull_requests, write_pull_request))
  add("GET", REPOSITORY .. "/pulls/:number", scope, one_of("pull request", pull_requests, write_pull_request))
  add("GET", REPOSITORY .. "/commits", scope, list_commits)
  add("GET", REPOSITORY .. "/commits/:revision", scope, get_commit)
end

return M

--- Methods of the repository: branches, tags, commits and pull requests.
local fragment = require "moonsail.engine.fragment"
local history = require "moonsail.engine.history"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"

local M = {}

local REPOSITORY = "/workspaces/:workspace/projects/:project/repository"

-- `member` is the list's, `place` its path, when that differs.
local function envelope(engine, member, texts, place)
  return fragment.object { "url", "html_url", member } {
    url = fragment.text(engine.urls:repository(place or member)),
    html_url = fragment.text(engine.urls.web .. "/repository/" .. (place or member)),
    [member] = fragment.list(texts),
  }
end

-- The handlers of a kind of ref: its list, and one of it by name.
local function list_of(member, read, write, place)
  return function(engine, _, request)
    local texts = {}
    for index, item in ipairs(page.slice(request.query, read(engine.project.repository))) do
      texts[index] = write(engine.repository_view, item)
    end
    return envelope(engine, member, texts, place)
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

local function found_commit(engine, revision)
  return revision:find "^%x+$" and #revision <= 40 and engine.project:commit(revision)
    or refusal.raise(404, ("There is no commit %q"):format(revision))
end

-- Where a list of commits begins.
local function beginning(engine, query)
  if query.revision then return found_commit(engine, query.revision).revision end
  if not query.branch then return (engine.project:head()) end
  return engine.project:resolve("branch", query.branch)
    or refusal.raise(404, ("There is no branch %q"):format(query.branch))
end

local function some(text)
  return text ~= "" and text or nil
end

local function list_commits(engine, _, request)
  local query = request.query
  local number, per_page = page.of(query)
  local tip = beginning(engine, query)
  local filter = { author = some(query.author), path = some(query.path and query.path:gsub("/+$", "")),
    since = page.date(query, "since"), until_ = page.date(query, "until") }
  local commits = tip and history.list(engine.project.repository, tip, filter, number * per_page) or {}
  local texts = {}
  for index, commit in ipairs(page.slice(query, commits)) do
    texts[index] = engine.repository_view:commit(commit.revision)
  end
  return envelope(engine, "commits", texts)
end

local function get_commit(engine, at)
  return engine.repository_view:commit(found_commit(engine, at.revision).revision)
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  local scope = "REPOSITORY_READ"
  add("GET", REPOSITORY .. "/branches", scope, list_of("branches", branches, write_branch))
  add("GET", REPOSITORY .. "/branches/:name", scope, one_of("branch", branches, write_branch))
  add("GET", REPOSITORY .. "/tags", scope, list_of("tags", tags, write_tag))
  add("GET", REPOSITORY .. "/tags/:name", scope, one_of("tag", tags, write_tag))
  add("GET", REPOSITORY .. "/pulls", scope, list_of("pull_requests", pull_requests, write_pull_request,
    "pulls"))
  add("GET", REPOSITORY .. "/pulls/:number", scope, one_of("pull request", pull_requests, write_pull_request))
  add("GET", REPOSITORY .. "/commits", scope, list_commits)
  add("GET", REPOSITORY .. "/commits/:revision", scope, get_commit)
end

return M

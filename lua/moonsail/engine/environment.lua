--- The environment of an action's processes: nothing of the engine's own, Buddy's predefined variables in both
--- their generations (BUDDY_EXECUTION_* and BUDDY_RUN_*), then the variables of all levels.
local action_log = require "moonsail.engine.log"
local date = require "moonsail.engine.date"
local refs = require "moonsail.engine.refs"

local M = {}

local PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
-- Bytes; no process could start with much more. A longer list of files or commits is left out, a log keeps its end.
local MAX_VALUE = 32 * 1024
local FAILED_LINES = 50
local MAX_COMMITS = 100

local REF_TYPES = { branch = "BRANCH", tag = "TAG", pull_request = "PULL_REQUEST" }

-- Sets a variable under both names of a generation.
local function set(environment, name, value)
  if value == nil or #tostring(value) > MAX_VALUE then return end
  environment["BUDDY_EXECUTION_" .. name] = tostring(value)
  environment["BUDDY_RUN_" .. name] = tostring(value)
end

local function add_ref(environment, e)
  local full = refs.full(e.ref_kind, e.ref_name)
  environment.BUDDY_EXECUTION_REF = full
  environment.BUDDY_RUN_REF_NAME = e.ref_name
  environment.BUDDY_RUN_REF_TYPE = REF_TYPES[e.ref_kind]
  if e.ref_kind == "branch" then
    set(environment, "BRANCH", e.ref_name)
  elseif e.ref_kind == "tag" then
    set(environment, "TAG", e.ref_name)
  else
    local number = e.ref_name:match "%d+$"
    environment.BUDDY_EXECUTION_PULL_REQUEST_ID = e.ref_name
    environment.BUDDY_EXECUTION_PULL_REQUEST_NO = number
    environment.BUDDY_RUN_PR_NO = number
  end
end

local function add_commit(environment, commit, url)
  local values = {
    [""] = commit.revision,
    _SHORT = commit.short_revision,
    _SUBJECT = commit.subject,
    _MESSAGE = commit.message,
    _URL = url,
    _COMMITTER_NAME = commit.committer.name,
    _COMMITTER_EMAIL = commit.committer.email,
  }
  for suffix, value in pairs(values) do
    if #value <= MAX_VALUE then
      environment["BUDDY_EXECUTION_REVISION" .. suffix] = value
      environment["BUDDY_RUN_COMMIT" .. suffix] = value
    end
  end
end

-- What changed since the execution before.
local function add_changes(environment, project, e)
  if not e.from_revision then return end
  environment.BUDDY_EXECUTION_PREVIOUS_REVISION = e.from_revision
  local commits = project.repository:commits(e.from_revision, e.revision, { limit = MAX_COMMITS })
  local subjects = {}
  for _, commit in ipairs(commits or {}) do table.insert(subjects, commit.subject) end
  set(environment, "CHANGELOG", table.concat(subjects, "\n"))
  local changes = project.repository:changed_paths(e.from_revision, e.revision) or {}
  for kind, paths in pairs(changes) do
    set(environment, "CHANGELOG_" .. kind:upper(), table.concat(paths, ","))
  end
end

local function add_execution(environment, job)
  local e, place = job.execution, job.urls:execution(job.execution)
  set(environment, "ID", e.number)
  set(environment, "URL", place.web)
  set(environment, "COMMENT", e.comment)
  set(environment, "START_DATE", date.format(e.started))
  set(environment, "REFRESH", e.refresh == 1)
  set(environment, "CLEAR_CACHE", e.clear_cache == 1)
  set(environment, "APPROVE_URL", place.web .. "?approve=true")
  environment.BUDDY_RUN_HASH = place.id
  set(environment, "MODE", e.triggered_on)
end

-- A person, under each of these beginnings of a name.
local function add_member(environment, urls, member, ...)
  local values = { ID = tostring(member.id), NAME = member.name, EMAIL = member.email,
    URL = urls:member_web(member.id), AVATAR_URL = "" }
  for _, prefix in ipairs { ... } do
    for suffix, value in pairs(values) do environment[prefix .. suffix] = value end
  end
end

local function add_place(environment, job)
  local urls, pipeline = job.urls, job.pipeline
  local values = {
    BUDDY = "true",
    BUDDY_WORKSPACE_ID = "1",
    BUDDY_WORKSPACE_NAME = urls.workspace,
    BUDDY_WORKSPACE_DOMAIN = urls.workspace,
    BUDDY_WORKSPACE_URL = urls:workspace_web(),
    BUDDY_PROJECT_NAME = urls.project_name,
    BUDDY_PROJECT_NAME_ID = urls.project_name,
    BUDDY_PROJECT_URL = urls.web,
    BUDDY_PIPELINE_ID = tostring(pipeline.id),
    BUDDY_PIPELINE_NAME = pipeline.name,
    BUDDY_PIPELINE_URL = urls:pipeline_web(pipeline.id),
    BUDDY_PIPELINE_REF_NAME = pipeline.refs[1],
    BUDDY_PIPELINE_TRIGGER_MODE = pipeline.on,
    BUDDY_PIPELINE_TARGET_SITE_URL = pipeline.target_site_url,
    BUDDY_REPO_SLUG = urls.workspace .. "/" .. urls.project_name,
    BUDDY_REPO_SSH_URL = job.project.path, -- what git clones on this machine
    BUDDY_SCM_URL = job.project.path,
    BUDDY_SCM_PROVIDER = "GIT",
  }
  for name, value in pairs(values) do environment[name] = value end
  add_member(environment, urls, job.owner, "BUDDY_INVOKER_", "BUDDY_TRIGGERING_ACTOR_")
end

local function add_variables(environment, variables)
  for key, variable in pairs(variables) do environment[key] = variable.value end
end

-- What all actions of an execution have in common.
local function predefined(job)
  local environment = { PATH = PATH, HOME = job.home, LANG = "C.UTF-8" }
  add_place(environment, job)
  add_execution(environment, job)
  add_ref(environment, job.execution)
  local commit = job.project:commit(job.execution.revision)
  if commit then add_commit(environment, commit, job.urls:repository_web("commit", commit.revision)) end
  add_changes(environment, job.project, job.execution)
  return environment
end

-- The end of a text, whole characters.
local function tail(text)
  return #text <= MAX_VALUE and text or (text:sub(-MAX_VALUE):gsub("^[\x80-\xBF]+", ""))
end

local function last_lines(job, row)
  local count = action_log.length(job.sql, row.id)
  local text = table.concat(action_log.read(job.sql, row.id, math.max(count - FAILED_LINES, 0)), "\n")
  return tail((text:gsub("%z", "\u{FFFD}"))) -- no variable can hold it
end

local function copy_of_predefined(job)
  job.predefined = job.predefined or predefined(job)
  local environment = {}
  for name, value in pairs(job.predefined) do environment[name] = value end
  return environment
end

---What the pipeline's own conditions and texts see.
---@param job engine.Job
---@return table<string, string>
function M.of_pipeline(job)
  local environment = copy_of_predefined(job)
  add_variables(environment, job.variables:of())
  return environment
end

---The whole environment of one action.
---@param job engine.Job
---@param action engine.Action
---@param row engine.ActionExecution
---@return table<string, string>
function M.of_action(job, action, row)
  local environment, failed = copy_of_predefined(job), job.failed or job.suppressed
  environment.BUDDY_ACTION_ID = tostring(action.id)
  environment.BUDDY_ACTION_RUN_HASH = job.urls:action_execution(job.urls:execution(job.execution), row.position)
  if failed then
    environment.BUDDY_FAILED_ACTION_NAME = failed.name
    environment.BUDDY_FAILED_ACTION_LOGS = last_lines(job, failed)
  end
  if job.approver then add_member(environment, job.urls, job.approver, "BUDDY_APPROVING_ACTOR_") end
  add_variables(environment, job.variables:of(action))
  return environment
end

---A text with $NAME and ${NAME} replaced. Names that are not known stay as they are.
---@param text string
---@param environment table<string, string>
---@return string
function M.expand(text, environment)
  return (text:gsub("%$({?)([%a_][%w_]*)(}?)", function(open, name, close)
    local value = environment[name]
    if value and open == "" then return value .. close end
    return value and close == "}" and value or nil
  end))
end

return M

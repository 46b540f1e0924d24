--- The project: what the repository says, with the ids of the catalog attached. A revision never changes, so its
--- commit and its pipelines are read once. Where a ref points is asked anew, but for requests that come at once.
local definition = require "moonsail.engine.definition"
local refs = require "moonsail.engine.refs"
local repository = require "host.repository"
local task = require "host.task"

local M = {}

local MAX_CACHED = 256 -- revisions
local AT_ONCE = 0.001  -- seconds; git itself takes longer to end after it has moved a ref

---@class engine.Pipelines the definition at one revision
---@field revision? string nil without a commit
---@field list engine.Pipeline[]
---@field by_id table<integer, engine.Pipeline>
---@field by_identifier table<string, engine.Pipeline>

---@class engine.Project
---@field path string of the repository
---@field repository host.Repository
local Project = {}
Project.__index = Project

---@param path string
---@return engine.Project? project
---@return string? message
---@return string? code
function M.open(path)
  local git, message, code = repository.open(path)
  if not git then return nil, message, code end
  local self = setmetatable({ path = git.path, repository = git, asked = 0, answers = {} }, Project)
  self:forget()
  return self
end

---@param catalog engine.Catalog
function Project:use(catalog)
  self.catalog = catalog
end

function Project:forget()
  self.commits, self.definitions, self.cached = {}, {}, 0
end

-- What a question about refs was answered less than a millisecond ago, or is answered now.
function Project:now(key, ask, ...)
  local time = task.monotonic()
  if time - self.asked > AT_ONCE then self.asked, self.answers = time, {} end
  local answer = self.answers[key]
  if answer == nil then
    answer = ask(self.repository, ...) or false
    self.answers[key] = answer
  end
  return answer
end

function Project:remember(cache, revision, value)
  if self.cached >= MAX_CACHED then self:forget() end
  self.cached = self.cached + 1
  cache[revision] = value
  return value
end

---The commit that a ref of this name points to now.
---@param kind engine.RefKind
---@param name string
---@return string? revision nil when there is no such ref
function Project:resolve(kind, name)
  if not refs.valid(name) then return nil end
  local full = refs.in_repository(kind, name)
  local commit = self:now(full, self.repository.commit, full)
  return commit and commit.revision or nil
end

---@param revision string a SHA
---@return host.Commit?
function Project:commit(revision)
  local known = self.commits[revision]
  if known then return known end
  local commit = self.repository:commit(revision)
  return commit and self:remember(self.commits, revision, commit)
end

---Whether a commit is one of a ref's history.
---@param revision string
---@param tip string
---@return boolean
function Project:contains(tip, revision)
  if tip == revision then return true end
  local outside = self.repository:commits(tip, revision, { limit = 1 })
  return outside ~= nil and #outside == 0
end

local function indexed(revision, list)
  local by_id, by_identifier = {}, {}
  for _, pipeline in ipairs(list) do
    by_id[pipeline.id], by_identifier[pipeline.identifier] = pipeline, pipeline
  end
  return { revision = revision, list = list, by_id = by_id, by_identifier = by_identifier }
end

-- The paths of the files that define pipelines, in order.
local function definition_files(git, revision)
  local names = { definition.FILE }
  local folder = git:changed_paths(nil, revision .. ":" .. definition.FOLDER) -- from nothing: all that it has
  for _, name in ipairs(folder and folder.added or {}) do
    if name:find "^[^/]+%.yml$" then table.insert(names, definition.FOLDER .. "/" .. name) end
  end
  return names
end

---The files that define pipelines at a revision.
---@param revision string a SHA
---@return engine.definition.File[]? files
---@return string? message
function Project:definition_files(revision)
  local files = {}
  for _, name in ipairs(definition_files(self.repository, revision)) do
    local text, message, code = self.repository:read(revision, name)
    if text then
      table.insert(files, { name = name, text = text })
    elseif code ~= "ENOTFOUND" then
      return nil, message
    end
  end
  return files
end

function Project:read_definition(revision)
  local files, message = self:definition_files(revision)
  if not files then return { faults = { message } } end
  local list, faults = definition.read(files)
  if not list then return { faults = faults } end
  self.catalog:number(list)
  return indexed(revision, list)
end

---The pipelines that a revision defines; none when it has no buddy.yml and no .buddy/*.yml.
---@param revision string a SHA
---@return engine.Pipelines? pipelines
---@return string[]? faults of a buddy.yml that cannot be used
function Project:pipelines_at(revision)
  local found = self.definitions[revision]
    or self:remember(self.definitions, revision, self:read_definition(revision))
  if found.faults then return nil, found.faults end
  return found
end

---@return string? revision of the default branch; nil before the first commit
---@return string? branch
function Project:head()
  local head = self:now("HEAD", self.repository.head)
  if head then return head.revision, head.branch end
end

---The pipelines as the default branch defines them now; none before the first commit.
---@return engine.Pipelines? pipelines
---@return string[]? faults
function Project:pipelines()
  local revision = self:head()
  if not revision then return indexed(nil, {}) end
  return self:pipelines_at(revision)
end

function Project:close()
  self.repository:close()
end

return M

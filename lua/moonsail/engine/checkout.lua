--- The folders in which actions run, each with a checkout. A pipeline keeps its folder from one execution to the
--- next, as its cache: what is not in git stays. Executions that run side by side get a folder of their own.
local cache = require "moonsail.engine.cache"
local process = require "host.process"

local M = {}

local MAX_STALE = 1000 -- files that are removed one by one; beyond that the whole folder is made anew

---@class engine.Checkout
---@field isolation engine.Isolation where commands run in the folders
---@field cache engine.Cache what else is kept
local Checkout = {}
Checkout.__index = Checkout

---@param state string the engine's folder, absolute
---@param sql table<string, host.Statement>
---@param project engine.Project
---@param isolation engine.Isolation
---@return engine.Checkout
function M.new(state, sql, project, isolation)
  return setmetatable({ folder = state .. "/work", sql = sql, project = project, isolation = isolation,
    cache = cache.new(state .. "/cache") }, Checkout)
end

function Checkout:path(pipeline, e)
  local own = pipeline.concurrent_pipeline_runs and "-" .. e.number or ""
  return ("%s/%d%s"):format(self.folder, e.pipeline, own)
end

---Removes a folder and what is in it.
---@async
---@return true? ok
---@return string? message
function Checkout:remove(path)
  self.sql.forget_folder:run(path)
  local done, message = process.run { command = { "rm", "-rf", "--", path } }
  if not done then return nil, message end
  if done.code ~= 0 then return nil, ("cannot clear %s: %s"):format(path, done.stderr) end
  return true
end

local function folders_of(names)
  local list, known = { "" }, {}
  for _, name in ipairs(names) do
    local folder = name:match "^(.*)/[^/]*$" or ""
    if not known[folder] then table.insert(list, folder) end
    known[folder] = true
  end
  return list
end

-- The folders, of those below `path`, that really are there: where an action has put a symbolic link in the place of
-- one, files are not ours to remove.
local function real_folders(path, folders)
  local command = { "realpath", "--canonicalize-missing", "--zero", "--" }
  for _, folder in ipairs(folders) do table.insert(command, path .. "/" .. folder) end
  local done = process.run { command = command }
  local real, index, root = {}, 0, nil
  for found in (done and done.stdout or ""):gmatch "([^%z]*)%z" do
    index, root = index + 1, root or found
    local folder = folders[index]
    real[folder] = found == (folder == "" and root or root .. "/" .. folder)
  end
  return real
end

-- Removes the files of the revision that was here and that the new one does not have.
function Checkout:remove_stale(path, old, new)
  if old == new then return true end
  local changes = self.project.repository:changed_paths(old, new)
  if not changes or #changes.deleted > MAX_STALE then return false end
  if #changes.deleted == 0 then return true end
  local real = real_folders(path, folders_of(changes.deleted))
  for _, name in ipairs(changes.deleted) do
    if real[name:match "^(.*)/[^/]*$" or ""] then os.remove(path .. "/" .. name) end
  end
  return true
end

function Checkout:write(path, revision)
  self.sql.set_folder:run(path, nil)
  local ok, message = self.project.repository:checkout(revision, path)
  if not ok then return nil, ("cannot check out %s: %s"):format(revision, message) end
  self.sql.set_folder:run(path, revision)
  return true
end

---Brings the folder of an execution to its revision.
---@async
---@param pipeline engine.Pipeline
---@param e engine.Execution
---@return string? path
---@return string? message
function Checkout:prepare(pipeline, e)
  local path = self:path(pipeline, e)
  local before = self.sql.folder:row(path)
  local clear = e.clear_cache == 1 or pipeline.auto_clear_cache
  local fresh = e.refresh == 1 or clear or pipeline.always_from_scratch
  if clear then
    local ok, message = self.cache:clear(e.pipeline)
    if not ok then return nil, message end
  end
  if before and not fresh and before.revision and self:remove_stale(path, before.revision, e.revision)
    and self:write(path, e.revision) then
    return path
  end
  return self:renew(pipeline, e)
end

---Makes the folder of an execution anew.
---@async
---@param pipeline engine.Pipeline
---@param e engine.Execution
---@return string? path
---@return string? message
function Checkout:renew(pipeline, e)
  local path = self:path(pipeline, e)
  if self.sql.folder:row(path) then
    local ok, message = self:remove(path)
    if not ok then return nil, message end
  end
  local ok, message = self:write(path, e.revision)
  if not ok then return nil, message end
  return path
end

---Forgets what a pipeline has kept: its next execution begins as if it were the first.
---@async
---@param pipeline engine.Pipeline
---@return true? ok
---@return string? message
function Checkout:clear(pipeline)
  local path = ("%s/%d"):format(self.folder, pipeline.id)
  if self.sql.folder:row(path) then self.sql.set_folder:run(path, nil) end -- it may be in use: it goes then
  return self.cache:clear(pipeline.id)
end

---Ends the use of a folder: one that is for this execution alone goes.
---@async
---@param pipeline engine.Pipeline
---@param e engine.Execution
function Checkout:release(pipeline, e)
  if pipeline.concurrent_pipeline_runs then self:remove(self:path(pipeline, e)) end
end

return M

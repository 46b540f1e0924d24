--- A real git repository in a temporary folder, for specs. Everything in it is made through git itself, with fixed
--- authors and dates, so that the same steps give the same SHAs.
---
---   local repository = require "spec.support.repository"
---   local repo <close> = repository.new()                      -- no commit yet; branch main; removed at the end
---   local sha = repo:commit { ["buddy.yml"] = "…", ["old.txt"] = false }          -- on main; false removes a file
---   local other = repo:commit({ ["a.txt"] = "a" }, { branch = "dev", message = "Add a", from = sha })
---   repo:branch("release", sha)   repo:tag("v1.0", sha)   repo:tag("v1.1", sha, "annotated")
---   repo:pull_request(1, other)                                -- refs/pull/1/head
---   repo:git("log", "--oneline")                               -- any command; returns its output
---   repo:checkout()                                            -- fills the work tree from HEAD
---   repo.path                                                  -- the work tree
---
---   local folder <close> = repository.folder()                 -- an empty temporary folder; folder.path
---   repository.pipeline { name = "build", commands = { "make" } }                 -- YAML of a pipeline
local process = require "host.process"

local M = {}

local AUTHOR = "Ada Lovelace <ada@example.com>"
local COMMITTER = "Grace Hopper <grace@example.com>"
local FIRST_DATE = 1700000000

local function run(options)
  local done = assert(process.run(options))
  if done.code ~= 0 then error(table.concat(options.command, " ") .. ": " .. done.stderr, 0) end
  return done.stdout
end

---@class spec.Folder
---@field path string
local Folder = {}
Folder.__index = Folder

function Folder:close()
  if self.path then process.run { command = { "rm", "-rf", "--", self.path } } end
  self.path = nil
end

Folder.__close = Folder.close

---A temporary folder that is removed when it is closed.
---@async
---@return spec.Folder
function M.folder()
  local path = run { command = { "mktemp", "-d", "/tmp/moonsail-spec-XXXXXX" } }:gsub("\n$", "")
  return setmetatable({ path = path }, Folder)
end

---@class spec.Repository: spec.Folder
local Repository = setmetatable({}, { __index = Folder })
Repository.__index = Repository
Repository.__close = Folder.close

---@async
---@param ... string arguments of git
---@return string output
function Repository:git(...)
  return self:feed("", ...)
end

function Repository:feed(input, ...)
  return run {
    command = { "git", "-C", self.path, ... },
    input = input,
    environment = { PATH = os.getenv "PATH", HOME = self.path, GIT_CONFIG_GLOBAL = "/dev/null",
      GIT_CONFIG_NOSYSTEM = "1", GIT_AUTHOR_NAME = "Ada Lovelace", GIT_AUTHOR_EMAIL = "ada@example.com",
      GIT_COMMITTER_NAME = "Grace Hopper", GIT_COMMITTER_EMAIL = "grace@example.com",
      GIT_COMMITTER_DATE = ("%d +0000"):format(self.date) },
  }
end

---An empty repository.
---@async
---@return spec.Repository
function M.new()
  local self = setmetatable({ path = M.folder().path, date = FIRST_DATE }, Repository)
  self:git("init", "--quiet", "--template=", "--initial-branch=main")
  return self
end

local function data(text)
  return ("data %d\n%s\n"):format(#text, text)
end

---Makes a commit, without touching the work tree.
---@async
---@param files table<string, string|false> contents by path; false removes one; names that end in ".sh" are executable
---@param options? { branch?: string, message?: string, from?: string } default main, "Change", the branch's tip
---@return string revision
function Repository:commit(files, options)
  local o = options or {}
  local ref = "refs/heads/" .. (o.branch or "main")
  local from = o.from or self:tip(ref)
  self.date = self.date + 60
  local stream = {
    ("commit %s\nauthor %s %d +0000\ncommitter %s %d +0000\n"):format(ref, AUTHOR, self.date, COMMITTER, self.date),
    data(o.message or "Change\n"), from and ("from %s\n"):format(from) or "",
  }
  for path, content in pairs(files) do
    table.insert(stream, content and ("M %s inline %s\n%s"):format(path:find "%.sh$" and "100755" or "100644", path,
      data(content)) or ("D %s\n"):format(path))
  end
  self:feed(table.concat(stream), "fast-import", "--quiet", "--force")
  return self:tip(ref)
end

---@async
---@param ref string
---@return string? revision
function Repository:tip(ref)
  local found = self:git("for-each-ref", "--format=%(objectname)", ref):match "^%x+"
  return found
end

---@async
function Repository:branch(name, revision) self:git("update-ref", "refs/heads/" .. name, revision) end

---@async
---@param message? string makes it an annotated tag
function Repository:tag(name, revision, message)
  if message then return self:git("tag", "-a", "-m", message, name, revision) end
  self:git("update-ref", "refs/tags/" .. name, revision)
end

---@async
function Repository:pull_request(number, revision)
  self:git("update-ref", ("refs/pull/%d/head"):format(number), revision)
end

---@async
function Repository:checkout() self:git("reset", "--quiet", "--hard") end

---The YAML of a pipeline with one BUILD action called "Build".
---@param options { name: string, commands: string[], extra?: string, action?: string } `extra`: more keys of the
---pipeline, `action`: more keys of the action; each with its indentation
---@return string
function M.pipeline(options)
  local lines = {}
  for _, command in ipairs(options.commands) do table.insert(lines, ("    - %q\n"):format(command)) end
  return ([[
- pipeline: %s
%s  actions:
  - action: Build
    type: BUILD
%s    execute_commands:
%s]]):format(options.name, options.extra or "", options.action or "", table.concat(lines))
end

return M

---@meta host.repository
--- A real git repository, read with libgit2. Whoever owns the folder may be another user.
--- Codes: "ENOTFOUND" for whatever does not exist (no such revision, path or repository, or it is of another kind),
--- "EAMBIGUOUS" for a short SHA that several objects have, "EUNBORN" for HEAD without a commit, "EGIT" for a repository
--- that cannot be read. Texts of commits and tags are UTF-8, whatever their encoding in git; paths are git's bytes.

---@class host.repository
local repository = {}

---@class host.Repository
---@field path string the work tree, or the git folder of a bare one
local Repository = {}

---@param path string a folder in or of a work tree, or a bare repository
---@return host.Repository?
---@return string? message
---@return string? code "ENOTFOUND" when there is no repository
function repository.open(path) end

---@return { revision: string, branch?: string }? head nil, message, "EUNBORN" when there is no commit yet
---@return string? message
---@return string? code
function Repository:head() end

---@class host.Branch
---@field name string
---@field revision string
---@field default boolean

---@return host.Branch[] sorted by name
function Repository:branches() end

---@return { name: string, revision: string, message?: string }[] sorted by name; message of annotated ones; without tags of what is no commit
function Repository:tags() end

---@return { name: string, number: integer, revision: string }[] from refs/pull/N/head; name is "pull/N"
function Repository:pull_requests() end

---@class host.Commit
---@field revision string 40 hex
---@field short_revision string 7 hex
---@field message string
---@field subject string first line
---@field author { name: string, email: string }
---@field committer { name: string, email: string }
---@field author_date integer seconds since 1970
---@field commit_date integer
---@field parents string[]

---@param revision string anything git understands: SHA, short SHA, HEAD, refs/heads/x, v1.0, main~2
---@return host.Commit?
---@return string? message
---@return string? code "ENOTFOUND"
function Repository:commit(revision) end

---Commits reachable from `to` and not from `from`, newest first.
---@param from? string
---@param to string
---@param options? { limit?: integer } default 100
---@return host.Commit[]?
---@return string? message
---@return string? code
function Repository:commits(from, to, options) end

---@param from? string nil: everything is added
---@param to string
---@return { added: string[], changed: string[], deleted: string[] }?
---@return string? message
---@return string? code
function Repository:changed_paths(from, to) end

---A file's content at a revision.
---@param revision string
---@param path string
---@return string?
---@return string? message
---@return string? code "ENOTFOUND"
function Repository:read(revision, path) end

---Writes the tree of a revision into an empty or existing folder, on a worker thread. Never leaves that folder: what
---is in the way of a file or folder is removed, links included. A file that is right keeps its time of change; what the
---revision does not have is left alone. A submodule is an empty folder. A cancelled checkout ends in the background.
---@async
---@param revision string
---@param directory string absolute; made if missing
---@return true?
---@return string? message
---@return string? code
function Repository:checkout(revision, directory) end

function Repository:close() end

return repository

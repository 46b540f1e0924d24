---@meta host.lockfile
--- A small file that processes share, changed by one of them at a time.

---@class host.lockfile
local lockfile = {}

---@class host.Lockfile
local Lockfile = {}

---Opens it; makes it, mode 0600, when there is none. A symbolic link, and a file that others may use, are refused.
---@param path string
---@return host.Lockfile?
---@return string? message
---@return string? code such as "ENOENT" or "EACCES"
function lockfile.open(path) end

---Runs `change` on the file's text while no other process can, and keeps what it returns; nil leaves the text as it is.
---@param change fun(text: string): string? it must not wait; at most 4096 bytes
---@return true? ok
---@return string? message
---@return string? code "EBUSY" when another process has held the lock for a hundredth of a second
function Lockfile:update(change) end

---Also `<close>`.
function Lockfile:close() end

return lockfile

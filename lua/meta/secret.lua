---@meta host.secret
--- Keys that seal texts, so that they may lie on disk, and digests. By libsodium; the key never becomes a Lua value.

---@class host.secret
local secret = {}

---@class host.Key
local Key = {}

---Loads the key of a file; makes the file, mode 0600, with a new key when there is none. A file that others can read,
---of another size, or a symbolic link is refused, and the message says what to do about it.
---@param path string
---@return host.Key?
---@return string? message
---@return string? code such as "EACCES"
function secret.key(path) end

---The BLAKE2b digest of a text.
---@param text string
---@return string? hex 64 hexadecimal digits
---@return string? message libsodium cannot be loaded
---@return string? code
function secret.digest(text) end

---Each sealing of the same text is different.
---@param text string
---@return string bytes 40 more than the text has
function Key:seal(text) end

---@param bytes string
---@return string? text nil when it was sealed with another key or has been altered
---@return string? message
---@return string? code
function Key:open(bytes) end

---Wipes the key. Also `<close>`.
function Key:close() end

return secret

---@meta host.store
--- Prepared SQL. SQLite in WAL mode with full sync, file mode 0600.
--- What is written between two waits commits together, at the end of the loop's turn, with everybody else's.
--- One writer at a time: a second process or store that writes to the file meanwhile gets SQLITE_BUSY after a second.

---@class host.store
local store = {}

---@class host.Store
local Store = {}

---@param path string or ":memory:"
---@return host.Store?
---@return string? message
---@return string? code such as "SQLITE_CANTOPEN"
function store.open(path) end

---Runs statements without parameters. Raises on an SQL error. BEGIN, COMMIT and the like are the store's own.
---@param sql string
function Store:execute(sql) end

---@class host.Statement
local Statement = {}

---Raises on an SQL error. Prepare once, run often.
---@param sql string with ?, ?2 or :name parameters
---@return host.Statement
function Store:prepare(sql) end

---Parameters: nil, boolean (0/1), integer, number, string (text), as many as the statement has. Or one table for :name
---parameters. Raises on an SQL error, and when an earlier one has undone what this turn wrote.
---@return integer changes
---@return integer last_id
function Statement:run(...) end

---The first row as a table by column name (NULL is absent), or nil.
---@return table?
function Statement:row(...) end

---All rows.
---@return table[]
function Statement:rows(...) end

---Runs fn; if it raises, undoes what it wrote and raises again. fn must not wait.
---@return any # what fn returns
function Store:atomically(fn) end

---What is overwritten or deleted in this turn is in no file any more once that is durable.
function Store:wipe() end

---Waits until everything written so far is on disk. When that fails, nothing that was written in this turn has been
---kept. A failure that nobody waited for is told to who asks next.
---@async
---@return true? ok
---@return string? message
---@return string? code such as "SQLITE_FULL"
function Store:durable() end

---Commits and closes. Also `<close>`.
---@return true? ok
---@return string? message
---@return string? code
function Store:close() end

return store

---@meta host.socket
--- TCP streams as tasks, on the host's loop. One task may read and another one write at the same time.

---@class host.socket
local socket = {}

---@class host.socket.Target
---@field host string a name or an address
---@field port integer
---@field timeout? number seconds for the look-up and all addresses of the name together, default 10

---@class host.socket.Options
---@field address? string default "127.0.0.1"
---@field port? integer default 0: any free port
---@field on_error? fun(message: string) told of a handler that raised, with a traceback. Must not wait

---@class host.Stream
---@field peer string its address and port, such as "127.0.0.1:4711" or "[::1]:4711"; "" when it had gone at once
local Stream = {}

---Connects; the addresses of a name are tried one after another. Misuse raises.
---@async
---@param target host.socket.Target
---@return host.Stream?
---@return string? message
---@return string? code such as "ECONNREFUSED", "ETIMEDOUT", "EAI_NONAME" (there is no such name)
function socket.connect(target) end

---Waits for what the peer sends. 64 KiB are read ahead, then the peer has to wait until they are taken. A task that is
---cancelled takes nothing. After the end, or a failure, comes the same again.
---@async
---@param most? integer bytes; default: all that is there
---@return string? bytes at least one; nil at the end, or when another task has closed the stream
---@return string? message when it failed
---@return string? code such as "ECONNRESET"
function Stream:read(most) end

---Sends all of the text; waits until the kernel has taken it. Cancelling this closes the stream, since nobody knows how
---much has been sent.
---@async
---@param text string
---@return true?
---@return string? message
---@return string? code such as "EPIPE", "ECONNRESET", "ECANCELED" (another task has closed the stream)
function Stream:write(text) end

---Tells the peer that nothing more comes. Reading goes on.
---@return true?
---@return string? message
---@return string? code
function Stream:shutdown() end

---Also `<close>`. May be called again.
function Stream:close() end

---Closes it so that the peer gets a reset; what the peer has not yet read it may lose.
function Stream:reset() end

---@class host.Listener
---@field port integer
---@field address string
local Listener = {}

---Listens. Each connection runs `handler(stream)` in a task of its own, below the task that listens; when that one has
---ended, failed or been cancelled the listener closes. When a handler ends its stream is closed.
---@param options host.socket.Options
---@param handler fun(stream: host.Stream)
---@return host.Listener?
---@return string? message
---@return string? code such as "EADDRINUSE"
function socket.listen(options, handler) end

---From now on connections are refused. The port stays ours, and connections that are there go on.
---@return true?
---@return string? message
---@return string? code
function Listener:pause() end

---Ends a pause.
---@return true?
---@return string? message
---@return string? code
function Listener:resume() end

---Stops listening and cancels the running handlers, which closes their streams. Also `<close>`. May be called by a
---handler.
function Listener:close() end

return socket

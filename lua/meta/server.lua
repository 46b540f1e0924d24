---@meta host.server
--- An HTTP server whose handlers are tasks. libmicrohttpd, its epoll descriptor polled by the host's loop.

---@class host.server
local server = {}

---@class host.server.Request
---@field method string
---@field path string as sent, still percent-encoded, without the query
---@field query table<string, string> decoded; the last of a repeated name
---@field headers table<string, string> names in lower case; repeated ones joined by ", "; at most 8 KiB, else 431
---@field body string
---@field address string the peer's address

---@class host.server.Response
---@field status? integer default 200
---@field headers? table<string, string> at most 8 KiB; an empty value is left out. Length and coding are the server's
---@field body? string not sent with 204, 304 or to HEAD

---@class host.server.Options
---@field address? string default "127.0.0.1"
---@field port? integer default 0: any free port
---@field max_body? integer larger ones get 413 before they are read; default 1 MiB
---@field idle_timeout? integer seconds, default 60
---@field head_timeout? integer seconds for the head of a request to come whole, default 30; else 408
---@field body_timeout? integer seconds for its body, default 60; else 408
---@field max_connections? integer that have sent a request, default 1024; the longest idle one goes when another client
---needs its place. Beside them up to three quarters of the process's descriptors may be open, at most 16384, by clients
---that have not sent one yet; of these, too, the oldest one goes
---@field on_error? fun(message: string) told of a handler that raised, with a traceback; the client gets 500.
---Must not wait
---@field reject? fun(status: integer, message: string): host.server.Response makes the server's own answers: 400, 408,
---413, 414, 431, 500, 501, 503, 505. Must not wait. Only a later request of a connection that cannot be parsed at all
---gets libmicrohttpd's own 4xx

---@class host.Server
---@field port integer
---@field address string
local Server = {}

---Listens. Each request runs `handler(request)` in a task of its own, below the task that listens; when that one has
---ended, failed or been cancelled the server closes. A handler whose client has gone is left to finish.
---@param options host.server.Options
---@param handler fun(request: host.server.Request): host.server.Response
---@return host.Server?
---@return string? message
---@return string? code such as "EADDRINUSE"
function server.listen(options, handler) end

---Stops listening, ends open connections, cancels running handlers. Also `<close>`. May be called by a handler.
function Server:close() end

return server

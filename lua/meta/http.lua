---@meta host.http
--- HTTP requests. libcurl's multi interface on the host's loop: connections are kept and shared by all tasks,
--- HTTP/2 where the server speaks it over TLS, proxies and CA settings from the environment as curl reads them.

---@class host.http
local http = {}

---@class host.http.Request
---@field url string http or https; credentials in it are refused
---@field method? string default "GET", or "POST" when there is a body
---@field headers? table<string, string> a value with a control character is refused
---@field body? string
---@field timeout? number seconds for the whole exchange, default 30
---@field connect_timeout? number seconds, default 10
---@field max_bytes? integer largest body that is accepted, default 16 MiB (after decompression)
---@field redirects? integer how many are followed, default 0; `Authorization` never goes to another origin
---@field on_data? fun(chunk: string) called in the waiting task with each piece; the answer's body is then ""

---@class host.http.Response
---@field status integer
---@field headers table<string, string> names in lower case; repeated ones joined by ", "
---@field body string
---@field url string where the answer came from, after redirects

---Sends one request. A method that is not idempotent (POST, PATCH) is never sent twice, not even by
---libcurl on a connection that turned out to be dead. Misuse raises. Any status is an answer.
---@async
---@param request host.http.Request
---@return host.http.Response? response nil when no whole answer came
---@return string? message for people
---@return ("resolve"|"connect"|"tls"|"timeout"|"reset"|"truncated"|"too_large"|"redirects"|"protocol")? code for programs
---@return boolean? sent false when surely not one byte of the request left this machine
function http.request(request) end

return http

--- URLs of an API: reading a configured endpoint, and making paths from names.

local M = {}

---@class moonsail.Endpoint
---@field origin string scheme, host and port, such as "https://api.buddy.works"
---@field base string the origin and a path prefix without a slash at its end; a path is appended to it
---@field loopback boolean whether it is this machine
---@field secure boolean whether it is https

---Percent-encodes one segment of a path or one value of a query.
---@param text string|integer
---@return string
function M.encode(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---Joins segments to a path: `path("workspaces", "acme")` is "/workspaces/acme".
---@param ... string|integer
---@return string
function M.path(...)
  local parts = { "" }
  for i = 1, select("#", ...) do
    parts[i + 1] = M.encode((select(i, ...)))
  end
  return table.concat(parts, "/")
end

---Where people see what the API serves, as Buddy lays out its hosts.
---@param base string of the API
---@return string
function M.site(base)
  return (base:gsub("^https://api%.buddy%.works$", "https://app.buddy.works")
    :gsub("^https://api%.(%w+)%.buddy%.works$", "https://%1.buddy.works"):gsub("/api$", ""))
end

local function is_loopback(host)
  return host == "localhost" or host == "[::1]" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

---Reads an endpoint.
---@param text string
---@return moonsail.Endpoint? endpoint nil when it is not one
---@return string? fault what is wrong with it
function M.endpoint(text)
  local scheme, authority, rest = text:match("^(%a+)://([^/?#]*)(.*)$")
  scheme = scheme and scheme:lower()
  if scheme ~= "http" and scheme ~= "https" then return nil, "is not an http or https URL" end
  if authority:find("@", 1, true) then return nil, "has credentials in it" end
  local host, port = authority:lower():match("^(%[[%x:.]+%])(.*)$")
  if not host then host, port = authority:lower():match("^([%w.-]+)(.*)$") end
  if not host or not (port == "" or port:find("^:%d+$")) then return nil, "has no valid host" end
  if rest:find("[?#%s%c]") then return nil, "has more than a host and a path" end
  local origin = scheme .. "://" .. host .. port
  return {
    origin = origin,
    base = origin .. rest:gsub("/+$", ""),
    loopback = is_loopback(host),
    secure = scheme == "https",
  }
end

return M

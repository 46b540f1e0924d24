--- Requests and answers of HTTP/1.1 as bytes: where one ends, and nothing of what it means.
local M = {}

local MAX_HEAD = 64 * 1024 -- bytes

---@class engine.Reader takes what a stream brings piece by piece
---@field stream host.Stream
---@field rest string what was read and not yet taken
local Reader = {}
Reader.__index = Reader

---@param stream host.Stream
---@return engine.Reader
function M.reader(stream)
  return setmetatable({ stream = stream, rest = "" }, Reader)
end

-- What there is, at least one byte and at most `most`; nil at the end.
function Reader:some(most)
  local piece = self.rest ~= "" and self.rest or self.stream:read()
  if not piece then return nil end
  self.rest = piece:sub(most + 1)
  return piece:sub(1, most)
end

-- Everything up to and with the empty line that ends a head; nil when that does not come, and what has come.
function Reader:head()
  local text, from = self.rest, 1
  while true do
    local _, last = text:find("\r\n\r\n", from, true)
    if last then
      self.rest = text:sub(last + 1)
      return text:sub(1, last)
    end
    local piece = #text < MAX_HEAD and self.stream:read()
    if not piece then return nil, text end
    from = math.max(#text - 2, 1)
    text = text .. piece
  end
end

-- Exactly so many bytes, or those up to the end.
function Reader:bytes(count)
  local pieces = {}
  while count > 0 do
    local piece = self:some(count)
    if not piece then break end
    table.insert(pieces, piece)
    count = count - #piece
  end
  return table.concat(pieces)
end

-- The fields of a head, with names in lower case; of repeated ones the last.
local function fields(head)
  local found = {}
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do found[name:lower()] = value end
  return found
end

local function says_close(field)
  return field ~= nil and field:lower():find("close", 1, true) ~= nil
end

---@class engine.GateRequest
---@field method string
---@field path string without the query
---@field token string what it says of who asks; "" for nobody
---@field fault? string that it asks for
---@field length integer bytes, all together
---@field closes boolean the client wants no other one
---@field is_whole boolean all of it has been taken
local Request = {}
Request.__index = Request

local BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
local LENGTH_REQUIRED = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"

---The next request of a client, whose body is still to be read.
---@async
---@param reader engine.Reader
---@return engine.GateRequest? request nil at the end of the connection
---@return string? problem an answer to what is no request that we can frame
function M.request(reader)
  local head, rest = reader:head()
  if not head then return nil, rest ~= "" and BAD_REQUEST or nil end
  local method, target, version = head:match "^(%u+) (%S+) HTTP/1%.([01])\r\n"
  if not method then return nil, BAD_REQUEST end
  local known = fields(head)
  if known["transfer-encoding"] then return nil, LENGTH_REQUIRED end
  local body = math.tointeger(tonumber(known["content-length"] or 0))
  if not body or body < 0 then return nil, BAD_REQUEST end
  return setmetatable({ reader = reader, text = head, method = method, path = target:match "^[^?]*", body = body,
    length = #head + body, token = known.authorization or "", fault = known["x-moonsail-fault"],
    closes = version == "0" or says_close(known.connection), expects = known.expect ~= nil,
    is_whole = body == 0 }, Request)
end

---Puts a fault into the head that did not ask for one.
---@param text string
function Request:mark(text)
  if self.fault then return end
  self.text = self.text:gsub("\r\n", ("\r\nX-Moonsail-Fault: %s\r\n"):format(text:gsub("%%", "%%%%")), 1)
end

---Sends it, or its first bytes; to nobody only reads it.
---@async
---@param upstream? host.Stream
---@param most? integer bytes
function Request:send(upstream, most)
  local head = self.text:sub(1, most or -1)
  if upstream and head ~= "" and not upstream:write(head) then return end
  if self.expects and self.reader.rest == "" and self.body > 0 then self.reader.stream:write(CONTINUE) end
  local left = most and math.max(most - #self.text, 0) or self.body
  while left > 0 do
    local piece = self.reader:some(left)
    if not piece or upstream and not upstream:write(piece) then return end
    left = left - #piece
  end
  self.is_whole = not most
end

---@class engine.GateAnswer
---@field text string all of its bytes
---@field closes boolean the connection ends with it

local function has_body(status, request)
  return request.method ~= "HEAD" and status ~= "204" and status ~= "304"
end

---The whole answer of the engine.
---@async
---@param upstream host.Stream
---@param request engine.GateRequest
---@return engine.GateAnswer? nil when it does not come
function M.answer(upstream, request)
  local reader = M.reader(upstream)
  local head, status
  repeat
    head = reader:head()
    if not head then return nil end
    status = head:match "^HTTP/1%.%d (%d%d%d)"
  until not status or status:sub(1, 1) ~= "1"
  local known = fields(head)
  local length = tonumber(known["content-length"])
  local body = has_body(status, request) and reader:bytes(length or math.huge) or ""
  return { text = head .. body, closes = not length and body ~= "" or says_close(known.connection) }
end

return M

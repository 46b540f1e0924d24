--- Bearer tokens and what each may do. The file `token` in the state folder holds the one for local use, which may do
--- everything; it is made when the engine first starts. Whoever wants tokens that may do less writes a file `tokens`
--- beside it, with a line `TOKEN SCOPE SCOPE …` for each.
local M = {}

-- The scopes that the engine's own methods ask for, and those that each includes.
local INCLUDED = {
  WORKSPACE = {},
  EXECUTION_INFO = {},
  EXECUTION_RUN = { "EXECUTION_INFO" },
  EXECUTION_MANAGE = { "EXECUTION_RUN", "EXECUTION_INFO" },
  REPOSITORY_READ = {},
  TOKEN_INFO = {},
  USER_INFO = {},
  VARIABLE_INFO = {},
  VARIABLE_ADD = { "VARIABLE_INFO" },
  VARIABLE_MANAGE = { "VARIABLE_ADD", "VARIABLE_INFO" },
  WEBHOOK_INFO = {},
  WEBHOOK_ADD = { "WEBHOOK_INFO" },
  WEBHOOK_MANAGE = { "WEBHOOK_ADD", "WEBHOOK_INFO" },
}

local ALL = {}
for scope in pairs(INCLUDED) do table.insert(ALL, scope) end
table.sort(ALL)

---@class engine.Token
---@field id string
---@field text string the token itself
---@field scopes string[]
---@field allowed table<string, true> with what the scopes include

---A new token: a UUID, version 4.
---@return string
function M.random()
  local source <close> = assert(io.open("/dev/urandom", "rb"))
  local bytes = table.pack(source:read(16):byte(1, -1))
  bytes[7] = bytes[7] & 0x0f | 0x40
  bytes[9] = bytes[9] & 0x3f | 0x80
  local hex = ("%02x"):rep(16):format(table.unpack(bytes, 1, 16))
  return (hex:gsub("^(........)(....)(....)(....)", "%1-%2-%3-%4-"))
end

local function token(text, scopes, id)
  local allowed = {}
  for _, scope in ipairs(scopes) do
    allowed[scope] = true
    for _, included in ipairs(INCLUDED[scope] or {}) do allowed[included] = true end
  end
  return { id = id, text = text, scopes = scopes, allowed = allowed, header = table.concat(scopes, ", ") }
end

---@class engine.Tokens
---@field first engine.Token the one for local use
---@field file string where that one is
local Tokens = {}
Tokens.__index = Tokens

function Tokens:add(text, scopes)
  self.count = self.count + 1
  local item = token(text, scopes, ("%024x"):format(self.count))
  self.by_text[text] = item
  return item
end

local function read_more(self, path)
  local file <close> = io.open(path, "r")
  if not file then return end
  for line in file:lines() do
    local text, rest = line:match "^%s*([^#%s]+)%s*(.*)$"
    local scopes = {}
    for scope in (rest or ""):gmatch "%S+" do table.insert(scopes, scope) end
    if text then self:add(text, scopes) end
  end
end

---Reads the tokens of a state folder.
---@param folder string
---@return engine.Tokens? tokens
---@return string? message
function M.read(folder)
  local path = folder .. "/token"
  local file <close>, message = io.open(path, "r")
  local text = file and file:read "a":match "^%s*(%S+)%s*$"
  if not text then return nil, message or path .. " does not hold a token; remove it to get a new one" end
  local self = setmetatable({ file = path, count = 0, by_text = {}, by_header = {} }, Tokens)
  self.first = self:add(text, ALL)
  read_more(self, folder .. "/tokens")
  return self
end

---Who sent a request. A wrong token is found out by its hash, with a seed that is new at each start, and not byte by
---byte: how long the answer takes tells nothing about the right one.
---@param request host.server.Request
---@return engine.Token?
function Tokens:of(request)
  local header = request.headers.authorization
  if not header then return self.by_text[request.query.access_token] end
  local known = self.by_header[header]
  if known then return known end
  local text = header:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+) *$"
  local found = text and self.by_text[text]
  if found then self.by_header[header] = found end
  return found
end

return M

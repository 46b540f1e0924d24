--- Refusals: an answer that a handler raises from wherever it stands, as Buddy's error body.
local json = require "host.json"

local M = {}

---@class engine.Refusal
---@field status integer
---@field messages string[]
---@field headers table<string, string>
local Refusal = {}

local MAX_MESSAGE = 1000 -- bytes

---Raises an answer with this status.
---@param status integer
---@param messages string|string[] one entry of `errors` for each
---@param headers? table<string, string>
function M.raise(status, messages, headers)
  if type(messages) == "string" then messages = { messages } end
  error(setmetatable({ status = status, messages = messages, headers = headers or {} }, Refusal), 0)
end

---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Refusal
end

-- Messages quote what clients have sent, which may be long, and anything but UTF-8.
local function presentable(message)
  if #message > MAX_MESSAGE then message = message:sub(1, MAX_MESSAGE) .. "…" end
  local pieces, from = {}, 1
  local length, bad = utf8.len(message)
  while not length do
    table.insert(pieces, message:sub(from, bad - 1))
    from = bad + 1
    length, bad = utf8.len(message, from)
  end
  table.insert(pieces, message:sub(from))
  return table.concat(pieces, "\u{FFFD}")
end

---@param messages string[]
---@return string body
function M.body(messages)
  local errors = json.list {}
  for index, message in ipairs(messages) do errors[index] = { message = presentable(message) } end
  return json.encode { errors = errors }
end

return M

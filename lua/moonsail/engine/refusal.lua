--- Refusals: an answer that a handler raises from wherever it stands, as Buddy's error body.
local json = require "host.json"

local M = {}

---@class engine.Refusal
---@field status integer
---@field messages string[]
---@field headers table<string, string>
local Refusal = {}

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

---@param messages string[]
---@return string body
function M.body(messages)
  local errors = json.list {}
  for index, message in ipairs(messages) do errors[index] = { message = message } end
  return json.encode { errors = errors }
end

return M

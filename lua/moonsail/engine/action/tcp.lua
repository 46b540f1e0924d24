--- TCP: whether somebody listens, and answers with a text.
local bounded = require "moonsail.engine.bounded"
local shape = require "moonsail.engine.shape"
local socket = require "host.socket"
local task = require "host.task"

local M = {}

local TIMEOUT = 30 -- seconds, unless the action has its own
local MAX_BYTES = 1024 * 1024 -- of an answer that are searched

M.keys = {
  destination = { shape.name, required = true },
  port = { shape.text, required = true },
  post_data = shape.text,
  text = shape.text,
}

-- Reads until the text has come.
local function expect(stream, text)
  local answer = ""
  repeat
    local piece, message = stream:read()
    if message then return "FAILED", message end
    answer = answer .. (piece or "")
    if answer:find(text, 1, true) then return "SUCCESSFUL" end
  until not piece or #answer > MAX_BYTES
  return "FAILED", ("the answer does not have %q"):format(text)
end

-- The action's own time ends it first: see bounded.lua.
local function limit(action)
  return action.timeout and action.timeout + 1 or TIMEOUT
end

local function talk(context, host, port)
  local action = context.action
  local stream <close>, message = socket.connect { host = host, port = port, timeout = limit(action) }
  if not stream then return "FAILED", message end
  context.log:note(("Connected to %s:%d"):format(host, port))
  if action.post_data then
    local sent, problem = stream:write(context:expand(action.post_data))
    if not sent then return "FAILED", problem end
  end
  local text = context:expand(action.text or "")
  if text == "" then return "SUCCESSFUL" end
  return expect(stream, text)
end

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  local host = context:expand(action.destination):gsub("^%a+://", ""):gsub("/.*$", "")
  local text = context:expand(action.port)
  local port = text:find "^%d+$" and math.tointeger(tonumber(text))
  if not port or port < 1 or port > 65535 then return "FAILED", ("%q is not a port"):format(text) end
  return bounded.run(context, function()
    local done, status, message = task.timeout(limit(action), talk, context, host, port)
    if done then return status, message end
    return "FAILED", ("no answer within %d s"):format(TIMEOUT)
  end)
end

return M

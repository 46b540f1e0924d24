--- HTTP: sends a request. An answer of 2xx or 3xx is a success; redirects are not followed.
local bounded = require "moonsail.engine.bounded"
local fetch = require "moonsail.engine.fetch"
local shape = require "moonsail.engine.shape"

local M = {}

local METHOD = shape.one_of { "GET", "POST", "PUT", "PATCH", "DELETE" }
local NO_FILES = shape.refused "files are not sent; use a BUILD action with curl"

M.keys = shape.with(fetch.keys, {
  notification_url = { shape.name, required = true },
  method = METHOD,
  method_url = METHOD, -- so in one table of the documents; their example has `method`
  content = fetch.readable,
  paths = NO_FILES,
  multipart_upload = NO_FILES,
})

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  return bounded.run(context, function()
    local response, message = fetch.send(context, {
      url = action.notification_url, method = action.method or action.method_url, body = action.content })
    if not response then return "FAILED", message end
    if response.status < 400 then return "SUCCESSFUL" end
    return "FAILED", ("the server answered with status %d"):format(response.status)
  end)
end

return M

--- WEB: whether a page is there, and says what it should, or does not say what it should not.
local bounded = require "moonsail.engine.bounded"
local fetch = require "moonsail.engine.fetch"
local shape = require "moonsail.engine.shape"

local M = {}

local REDIRECTS = 10

M.keys = shape.with(fetch.keys, {
  destination = { shape.name, required = true },
  post_data = fetch.readable,
  text = shape.text,
  text_existence = { shape.boolean, default = true },
})

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  return bounded.run(context, function()
    local response, message = fetch.send(context, { url = action.destination, body = action.post_data,
      redirects = REDIRECTS })
    if not response then return "FAILED", message end
    if response.status >= 400 then return "FAILED", ("the server answered with status %d"):format(response.status) end
    local text = context:expand(action.text or "")
    local found = response.body:find(text, 1, true) ~= nil
    if text == "" or found == action.text_existence then return "SUCCESSFUL" end
    return "FAILED", ("the answer %s %q"):format(found and "has" or "does not have", text)
  end)
end

return M

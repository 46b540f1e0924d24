--- Waits until what a request has written is on disk; a request that cannot be kept has not been accepted.
local refusal = require "moonsail.engine.refusal"

---@async
---@param engine engine.Inside
return function(engine)
  local ok, message = engine.book:durable()
  if not ok then refusal.raise(500, "The engine cannot write its state: " .. message) end
end

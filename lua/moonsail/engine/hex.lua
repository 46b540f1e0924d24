--- The 24-hex ids of executions and of their actions: the engine's own eight digits, then pipeline, execution, and
--- the place of the action, 0 for the execution itself. So they need no table, and each says what it belongs to.
local M = {}

local FORMAT = "%s%05x%07x%04x"

---@param seed string eight hex digits
---@param pipeline integer
---@param number integer of the execution
---@param position? integer of the action
---@return string
function M.make(seed, pipeline, number, position)
  return FORMAT:format(seed, pipeline, number, position or 0)
end

---The place of the action that an id belongs to.
---@param seed string
---@param pipeline integer
---@param number integer
---@param id string
---@return integer? position nil when the id is of something else
function M.position(seed, pipeline, number, id)
  local position = #id == 24 and tonumber(id:sub(21), 16)
  if position and position > 0 and id:lower() == M.make(seed, pipeline, number, position) then return position end
end

return M

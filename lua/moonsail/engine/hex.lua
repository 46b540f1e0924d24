--- The 24-hex ids of executions and of their actions: the engine's own eight digits, then pipeline, execution, and
--- the place of the action, 0 for the execution itself. So they need no table, and each says what it belongs to.
local M = {}

---@param seed string eight hex digits
---@param pipeline integer
---@param number integer
---@return string
function M.of_execution(seed, pipeline, number)
  return ("%s%05x%07x0000"):format(seed, pipeline, number)
end

---@param execution string its id
---@param position integer
---@return string
function M.of_action(execution, position)
  return execution:sub(1, 20) .. ("%04x"):format(position)
end

---The place of the action that an id belongs to.
---@param execution string its id
---@param id string
---@return integer? position nil when the id is of something else
function M.position(execution, id)
  local position = #id == 24 and tonumber(id:sub(21), 16)
  if position and position > 0 and id:lower() == M.of_action(execution, position) then return position end
end

return M

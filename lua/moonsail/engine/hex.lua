--- The 24-hex ids of executions and of their actions: the engine's own eight digits, then pipeline, execution, and
--- which try and the place of the action, 0 for the execution itself. So they need no table, and each says what it
--- belongs to; a RETRY gives the actions new ones, since their logs begin anew.
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
---@param attempt integer from 1
---@return string
function M.of_action(execution, position, attempt)
  return execution:sub(1, 20) .. ("%x%03x"):format((attempt - 1) % 16, position)
end

---The place of the action that an id belongs to.
---@param execution string its id
---@param attempt integer the try that counts now
---@param id string
---@return integer? position nil when the id is of something else
function M.position(execution, attempt, id)
  local position = #id == 24 and tonumber(id:sub(22), 16)
  if position and position > 0 and id:lower() == M.of_action(execution, position, attempt) then return position end
end

return M

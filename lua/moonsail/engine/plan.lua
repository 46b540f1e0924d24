--- What an execution is going to do: its actions in the pipeline's order, each with the status that it starts with, and
--- which of them run side by side.
local json = require "host.json"

local M = {}

-- What a request says about actions, in its JSON; nil when it names none.
local function chosen(request)
  if not request:find('"actions_to_run"', 1, true) then return nil end
  local ids = json.decode(request).actions_to_run
  if not ids then return nil end
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

---@param pipeline engine.Pipeline
---@param e engine.Execution
---@return { action: engine.Action, status: "INITIAL"|"NOT_EXECUTED"|"SKIPPED" }[] INITIAL: it may run
function M.of(pipeline, e)
  local ids, plan = chosen(e.request), {}
  for position, action in ipairs(pipeline.actions) do
    local status = "INITIAL"
    if ids and not ids[action.id] then
      status = "NOT_EXECUTED"
    elseif action.disabled then
      status = "SKIPPED"
    end
    plan[position] = { action = action, status = status }
  end
  return plan
end

---The actions of one trigger time in groups that run side by side, one group after the other: an action is in the group
---of the one before it when that one is to run in parallel with the next.
---@param pipeline engine.Pipeline
---@param trigger_time string
---@return integer[][] positions
function M.groups(pipeline, trigger_time)
  local groups, joined = {}, false
  for position, action in ipairs(pipeline.actions) do
    if action.trigger_time == trigger_time then
      if not joined then table.insert(groups, {}) end
      table.insert(groups[#groups], position)
      joined = action.run_next ~= "WAIT_ON_SUCCESS"
    end
  end
  return groups
end

return M

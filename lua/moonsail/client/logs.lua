--- Logs of actions, in each form that the API has had for them: the newest first, an older one when it is not there.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

local PAGE = 1000 -- lines; the most that the API gives at once

-- The answer, or nil when there is nothing at that path.
local function try(session, path)
  local ok, answer = pcall(api.get, session, path)
  if ok then return answer end
  if errors.is(answer) and answer.status == 404 then return nil end
  error(answer, 0)
end

local function append(lines, more)
  table.move(more, 1, #more, #lines + 1, lines)
end

-- Source: https://buddy.works/docs/api/executions/get-action-execution-logs
local function read_paged(session, path, lines)
  local offset = 0
  repeat
    local answer = try(session, ("%s/logs?offset=%d&limit=%d"):format(path, offset, PAGE))
    if not answer then return offset > 0 end
    local more = view.list(answer, "logs", "string")
    append(lines, more)
    offset = offset + #more
  until #more == 0 or offset >= (math.tointeger(answer.total_element_count) or math.maxinteger)
  return true
end

-- The editions up to 2025: all lines at once.
local function read_whole(session, path, lines)
  local answer = try(session, path)
  append(lines, view.list(answer, "log", "string"))
  return answer ~= nil
end

local function read_action(session, path, action, lines)
  local newer = action.execution_id and path .. url.path("action_executions", action.execution_id)
  if newer and (read_paged(session, newer, lines) or read_whole(session, newer, lines)) then return end
  read_whole(session, path .. url.path("action", action.id), lines)
end

local function is_chosen(action, choice)
  return choice == nil or action.name == choice or tostring(action.id) == tostring(choice)
end

---The lines of one action, or of all in the pipeline's order.
---@async
---@param session moonsail.Session
---@param path string of the execution
---@param execution moonsail.Execution
---@param choice? string|integer name or id
---@return string[]
function M.read(session, path, execution, choice)
  local lines, names = {}, {}
  local found = choice == nil
  for _, action in ipairs(execution:actions()) do
    names[#names + 1] = action.name
    if is_chosen(action, choice) then
      found = true
      read_action(session, path, action, lines)
    end
  end
  if not found then
    errors.raise("usage", ("%s has no action '%s'"):format(execution, choice),
      "It has: " .. table.concat(names, ", ") .. ".")
  end
  return lines
end

return M

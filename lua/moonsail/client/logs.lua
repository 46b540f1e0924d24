--- Logs of actions, in each form that the API has had for them: the newest first, an older one when it is not there.

local api = require "moonsail.client.api"
local errors = require "moonsail.errors"
local url = require "moonsail.client.url"
local view = require "moonsail.client.view"

local M = {}

local PAGE = 1000 -- lines; the most that the API gives at once

---Which form a server has, once that is known.
---@class moonsail.LogForm
---@field read? function
---@field counted? boolean whether it says how many lines there are

-- The answer, or nil when there is nothing at that path.
local function try(get, path)
  local ok, answer = pcall(get, path)
  if ok then return answer end
  if errors.is(answer) and answer.status == 404 then return nil end
  error(answer, 0)
end

local function malformed(path)
  errors.raise("api", ("the answer of %s is not a log"):format(path), "Try again; the fault is the server's.",
    { transient = true })
end

-- The lines of an answer from the `skipped`-th on. A line that is none would make all that follow count wrongly.
local function lines_of(answer, name, path, skipped)
  local found = view.field(answer, name) or {}
  if type(found) ~= "table" then malformed(path) end
  for i = 1, #found do
    if type(found[i]) ~= "string" then malformed(path) end
  end
  return skipped > 0 and table.move(found, skipped + 1, #found, 1, {}) or found, #found
end

-- Source: https://buddy.works/docs/api/executions/get-action-execution-logs
local function read_paged(get, execution, action, offset, form)
  if not action.execution_id then return nil end
  local path = ("%s%s/logs?offset=%d&limit=%d"):format(execution, url.path("action_executions", action.execution_id),
    offset, PAGE)
  local answer = try(get, path)
  if not answer then return nil end
  local first = math.tointeger(view.field(answer, "offset")) or offset
  if first > offset then malformed(path) end
  local total = math.tointeger(view.field(answer, "total_element_count"))
  if form.counted and not total then malformed(path) end
  form.counted = total ~= nil
  return lines_of(answer, "logs", path, offset - first), total
end

local function read_whole(get, path, offset)
  local answer = try(get, path)
  if not view.field(answer, "log") then return nil end
  return lines_of(answer, "log", path, offset)
end

-- The editions of 2025: all lines at once.
local function read_older(get, execution, action, offset)
  if not action.execution_id then return nil end
  return read_whole(get, execution .. url.path("action_executions", action.execution_id), offset)
end

-- The editions up to 2024.
local function read_oldest(get, execution, action, offset)
  return read_whole(get, execution .. url.path("action", action.id), offset)
end

local forms = { read_paged, read_older, read_oldest }

---The lines of an action's log behind the first `offset` ones: as many as one answer holds.
---@async
---@param get fun(path: string): table reads; raises an `api` or a `network` error
---@param path string of the execution
---@param action moonsail.ActionExecution
---@param offset integer
---@param form moonsail.LogForm is filled in, and spares requests when it is given again
---@return string[]? lines nil when there is no log yet
---@return integer? total lines that the log has, when the server tells
function M.after(get, path, action, offset, form)
  if form.read then return form.read(get, path, action, offset, form) end
  for _, read in ipairs(forms) do
    local lines, total = read(get, path, action, offset, form)
    if lines then
      form.read = read
      return lines, total
    end
  end
end

local function read_action(get, path, action, lines)
  local form, offset = {}, 0
  repeat
    local more, total = M.after(get, path, action, offset, form)
    more = more or {}
    table.move(more, 1, #more, #lines + 1, lines)
    offset = offset + #more
  until #more == 0 or offset >= (total or math.huge)
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
      read_action(function(address) return api.get(session, address) end, path, action, lines)
    end
  end
  if not found then
    errors.raise("usage", ("%s has no action '%s'"):format(execution, choice),
      "It has: " .. table.concat(names, ", ") .. ".")
  end
  return lines
end

return M

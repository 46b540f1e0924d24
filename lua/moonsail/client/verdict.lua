--- From what became of executions to errors, a summary and the exit code. There is no other way from the one to the
--- other: what `execution:wait` raises, and what a command ends with, are both made here.

local errors = require "moonsail.errors"
local status = require "moonsail.client.status"

local M = {}

---What became of an execution that somebody waited for. A status that is an end stands, whatever else there is.
---@class moonsail.Outcome
---@field execution? moonsail.Execution
---@field status? string as last seen
---@field vanished? boolean the API does not know it any more
---@field stuck? boolean it kept a status that we do not know
---@field timed_out? boolean the time that it was given is over
---@field err? any why nothing more can be learned of it
---@field seconds? number how long it was stuck, or was given
---@field actions? moonsail.ActionExecution[] at its end, when known
---@field start_date? string
---@field finish_date? string

---The name of an outcome: a status of the API, or ours for what is not an end: VANISHED, STUCK, TIMED_OUT, ERROR;
---UNFINISHED for one that nobody waited for.
---@param outcome moonsail.Outcome
---@return string
function M.name(outcome)
  if outcome.err then return "ERROR" end
  if status.terminal[outcome.status] then return outcome.status end
  return outcome.vanished and "VANISHED" or outcome.stuck and "STUCK" or outcome.timed_out and "TIMED_OUT"
    or "UNFINISHED"
end

local function failed_actions(actions)
  local names = {}
  for _, action in ipairs(actions or {}) do
    if action.status == "FAILED" then names[#names + 1] = ("'%s'"):format(action.name) end
  end
  if #names == 0 then return "" end
  return (": %s %s failed"):format(#names == 1 and "action" or "actions", table.concat(names, ", "))
end

local function duration(outcome)
  return outcome.seconds and ("%g s"):format(outcome.seconds) or "its time"
end

-- What happened and what to do next, by the name of the outcome; an end that is no success has no words of its own.
local words = {
  VANISHED = function()
    return "has vanished: the API does not know it any more", "Look whether its pipeline was deleted"
  end,
  STUCK = function(outcome)
    return ("has the unknown status %s since more than %s"):format(outcome.status, duration(outcome)),
      "Look at its page"
  end,
  TIMED_OUT = function(outcome)
    local seen = outcome.status and ("is still %s after "):format(outcome.status) or "could not be read within "
    return seen .. duration(outcome), "Wait longer, or cancel it with execution:cancel(); it goes on"
  end,
  UNFINISHED = function(outcome) return ("is %s"):format(outcome.status), "Wait for its end" end,
}

local function ended(outcome)
  return ("is %s%s"):format(outcome.status, failed_actions(outcome.actions)), "See its logs"
end

---The error for an outcome; nil for a success, and for nothing else.
---@param outcome moonsail.Outcome
---@return any? err of kind `execution`, or the outcome's own
function M.error(outcome)
  if outcome.err then return outcome.err end
  if outcome.status == "SUCCESSFUL" then return nil end
  local execution = outcome.execution
  local what, hint = (words[M.name(outcome)] or ended)(outcome)
  local address = execution and execution.url
  hint = address and (hint == "See its logs" and "See " .. address or ("%s: %s"):format(hint, address)) or hint .. "."
  return errors.new("execution", ("%s %s"):format(execution or "the execution", what), hint, {
    execution = execution, outcome = M.name(outcome), status = outcome.vanished and 404 or outcome.status,
    url = address, actions = outcome.actions, timeout = outcome.timed_out and outcome.seconds or nil,
  })
end

-- Of several codes, the one that asks most of the reader: what is uncertain must be looked at before anything else;
-- that an execution failed is certain, and says more than that another could not be read.
local ranks = {}
for rank, code in ipairs { 0, 1, 2, 7, 6, 5, 3, 4, 130 } do ranks[code] = rank end

local function counted(outcomes)
  local counts, names = {}, {}
  for _, outcome in ipairs(outcomes) do
    local name = M.name(outcome)
    if not counts[name] then names[#names + 1] = name end
    counts[name] = (counts[name] or 0) + 1
  end
  table.sort(names, function(a, b)
    if (a == "SUCCESSFUL") ~= (b == "SUCCESSFUL") then return a == "SUCCESSFUL" end
    return a < b
  end)
  for i, name in ipairs(names) do names[i] = ("%d %s"):format(counts[name], name) end
  return ("%d executions: %s"):format(#outcomes, table.concat(names, ", "))
end

---What a process ends with that waited for these executions: 0 when each succeeded, or there was none.
---@param outcomes moonsail.Outcome[]
---@return integer code
---@return string summary for people, on one line
function M.of(outcomes)
  local code = 0
  for _, outcome in ipairs(outcomes) do
    local err = M.error(outcome)
    local own = err == nil and 0 or errors.exit_code(err)
    if ranks[own] > ranks[code] then code = own end
  end
  if #outcomes == 0 then return code, "no executions" end
  if #outcomes > 1 then return code, counted(outcomes) end
  local err = M.error(outcomes[1])
  if err == nil then return code, ("%s is SUCCESSFUL"):format(outcomes[1].execution or "the execution") end
  return code, errors.is(err) and err.message or tostring(err)
end

return M

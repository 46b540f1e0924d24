--- The exit-code table: what may become of an execution, and what a process that waits for it ends with. Used by every
--- spec that looks at exit codes, whatever they come out of.

local buddy = require "spec.support.buddy"

local M = {}

---@class spec.Verdict
---@field case string for people
---@field shows (string|integer)[] what the API says of the execution, look by look; the last for ever. A number is the
---  status of an HTTP failure
---@field timeout? number seconds that are waited
---@field code integer
---@field name string of the outcome

local ends = { SUCCESSFUL = 0, FAILED = 3, TERMINATED = 3, SKIPPED = 3, NOT_EXECUTED = 3 }
local passing = {
  "INITIAL", "ENQUEUED", "INPROGRESS", "TERMINATING", "WAITING_FOR_APPLY", "WAITING_FOR_VARIABLES",
  "WAITING_FOR_SETTABLE_VARIABLES", "WAITING_FOR_VT_SESSION",
}

local function rows()
  local list = {}
  local function add(case, shows, code, name, timeout)
    list[#list + 1] = { case = case, shows = shows, code = code, name = name, timeout = timeout }
  end
  for status, code in pairs(ends) do
    add(status .. ", already finished", { status }, code, status)
    add(status .. ", finishes now", { "INPROGRESS", "INPROGRESS", status }, code, status)
    add(status .. ", finishes before its deadline", { "INPROGRESS", status }, code, status, 3600)
    add(status .. ", after a status that nobody knows", { "PAUSED", status }, code, status)
  end
  for _, status in ipairs(passing) do
    add(status .. ", then it succeeds", { status, status, "SUCCESSFUL" }, 0, "SUCCESSFUL")
    add(status .. ", canceled", { status, "TERMINATING", "TERMINATED" }, 3, "TERMINATED")
    add(status .. ", deleted", { status, 404 }, 3, "VANISHED")
    add(status .. ", its deadline has passed", { status }, 3, "TIMED_OUT", 30)
    add(status .. ", the token is revoked", { status, 401 }, 6, "ERROR")
    add(status .. ", the right is withdrawn", { status, 403 }, 6, "ERROR")
  end
  add("deleted before anybody looked", { 404 }, 3, "VANISHED")
  add("deleted, its deadline has passed before that is certain", { 404 }, 3, "TIMED_OUT", 8)
  add("an unknown status for ever", { "PAUSED" }, 3, "STUCK")
  add("an unknown status, canceled", { "PAUSED", "TERMINATED" }, 3, "TERMINATED")
  add("an unknown status, deleted", { "PAUSED", 404 }, 3, "VANISHED")
  add("an unknown status, its deadline has passed", { "PAUSED" }, 3, "TIMED_OUT", 30)
  add("the API fails until the deadline", { 503 }, 3, "TIMED_OUT", 30)
  table.sort(list, function(a, b) return a.case < b.case end)
  return list
end

---@type spec.Verdict[]
M.rows = rows()

---What the API answers at one look.
---@param row spec.Verdict
---@param id integer
---@param look integer counted from 1
---@return table answer of buddy.lua
function M.answer(row, id, look)
  local shown = row.shows[math.min(look, #row.shows)]
  if math.type(shown) == "integer" then return buddy.failure(shown, "no") end
  return buddy.execution(id, shown, { { 5, "Test", shown } })
end

return M

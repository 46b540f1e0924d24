--- What is still to be learned of an execution once its verdict stands: the actions, for whoever is to see them, and
--- the end of its logs, which may lag behind.

local errors = require "moonsail.errors"
local status = require "moonsail.client.status"
local task = require "host.task"
local view = require "moonsail.client.view"

local M = {}

local SOON = 0.5 -- shortest intervals that somebody may wait for the actions that an error names
local FEW = 8 -- executions that are followed while the actions of each are shown at its end
local SILENT, FAILING = 30, 300 -- seconds without a new line, and without a good answer, after which the logs are left

-- The full view; nil when reading it fails.
local function read_view(poller, execution)
  local ok, answer = pcall(poller.get, poller, poller:path_of(execution))
  if ok then return answer end
  if not errors.is(answer) then error(answer, 0) end
end

---Learns the actions: those of a failure, and those that a reporter watches. When many end at once, some stay unknown.
---@async
---@param entry moonsail.Followed
function M.learn_actions(entry)
  local poller, outcome = entry.poller, entry.outcome
  if outcome.actions or not status.terminal[outcome.status] then return end
  local shown = entry.seen and poller.count <= FEW and poller.session:reports "finished"
  if outcome.status == "SUCCESSFUL" and not shown then return end
  if not poller.following.pace.details:take(SOON * poller.first) then return end
  local answer = read_view(poller, entry.execution)
  outcome.actions = outcome.actions or answer and view.actions(answer)
end

-- Takes the actions as they are at the end. Returns whether an answer showed them.
local function note_actions(entry, tail)
  local poller = entry.poller
  poller.following.pace.details:take()
  local answer = read_view(poller, entry.execution)
  local actions = answer and status.terminal[view.text(answer, "status")] and view.actions(answer)
  if not actions then return false end
  tail:note(actions)
  entry.outcome.actions = entry.outcome.actions or actions
  return true
end

---Reads the logs to their end: until they have said nothing for a while after it.
---@async
---@param entry moonsail.Followed
---@param tail moonsail.Tail
function M.drain(entry, tail)
  local poller = entry.poller
  local pace, session = poller.following.pace, poller.session
  local function get(path) return poller:get(path) end
  local function may_go_on() return pace.logs:take() end
  local noted, lines, last = entry.outcome.actions ~= nil, tail.count, task.monotonic()
  local answered = last
  while true do
    noted = noted or note_actions(entry, tail)
    tail:finish()
    if tail:read(get, may_go_on) and noted then answered = task.monotonic() end
    tail:deliver()
    if noted and tail:is_done() or tail.refused then break end
    local now = task.monotonic()
    if tail.count > lines then lines, last = tail.count, now end
    if answered - last > SILENT or now - answered > FAILING then break end
    task.sleep(poller.first)
  end
  if tail.refused then session:report("note", ("the logs of %s: %s"):format(entry.execution, tail.refused.message)) end
  if not (noted and tail:is_done()) and not tail.refused then
    session:report("note", ("the end of the logs of %s could not be read"):format(entry.execution))
  end
end

return M

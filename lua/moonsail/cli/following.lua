--- Waiting for executions from the command line: the verdict on all of them is the exit code.

local failure = require "moonsail.cli.failure"
local facts = require "moonsail.cli.facts"
local json = require "host.json"
local output = require "moonsail.cli.output"
local report = require "moonsail.cli.report"
local task = require "host.task"
local terminal = require "host.terminal"
local verdict = require "moonsail.client.verdict"

local M = {}

---Declares what all commands take that wait.
---@param p table a parser
function M.declare(p)
  local parser = require "moonsail.cli.parser"
  p:option("--timeout", "How long to wait, such as 90s or 1h30m; then it goes on without us."):argname "TIME"
    :convert(parser.seconds)
  p:flag("--logs", "Shows the logs of all actions as they grow.")
  p:mutex(
    p:flag("--json", "Prints the facts as JSON at the end."),
    p:flag("--jsonl", "Prints every event as JSON, one a line, as it happens.")
  )
end

local function print_facts(outcomes)
  local list = json.list {}
  for i, outcome in ipairs(outcomes) do
    list[i] = facts.execution(outcome.execution, outcome.actions)
    list[i].outcome = verdict.name(outcome)
  end
  output.json(list[2] and list or list[1])
end

-- One has the words of its error; of many, each has, and then there is the sum.
local function tell(outcomes, screen)
  local code, summary = verdict.of(outcomes)
  if code ~= 0 then screen:close() end -- what it still holds comes before the errors
  for _, outcome in ipairs(outcomes) do
    local err = verdict.error(outcome)
    if err then
      failure.show(outcome.execution, outcome.actions)
      report.error(err)
    end
  end
  if #outcomes > 1 then terminal.write("stderr", ("moonsail: %s\n"):format(summary)) end
  return code
end

-- The library does not tell of one that goes on: others may wait for it still. Here nobody does.
local function tell_late(outcomes, session)
  for _, outcome in ipairs(outcomes) do
    if outcome.timed_out then
      session:report("finished", outcome.execution, outcome.actions, verdict.name(outcome))
    end
  end
end

---Waits for executions, whatever becomes of them.
---@async
---@param executions moonsail.Execution[]
---@param context moonsail.CommandContext
---@param logs? boolean|fun(line: string, action: moonsail.ActionExecution)
---@return integer exit code
function M.follow(executions, context, logs)
  local options = context.options
  local outcomes = task.map(executions, {}, function(execution)
    return execution:outcome { timeout = options.timeout, logs = logs or options.logs }
  end)
  tell_late(outcomes, context.session)
  if options.json then print_facts(outcomes) end
  return tell(outcomes, context.session.progress)
end

return M

--- moonsail executions show PIPELINE [EXECUTION]

local choice = require "moonsail.cli.executions.choice"
local facts = require "moonsail.cli.facts"
local json = require "host.json"
local output = require "moonsail.cli.output"
local status = require "moonsail.client.status"

local columns = {
  { key = "name", title = "ACTION" }, { key = "status", title = "STATUS" }, { key = "progress", title = "%" },
  { key = "start", title = "STARTED" }, { key = "finish", title = "FINISHED" }, { key = "error", title = "ERROR" },
}

local function known(rows)
  local list = {}
  for _, row in ipairs(rows) do
    if row[2] ~= nil and row[2] ~= "" then list[#list + 1] = { row[1], tostring(row[2]) } end
  end
  return list
end

local function show(execution, actions)
  output.table(known {
    { "execution", tostring(execution) }, { "status", execution.last_status }, { "page", execution.url },
    { "branch", execution.branch }, { "tag", execution.tag }, { "pull request", execution.pull_request },
    { "revision", execution.revision }, { "comment", execution.comment }, { "priority", execution.priority },
    { "trigger", execution.trigger }, { "starts", output.date(execution.delay_until) },
    { "started", output.date(execution.start_date) }, { "finished", output.date(execution.finish_date) },
  })
  local rows = {}
  for i, action in ipairs(actions) do
    rows[i] = { name = action.name, status = action.status, progress = action.progress, error = action.error,
      start = output.date(action.start_date), finish = output.date(action.finish_date) }
  end
  output.line ""
  output.table(rows, columns)
end

local function question_text(question)
  local values = question.options and " (" .. table.concat(question.options, ", ") .. ")"
    or question.default and " (" .. question.default .. ")" or ""
  return question.key .. values
end

-- What waits for a person, and how to answer it.
local function show_waiting(execution, waiting)
  for _, action in ipairs(waiting) do
    local asked = {}
    for i, question in ipairs(action.variables) do asked[i] = question_text(question) end
    output.line(("\n'%s' waits%s%s"):format(action.name, action.comment and ": " .. action.comment or "",
      #asked > 0 and "\n  asks for " .. table.concat(asked, ", ") or ""))
  end
  local advice = status.advice(execution)
  if advice then output.line("  " .. advice) end
end

local function run(context, options)
  local execution = choice.one(context)
  local actions, waiting = execution:actions(), {}
  if status.waiting[execution.last_status] then waiting = execution:waiting() end
  if options.json then
    local found = facts.execution(execution, actions)
    found.waiting = json.list(waiting)
    return output.json(found)
  end
  show(execution, actions)
  show_waiting(execution, waiting)
end

return {
  name = "show",
  summary = "Shows an execution with its actions.",
  examples = "  moonsail executions show deploy\n  moonsail executions show deploy 42 --json",
  declare = function(p)
    choice.declare_some(p, "?", "Its number; the latest one by default.")
    p:flag("--json", "Prints the facts as JSON.")
  end,
  run = run,
}

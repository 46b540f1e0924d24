--- moonsail pipelines [list|show PIPELINE]: the pipelines of a project.

local command = require "moonsail.cli.command"
local facts = require "moonsail.cli.facts"
local json = require "host.json"
local output = require "moonsail.cli.output"

local function declare_json(p)
  p:flag("--json", "Prints the facts as JSON.")
end

local columns = {
  { key = "id", title = "ID" }, { key = "identifier", title = "IDENTIFIER" }, { key = "name", title = "NAME" },
  { key = "state", title = "LAST STATUS" }, { key = "revision", title = "REVISION" },
}

local function list(context, options)
  local pipelines, rows = context.project:pipelines(), json.list {}
  for i, pipeline in ipairs(pipelines) do rows[i] = facts.pipeline(pipeline) end
  if options.json then return output.json(rows) end
  for i, pipeline in ipairs(pipelines) do
    rows[i] = { id = pipeline.id, identifier = pipeline.identifier, name = pipeline.name,
      state = pipeline.disabled and "disabled" or pipeline.last_status,
      revision = pipeline.last_revision and pipeline.last_revision:sub(1, 8) }
  end
  output.table(rows, columns)
end

local function event_text(event)
  local refs = type(event.refs) == "table" and table.concat(event.refs, ", ") or event.cron
  return ("%s%s"):format(event.type, refs and " " .. refs or "")
end

local function texts_of(items, text)
  local texts = {}
  for i, item in ipairs(items or {}) do texts[i] = text(item) end
  return #texts > 0 and table.concat(texts, "; ") or nil
end

local function show(context, options)
  local pipeline = context.project:pipeline(options.pipeline)
  local found = pipeline:facts()
  if options.json then return output.json(found) end
  local rows = {
    { "id", found.id }, { "identifier", found.identifier }, { "name", found.name }, { "page", found.html_url },
    { "refs", texts_of(found.refs, tostring) }, { "events", texts_of(found.events, event_text) },
    { "priority", found.priority }, { "disabled", found.disabled and (found.disabled_reason or "yes") or nil },
    { "last status", found.last_execution_status }, { "last revision", found.last_execution_revision },
  }
  local known = {}
  for _, row in ipairs(rows) do
    if row[2] ~= nil then known[#known + 1] = { row[1], tostring(row[2]) } end
  end
  output.table(known)
end

return command.new("pipelines", "Shows the pipelines of a project.", {
  default = "list",
  examples = "  moonsail pipelines\n  moonsail pipelines show deploy --json",
  { name = "list", summary = "Lists them; this is what is done without a word.", declare = declare_json, run = list },
  {
    name = "show",
    summary = "Shows one of them.",
    declare = function(p)
      p:argument("pipeline", "By id, identifier or name."):argname "PIPELINE"
      declare_json(p)
    end,
    run = show,
  },
})

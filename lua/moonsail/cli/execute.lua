--- moonsail execute PIPELINE: starts an execution, and waits for its end.

local command = require "moonsail.cli.command"
local following = require "moonsail.cli.following"
local facts = require "moonsail.cli.facts"
local output = require "moonsail.cli.output"
local variables = require "moonsail.cli.variables"

-- Options that are fields of the request: with a value, and without.
local values = {
  { "--branch", "NAME", "The branch to run." },
  { "--tag", "NAME", "The tag to run." },
  { "--pull-request", "NUMBER", "The pull request to run, such as 1 or pull/1." },
  { "--revision", "REVISION", "The commit to run at." },
  { "--from-revision", "REVISION", "The commit that the changes count from." },
  { "--comment", "TEXT", "What it is for." },
  { "--priority", "PRIORITY", "Its place in the queue: LOW, NORMAL or HIGH." },
  { "--delay-until --schedule", "TIME", "When to start, such as 2030-01-31T12:00:00Z, or 3h10m from now." },
  { "--environment", "NAME", "The environment to run in." },
  { "--package-version", "NAME:VERSION", "The package to run with." },
}
local flags = {
  { "--refresh", "Deploys from scratch." },
  { "--clear-cache", "Throws the pipeline's cache away before." },
}

local function declare(p)
  p:argument("pipeline", "The pipeline, by id, identifier or name."):argname "PIPELINE"
  for _, value in ipairs(values) do p:option(value[1], value[3]):argname(value[2]):overwrite(false) end
  for _, flag in ipairs(flags) do p:flag(flag[1], flag[2]) end
  p:option("--action", "Runs this action only, by id or name; may be repeated."):argname "ACTION":count "*"
  variables.declare(p)
  p:flag("--no-wait", "Prints its page as soon as it is started, and does not wait for its end.")
  following.declare(p)
end

local function fields_of(options, sail)
  local fields = { variables = variables.of(options, sail), actions = options.action[1] and options.action or nil }
  for _, option in ipairs(values) do
    local name = option[1]:match "^%-%-([%w-]+)":gsub("-", "_")
    fields[name] = options[name]
  end
  fields.refresh, fields.clear_cache = options.refresh, options.clear_cache
  local number = fields.pull_request and fields.pull_request:match "^%d+$"
  if number then fields.pull_request = math.tointeger(number) end
  return fields
end

local function run(context, options)
  local execution = context.project:pipeline(options.pipeline):run(fields_of(options, context.sail))
  if not options.no_wait then return following.follow({ execution }, context) end
  if options.json then
    output.json(facts.execution(execution))
  elseif not options.jsonl then
    output.line(execution.url or tostring(execution))
  end
end

return command.new("execute", "Starts an execution of a pipeline, and waits for its end.", {
  declare = declare,
  run = run,
  examples = [[
  moonsail execute build
  moonsail execute deploy --branch main --variable REGION=eu --secret NPM_TOKEN --timeout 1h
  moonsail execute deploy --tag v1.2.0 --action Compile --action Publish --logs
  moonsail execute nightly --delay-until 3h10m --no-wait]],
})

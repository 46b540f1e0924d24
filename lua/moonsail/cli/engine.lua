--- moonsail engine: serves Buddy's API from a git repository, and runs its pipelines on this machine.
--- moonsail engine coverage: prints how much of both it supports. moonsail engine faults: prints what it can spoil.

local command_line = require "moonsail.cli.parser"
local errors = require "moonsail.errors"
local json = require "host.json"
local report = require "moonsail.cli.report"
local task = require "host.task"
local terminal = require "host.terminal"

local function parser()
  local p = command_line.new("engine", "Serves Buddy's API from a git repository, and runs its pipelines here.")
  p:option("--repo", "The git repository, a work tree or a bare one."):argname "PATH":default "."
  p:option("--workspace", "The workspace's name."):argname "NAME":default "local"
  p:option("--project", "The project's name. Default: the repository's folder."):argname "NAME"
  p:option("--listen", "Where to listen."):argname "ADDRESS:PORT":default "127.0.0.1:0"
  p:option("--state", "The folder of the engine's state. Default: one below $XDG_STATE_HOME."):argname "PATH"
  p:option("--rate-limit", "How many requests a token may send in a minute."):argname "N":default "5000"
    :convert(function(text) return math.tointeger(tonumber(text)) end)
  p:option("--isolation", "Whether bubblewrap isolates the commands of actions. Default: $MOONSAIL_ISOLATION or auto, "
    .. "which is where it works."):choices { "auto", "on", "off" }
  p:option("--writable", "A path that isolated commands may write to, too. Default: the list $MOONSAIL_WRITABLE.")
    :argname "PATH":count "*"
  p:option("--webhook", "A URL that is told when executions start and end. The secret key in what it gets is "
    .. "$MOONSAIL_WEBHOOK_SECRET."):argname "URL":count "*"
  p:flag("--events", "Let pushes, other changes of refs, and schedules start pipelines, as buddy.yml says.")
  p:option("--faults", "Spoil requests: this SHARE of them, or with \"header\" only those whose header "
    .. "X-Moonsail-Fault asks for one."):argname "SHARE[;seed=N][;only=NAME,NAME...]":target "faults_of"
  p:require_command(false)
  p:command("faults", "Prints the faults that --faults and the header X-Moonsail-Fault know.")
  p:command("coverage", "Prints what the engine supports of buddy.yml and of the API, and what it refuses.")
    :flag("--json", "As JSON, for programs.")
  return p
end

local function listen_address(text)
  local address, port = text:match "^%[?([%w.:]-)%]?:(%d+)$"
  port = math.tointeger(tonumber(port))
  if address and address ~= "" and port and port <= 65535 then return address, port end
  errors.raise("usage", ("--listen %s is not an address and a port"):format(text), "Give it as 127.0.0.1:8080.")
end

local function check_name(options, option)
  local name = options[option]
  if not name or name:find "^%w[%w_.-]*$" then return end
  errors.raise("usage", ("--%s %s cannot stand in a URL"):format(option, name), "Use letters, digits, - and _.")
end

local function webhooks_of(urls)
  local secret, list = os.getenv "MOONSAIL_WEBHOOK_SECRET", {}
  for index, url in ipairs(urls) do
    list[index] = { target_url = url, secret_key = secret ~= "" and secret or nil }
  end
  local fault = require("moonsail.engine.webhooks").fault_in(list)
  if fault then errors.raise("usage", "--webhook: " .. fault, "Give each as http://127.0.0.1:8080/path.") end
  return list
end

local function say(text)
  terminal.write("stdout", text .. "\n")
end

local function serve(options)
  collectgarbage "generational" -- what waits in the queue lives long, what a request leaves dies at once
  local address, port = listen_address(options.listen)
  check_name(options, "workspace")
  check_name(options, "project")
  local engine, problem = require("moonsail.engine").start {
    repository = options.repo, workspace = options.workspace, project = options.project, address = address, port = port,
    state = options.state, rate_limit = options.rate_limit, isolation = options.isolation,
    writable = options.writable[1] and options.writable, webhooks = webhooks_of(options.webhook),
    events = options.events, faults = options.faults_of, log = say,
  }
  if not engine then
    errors.raise("usage", "the engine cannot start: " .. problem, "Correct that, and start it again.")
  end
  local running <close> = engine -- luacheck: ignore 211
  say(("serving %s/%s at %s; Ctrl-C ends it"):format(engine.workspace, engine.project, engine.endpoint))
  say(("export BUDDY_API_ENDPOINT=%s BUDDY_WORKSPACE=%s BUDDY_PROJECT=%s BUDDY_TOKEN=\"$(cat %s)\""):format(
    engine.endpoint, engine.workspace, engine.project, engine.token_file))
  task.event():wait(math.huge)
end

local function print_coverage(as_json)
  local coverage = require "moonsail.engine.coverage"
  local sections = coverage.sections()
  say(as_json and json.encode(sections) or coverage.text(sections))
  return 0
end

local function print_faults()
  local fault = require "moonsail.engine.fault"
  say("Faults, with their options, as in \"cut_answer;k=17\":\n" .. fault.describe())
  return 0
end

return function(arguments)
  local ok, options = pcall(command_line.parse, parser(), arguments, "engine")
  if not ok then return report.error(options) end
  if options.coverage then return print_coverage(options.json) end
  if options.faults then return print_faults() end
  local server = task.spawn(serve, options)
  local _, problem = pcall(server.join, server)
  return report.error(problem)
end

local buddy = require "spec.support.buddy"
local cli = require "spec.support.cli"
local engine = require "spec.support.engine"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local repository = require "spec.support.repository"
local task = require "host.task"

local POST = "POST " .. buddy.BUILD .. "/executions"

describe("moonsail execute", function()
  local api

  before_each(function()
    api = buddy.serve {
      ["GET /workspaces/acme/identifiers"] = function(request)
        return request.query.pipeline == "build" and { pipeline_id = 2 } or nil
      end,
      [POST] = buddy.execution(7, "ENQUEUED"),
      ["GET " .. buddy.BUILD .. "/executions/7"] = buddy.execution(7, "SUCCESSFUL", { { 5, "Test", "SUCCESSFUL" } }),
      ["GET " .. buddy.BUILD .. "/actions"] = { actions = { { id = 5, name = "Test" }, { id = 6, name = "Ship" } } },
    }
  end)
  after_each(function() api.server:close() end)

  local function run(arguments, options)
    options = options or {}
    options.api = api
    return cli.run({ "execute", table.unpack(arguments) }, options)
  end

  -- The body of the one request that was sent.
  local function sent(arguments, options)
    local result = run(arguments, options)
    assert.same({ 0, "" }, { result.code, result.code == 0 and "" or result.stderr })
    assert.equal(1, api.count[POST])
    for _, request in ipairs(api.requests) do
      if request.method == "POST" then return json.decode(request.body), request.body end
    end
  end

  it("waits for the end, with its progress on standard error", function()
    local result = run { "build", "--branch", "main" }
    assert.same({ 0, "" }, { result.code, result.stdout })
    assert.matches("build #7: sent, http://app/executions/7\n", result.stderr, 1, true)
    assert.matches("build #7: SUCCESSFUL after", result.stderr, 1, true)
  end)

  it("sends nothing but what it was given", function()
    assert.same({}, (sent { "build" }))
  end)

  it("has an option for every field", function()
    assert.same({
      branch = { name = "main" }, to_revision = { revision = "HEAD" }, from_revision = { revision = "abcd" },
      comment = "a b", refresh = true, clear_cache = true, priority = "HIGH", environment = "live",
      package_version = "web:1.0", delay_until = "2999-01-01T00:00:00.000Z", actions_to_run = { 6, 5 },
      variables = { { key = "A", value = "1=2" } },
    }, (sent {
      "build", "--branch", "main", "--revision", "HEAD", "--from-revision", "abcd", "--comment", "a b", "--refresh",
      "--clear-cache", "--priority", "HIGH", "--environment", "live", "--package-version", "web:1.0",
      "--schedule", "2999-01-01T00:00:00Z", "--action", "Ship", "--action", "5", "--variable", "A=1=2",
    }))
  end)

  it("has an option for every field that a request has", function()
    local help = moonsail.run("/tmp", { "execute", "--help" }).stdout
    local other = { actions_to_run = "action", to_revision = "revision", variables = "variable" }
    for _, field in ipairs(require("host.execution").fields) do
      assert.matches("--" .. (other[field] or field):gsub("_", "-"), help, 1, true)
    end
  end)

  for given, expected in pairs {
    [{ "--tag", "v1" }] = { tag = { name = "v1" } },
    [{ "--pull-request", "3" }] = { pull_request = { name = "pull/3" } },
    [{ "--pull-request", "pull/3" }] = { pull_request = { name = "pull/3" } },
  } do
    it("takes " .. table.concat(given, " "), function()
      assert.same(expected, (sent { "build", table.unpack(given) }))
    end)
  end

  it("takes a delay from now, as the instant that it comes to", function()
    local clock <close> = task.simulate(1e9)
    assert.same({ delay_until = "2001-09-09T04:56:40.000Z" }, (sent { "build", "--delay-until", "3h10m" }))
    assert.is_truthy(clock)
  end)

  describe("with variables", function()
    local folder

    before_each(function() folder = moonsail.folder() end)
    after_each(function() getmetatable(folder).__close(folder) end)

    it("reads secrets from the environment and from files, and sends them encrypted", function()
      moonsail.write(folder.path .. "/key", "line 1\nline 2\n")
      assert.same({
        { key = "KEY", value = "line 1\nline 2", encrypted = true },
        { key = "TOKEN", value = "needle", encrypted = true },
      }, sent({ "build", "--secret", "TOKEN", "--secret", "KEY=@" .. folder.path .. "/key" },
        { environment = { TOKEN = "needle" } }).variables)
    end)

    it("reads files of them, which the other options override", function()
      moonsail.write(folder.path .. "/a", "# some\nA=file\n\n  B=b=c \r\nC=file")
      assert.same({ { key = "A", value = "given" }, { key = "B", value = "b=c " }, { key = "C", value = "file" } },
        sent({ "build", "--variables-file", folder.path .. "/a", "--variable", "A=given" }).variables)
    end)

    it("does not send what is wrong, and shows no secret", function()
      moonsail.write(folder.path .. "/bad", "A=1\nneedle\n")
      moonsail.write(folder.path .. "/twice", "A=1\nA=2\n")
      for text, arguments in pairs {
        ["--variable A has no value"] = { "--variable", "A" },
        ["--variable A is given twice"] = { "--variable", "A=1", "--variable", "A=2" },
        ["A is given as a variable and as a secret"] = { "--variable", "A=1", "--secret", "A" },
        ["the value of --secret A stands on the command line"] = { "--secret", "A=needle" },
        ["the secret NONE is not set"] = { "--secret", "NONE" },
        ["cannot read /none: No such file"] = { "--secret", "A=@/none" },
        ["/bad:2 is not KEY=VALUE"] = { "--variables-file", folder.path .. "/bad" },
        ["/twice: A is given twice"] = { "--variables-file", folder.path .. "/twice" },
      } do
        local result = run({ "build", table.unpack(arguments) }, { environment = { A = "needle" } })
        assert.equal(2, result.code)
        assert.matches(text, result.stderr, 1, true)
        assert.matches("^moonsail: [^\n]+\n  [^\n]+\n$", result.stderr)
        assert.not_matches("needle", result.stderr)
      end
      assert.is_nil(api.count[POST])
    end)
  end)

  it("does not send what is wrong", function()
    for text, arguments in pairs {
      ["missing argument 'pipeline'"] = {},
      ["unknown option '--brnach'"] = { "build", "--brnach", "main" },
      ["too many arguments"] = { "build", "other" },
      ["option '--branch' must be used at most 1 time"] = { "build", "--branch", "a", "--branch", "b" },
      ["priority: found string \"URGENT\""] = { "build", "--priority", "URGENT" },
      ["delay_until: found string \"soon\""] = { "build", "--delay-until", "soon" },
      ["'soon' is not a time such as 90s or 1h30m"] = { "build", "--timeout", "soon" },
      ["found branch as well"] = { "build", "--branch", "a", "--tag", "b" },
      ["there is no action 'Tset'"] = { "build", "--action", "Tset" },
      ["option '--jsonl' can not be used together with option '--json'"] = { "build", "--json", "--jsonl" },
      ["project in the command line is empty"] = { "build", "--project=" },
    } do
      local result = run(arguments)
      assert.same({ text, 2, "" }, { text, result.code, result.stdout })
      assert.matches(text, result.stderr, 1, true)
      assert.matches("^moonsail: [^\n]+\n  [^\n]+\n$", result.stderr)
    end
    assert.is_nil(api.count[POST])
  end)

  it("prints the page and does not wait with --no-wait", function()
    local result = run { "build", "--no-wait" }
    assert.same({ 0, "http://app/executions/7\n" }, { result.code, result.stdout })
    assert.is_nil(api.count["GET " .. buddy.BUILD .. "/executions/7"])
    local facts = json.decode(run({ "build", "--no-wait", "--json" }).stdout)
    assert.same({ 7, "ENQUEUED", "acme/website" }, { facts.id, facts.status, facts.project })
  end)

  it("prints the facts at the end with --json", function()
    local facts = json.decode(run({ "build", "--json" }).stdout)
    assert.same({ 7, "SUCCESSFUL", "SUCCESSFUL", 2, json.null }, { facts.id, facts.status, facts.outcome,
      facts.pipeline.id, facts.tag })
  end)

  it("tells of a refusal, and of what is uncertain", function()
    api.routes[POST] = buddy.failure(400, "branch: is not there")
    local result = run { "build" }
    assert.same({ 6, "" }, { result.code, result.stdout })
    assert.matches("the API refused (400): branch: is not there", result.stderr, 1, true)
    api.routes[POST] = buddy.answer(502, "<html>Bad gateway</html>")
    result = run { "build", "--jsonl" }
    assert.same({ 4, "" }, { result.code, result.stdout })
    assert.matches("page of HTML (502)", result.stderr, 1, true)
    result = run { "biuld" }
    assert.equal(6, result.code)
  end)

  it("runs on the engine, with logs as events", function()
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = [[
- pipeline: build
  actions: [ { action: Say, type: BUILD, execute_commands: [ 'echo "hello $WHO $P"; exit $HOW' ] } ]
]] }
    local running <close> = engine.start(repo, { kill_after = 0.1 })
    local environment = { BUDDY_API_ENDPOINT = running.engine.endpoint, BUDDY_TOKEN = running.token,
      BUDDY_WORKSPACE = "local", BUDDY_PROJECT = "site", P = "needle-9" }
    local function play(...)
      return cli.run({ "execute", "build", "--branch", "main", "--variable", "WHO=you", "--secret", "P", ... },
        { api = api, environment = environment })
    end
    local result = play("--variable", "HOW=0", "--jsonl", "--logs", "--timeout", tostring(engine.LIMIT))
    assert.same({ 0, "" }, { result.code, result.stderr })
    local seen = {}
    for line in result.stdout:gmatch "[^\n]+" do
      local event = json.decode(line)
      seen[#seen + 1] = event.event
      if event.line then seen[event.line] = event.action end
    end
    assert.same({ "started", "finished" }, { seen[1], seen[#seen] })
    assert.equal("Say", seen["hello you ••••"])
    result = play("--variable", "HOW=4", "--timeout", tostring(engine.LIMIT))
    assert.equal(3, result.code)
    assert.matches("the log of 'Say'", result.stderr, 1, true)
    assert.matches("build #2 is FAILED: action 'Say' failed", result.stderr, 1, true)
    assert.not_matches("needle", result.stderr .. result.stdout)
  end)
end)

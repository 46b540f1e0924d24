local buddy = require "spec.support.buddy"
local cli = require "spec.support.cli"
local engine = require "spec.support.engine"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local repository = require "spec.support.repository"
local task = require "host.task"

local LIST = buddy.BUILD .. "/executions"
local ONE = LIST .. "/7"

describe("moonsail", function()
  local api

  before_each(function()
    api = buddy.serve {
      ["GET " .. ONE] = buddy.execution(7, "INPROGRESS", { { 5, "Compile", "SUCCESSFUL", 100 },
        { 6, "Test", "INPROGRESS", 40 } }),
      ["GET " .. LIST] = function(request)
        return buddy.page(request, { buddy.execution(7, "INPROGRESS"), buddy.execution(6, "FAILED") })
      end,
      ["PATCH " .. ONE] = buddy.execution(7, "TERMINATING"),
    }
  end)
  after_each(function() api.server:close() end)

  local function run(arguments, options)
    options = options or {}
    options.api = api
    return cli.run(arguments, options)
  end

  -- What a command prints that succeeds.
  local function printed(...)
    local result = run { ... }
    assert.same({ 0, "" }, { result.code, result.stderr })
    return result.stdout
  end

  local function decoded(...)
    return assert(json.decode(printed(...)))
  end

  describe("executions", function()
    it("needs a command that exists", function()
      assert.equal(2, run({ "executions" }).code)
      local result = run { "executions", "lits" }
      assert.same({ 2, "moonsail: unknown command 'lits'\n  Did you mean 'list'? See: moonsail executions --help\n" },
        { result.code, result.stderr })
    end)

    for _, command in ipairs { "cancel", "retry", "approve", "logs", "show", "follow", "list" } do
      it(command .. " refuses what makes no sense, and asks nothing", function()
        for _, arguments in ipairs { {}, { "2", "seven" }, { "2", "0" }, { "2", "7", "--frobnicate" } } do
          local result = run { "executions", command, table.unpack(arguments) }
          assert.same({ 2, "" }, { result.code, result.stdout })
          assert.matches("^moonsail: [^\n]+\n  [^\n]+\n$", result.stderr)
        end
        assert.equal(0, #api.requests)
      end)

      it(command .. " tells more with --help", function()
        local help = moonsail.run("/tmp", { "executions", command, "--help" })
        assert.same({ 0, "" }, { help.code, help.stderr })
        assert.matches("Usage: moonsail executions " .. command, help.stdout, 1, true)
        assert.matches("Examples:\n +moonsail executions " .. command, help.stdout)
      end)
    end

    describe("list", function()
      it("is a table", function()
        assert.equal("ID  STATUS      REF     REVISION  STARTED              FINISHED  COMMENT\n"
          .. " 7  INPROGRESS  master  00000000  2030-01-01 00:00:00\n"
          .. " 6  FAILED      master  00000000  2030-01-01 00:00:00\n", printed("executions", "list", "2"))
        assert.equal("20", api.requests[#api.requests].query.per_page)
      end)

      it("is as long as is wanted", function()
        assert.equal(1, #decoded("executions", "list", "2", "--limit", "1", "--json"))
        assert.equal("1", api.requests[#api.requests].query.per_page)
      end)

      it("is JSON with every member", function()
        local facts = decoded("executions", "list", "2", "--json")[1]
        local names = {}
        for name in pairs(facts) do names[#names + 1] = name end
        table.sort(names)
        assert.equal("branch comment delay_until finish_date id pipeline priority project pull_request revision "
          .. "start_date status tag trigger url", table.concat(names, " "))
        assert.same({ 7, "INPROGRESS", "acme/website", json.null, "CLICK" },
          { facts.id, facts.status, facts.project, facts.finish_date, facts.trigger })
      end)

      it("is an empty list when there are none", function()
        api.routes["GET " .. LIST] = { executions = json.list {} }
        assert.equal("[]\n", printed("executions", "list", "2", "--json"))
      end)

      it("fits a terminal, and does nothing to it", function()
        local spoilt = buddy.execution(7, "FAILED")
        spoilt.comment = "a\27]0;title\7 " .. ("long "):rep(40)
        api.routes["GET " .. LIST] = { executions = { spoilt } }
        local result = run({ "executions", "list", "2" }, { as = "terminal", columns = 60 })
        for line in result.stdout:gmatch "[^\n]+" do assert.is_true(utf8.len(line) <= 60, line) end
        assert.not_matches("\27", result.stdout, 1, true)
        assert.matches("long long", printed("executions", "list", "2"), 1, true)
      end)
    end)

    describe("show", function()
      it("shows the facts and the actions", function()
        local text = printed("executions", "show", "2", "7")
        assert.matches("status +INPROGRESS\n", text)
        assert.matches("page +http://app/executions/7\n", text)
        assert.matches("Compile +SUCCESSFUL +100\n", text)
        assert.matches("Test +INPROGRESS +40\n", text)
      end)

      it("shows the latest one when none is named", function()
        assert.equal(7, decoded("executions", "show", "2", "--json").id)
        api.routes["GET " .. LIST] = { executions = json.list {} }
        local result = run { "executions", "show", "2" }
        assert.same({ 2, "moonsail: the pipeline acme/website/2 has no executions\n"
          .. "  Start one: moonsail execute 2\n" }, { result.code, result.stderr })
      end)

      it("shows what waits, and how to answer it", function()
        api.routes["GET " .. ONE] = buddy.execution(7, "WAITING_FOR_VARIABLES",
          { { 5, "Ask", "WAITING_FOR_VARIABLES" } })
        api.routes["GET " .. buddy.BUILD .. "/actions/5"] = { id = 5, comment = "Where\27[2J to?",
          variables = { { key = "REGION", defaults = "eu\nus" }, { key = "N", defaults = "3" } } }
        local text = printed("executions", "show", "2", "7")
        assert.matches("'Ask' waits: Where[2J to?\n  asks for REGION (eu, us), N (3)\n", text, 1, true)
        assert.matches("moonsail executions approve --project acme/website 2 7 --variable NAME=VALUE", text, 1, true)
        assert.equal("APPLY_VARIABLES", decoded("executions", "show", "2", "7", "--json").waiting[1].kind)
      end)

      it("says which there is not", function()
        local result = run { "executions", "show", "2", "9" }
        assert.same({ 6, "" }, { result.code, result.stdout })
        assert.matches("there is no execution 9 in acme/website/2\n  ", result.stderr, 1, true)
      end)
    end)

    for command, operation in pairs { cancel = "CANCEL", retry = "RETRY" } do
      it(command .. " asks for it, once, and says how it stands", function()
        assert.equal("acme/website/2 #7: TERMINATING  http://app/executions/7\n",
          printed("executions", command, "2", "7"))
        assert.same({ operation = operation }, api:sent())
        assert.equal("TERMINATING", decoded("executions", command, "2", "7", "--json").status)
        api.routes["PATCH " .. ONE] = buddy.failure(500, "broken")
        local result = run { "executions", command, "2", "7" }
        assert.same({ 4, "" }, { result.code, result.stdout })
        assert.equal(3, api.count["PATCH " .. ONE])
      end)
    end

    it("approve answers what waits", function()
      local result = run { "executions", "approve", "2", "7" }
      assert.equal(2, result.code)
      assert.matches("does not wait for anybody: it is INPROGRESS", result.stderr, 1, true)
      api.routes["GET " .. ONE] = buddy.execution(7, "WAITING_FOR_APPLY", { { 5, "EU", "WAITING_FOR_APPLY" },
        { 6, "US", "WAITING_FOR_VARIABLES" } })
      result = run { "executions", "approve", "2", "7" }
      assert.equal(2, result.code)
      assert.matches("2 actions of acme/website/2 #7 wait: 'EU' (5), 'US' (6)", result.stderr, 1, true)
      assert.is_nil(api.count["PATCH " .. ONE])
      result = run({ "executions", "approve", "2", "7", "--action", "US", "--variable", "A=b", "--secret", "S" },
        { environment = { S = "needle" } })
      assert.same({ 0, "" }, { result.code, result.stderr })
      assert.same({ operation = "APPLY_VARIABLES", approve_action_id = 6,
        variables = { { key = "A", value = "b" }, { key = "S", value = "needle", encrypted = true } } }, api:sent())
    end)

    describe("logs", function()
      before_each(function()
        for id, name in pairs { [5] = "compile", [6] = "test" } do
          api.routes[("GET %s/action_executions/%024x/logs"):format(ONE, id)] = function(request)
            local lines = request.query.offset == "0" and { name .. " 1", "\27]0;x\7" .. name .. " 2" } or {}
            return { logs = json.list(lines), total_element_count = 2, offset = tonumber(request.query.offset) }
          end
        end
      end)

      it("are those of one action, or of all", function()
        assert.equal("test 1\n\27]0;x\7test 2\n", printed("executions", "logs", "2", "7", "Test"))
        assert.equal("compile 1\n\27]0;x\7compile 2\n", printed("executions", "logs", "2", "7", "5"))
        assert.equal("compile 1 test 2", printed("executions", "logs", "2", "7"):gsub("^(.-)\n.*\7(.-)\n$", "%1 %2"))
        assert.equal(2, run({ "executions", "logs", "2", "7", "Tset" }).code)
      end)

      it("do no harm to a terminal", function()
        local result = run({ "executions", "logs", "2", "7", "Test" }, { as = "terminal" })
        assert.equal("test 1\ntest 2\n", result.stdout)
      end)

      it("go on until the end, prefixed where they are mixed", function()
        api.routes["GET " .. ONE] = function(_, count)
          local status = count > 2 and "FAILED" or "INPROGRESS"
          return buddy.execution(7, status, { { 5, "Compile", "SUCCESSFUL" }, { 6, "Test", status } })
        end
        local clock <close> = task.simulate()
        local result = run { "executions", "logs", "2", "7", "--follow" }
        assert.is_truthy(clock)
        assert.equal(3, result.code)
        assert.equal("Compile | compile 1\nCompile | \27]0;x\7compile 2\nTest | test 1\nTest | \27]0;x\7test 2\n",
          result.stdout)
      end)
    end)

    it("follow waits out an API that fails at its start", function()
      local clock <close> = task.simulate()
      api.routes["GET " .. ONE] = function(_, count)
        return count < 8 and buddy.failure(503, "no") or buddy.execution(7, "SUCCESSFUL")
      end
      assert.equal(0, run({ "executions", "follow", "2", "7" }).code)
      api.routes["GET " .. ONE] = buddy.failure(503, "no")
      local result = run { "executions", "follow", "2", "7", "--timeout", "9" }
      assert.equal(3, result.code)
      assert.matches("acme/website/2 #7 could not be read within 9 s", result.stderr, 1, true)
      assert.is_truthy(clock)
    end)
  end)

  describe("pipelines", function()
    before_each(function()
      api.routes["GET " .. buddy.PROJECT .. "/pipelines"] = { pipelines = {
        { id = 2, identifier = "build", name = "Build it", last_execution_status = "FAILED",
          last_execution_revision = ("a"):rep(40), html_url = "http://app/2" },
        { id = 3, name = "Ship it", disabled = true },
      } }
      api.routes["GET " .. buddy.BUILD] = { id = 2, identifier = "build", name = "Build it", refs = { "main", "dev" },
        events = { { type = "PUSH", refs = { "main" } }, { type = "SCHEDULE", cron = "0 0 * * *" } },
        priority = "NORMAL", disabled = false, disabled_reason = json.null }
    end)

    it("are listed", function()
      local expected = "ID  IDENTIFIER  NAME      LAST STATUS  REVISION\n"
        .. " 2  build       Build it  FAILED       aaaaaaaa\n 3              Ship it   disabled\n"
      assert.equal(expected, printed "pipelines")
      assert.equal(expected, printed("pipelines", "list"))
      assert.same({ id = 3, identifier = json.null, name = "Ship it", url = json.null, disabled = true,
        last_status = json.null, last_revision = json.null }, decoded("pipelines", "list", "--json")[2])
    end)

    it("are shown", function()
      local text = printed("pipelines", "show", "2")
      assert.matches("refs +main; dev\n", text)
      assert.matches("events +PUSH main; SCHEDULE 0 0 %* %* %*\n", text)
      assert.same({ "main", "dev" }, decoded("pipelines", "show", "2", "--json").refs)
      assert.equal(6, run({ "pipelines", "show", "9" }).code)
      assert.equal(2, run({ "pipelines", "show" }).code)
    end)

    it("are those of the project on the command line", function()
      local result = run { "pipelines", "list", "--project", "acme/webiste" }
      assert.equal(6, result.code)
      assert.equal(2, run({ "pipelines", "list", "--project", "a/b", "--workspace", "c" }).code)
    end)
  end)

  it("actions are listed, with when they run", function()
    local actions = { { id = 5, name = "Test", type = "BUILD", trigger_time = "ON_EVERY_EXECUTION",
      last_execution_status = "FAILED" }, { id = 6, name = "Alarm", trigger_time = "ON_FAILURE", disabled = true } }
    api.routes["GET " .. buddy.BUILD .. "/actions"] = { actions = actions }
    assert.equal("ID  NAME   TYPE   RUNS                LAST STATUS\n"
      .. " 5  Test   BUILD  ON_EVERY_EXECUTION  FAILED\n 6  Alarm         ON_FAILURE          disabled\n",
      printed("actions", "2"))
    assert.equal("Alarm", decoded("actions", "2", "--trigger-time", "ON_FAILURE", "--json")[1].name)
    assert.equal(2, run({ "actions", "2", "--trigger-time", "ON_FAILLURE" }).code)
    assert.equal("[]\n", printed("actions", "2", "--trigger-time", "ON_SUCCESS", "--json"))
  end)

  it("works with the engine, from a start to its approval", function()
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = [[
- pipeline: ship
  actions:
  - { action: Ask, type: WAIT_FOR_VARIABLES, comment: "Where to?", variables: [ { key: REGION } ] }
  - { action: Go, type: BUILD, execute_commands: [ 'echo "to $REGION"' ] }
- pipeline: slow
  actions: [ { action: Sleep, type: SLEEP, sleep_in_sec: 600 } ]
]] }
    local running <close> = engine.start(repo, { kill_after = 0.1 })
    local environment = { BUDDY_API_ENDPOINT = running.engine.endpoint, BUDDY_TOKEN = running.token,
      BUDDY_WORKSPACE = "local", BUDDY_PROJECT = "site" }
    local function play(...)
      return cli.run({ ... }, { api = api, environment = environment })
    end
    local limit = tostring(engine.LIMIT)
    assert.equal(0, play("execute", "ship", "--branch", "main", "--no-wait").code)
    running:eventually(function() return play("executions", "show", "ship", "1").stdout:find "Where to%?" end)
    assert.equal(6, play("executions", "approve", "ship", "1", "--variable", "REGOIN=eu").code)
    assert.equal(0, play("executions", "approve", "ship", "1", "--variable", "REGION=eu").code)
    local result = play("executions", "follow", "ship", "1", "--logs", "--timeout", limit)
    assert.equal(0, result.code)
    assert.matches("to eu\n", result.stderr, 1, true)
    assert.equal(0, play("execute", "slow", "--branch", "main", "--no-wait").code)
    assert.equal(0, play("executions", "cancel", "slow", "1").code)
    assert.equal(3, play("executions", "follow", "slow", "1", "--timeout", limit).code)
    assert.equal(0, play("executions", "retry", "slow", "1").code)
    assert.equal(3, play("executions", "follow", "slow", "--timeout", "0.1").code)
    assert.matches("ship", play("pipelines").stdout, 1, true)
  end)
end)

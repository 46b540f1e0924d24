local buddy = require "spec.support.buddy"
local json = require "host.json"
local raised = buddy.raised
local server = require "host.server"
local task = require "host.task"

local RUN = "POST " .. buddy.BUILD .. "/executions"

describe("pipeline:run", function()
  local api, sail, build

  before_each(function()
    api = buddy.serve {
      [RUN] = buddy.execution(3, "INPROGRESS", { { 5, "Test", "INPROGRESS" } }),
      ["GET " .. buddy.BUILD .. "/actions"] = { actions = {
        { id = 5, name = "Compile" }, { id = 6, name = "Test" }, { id = 7, name = "Docs" }, { id = 8, name = "Test" },
      } },
    }
    sail = api:sail()
    build = sail.project():pipeline(2)
  end)
  after_each(function() api.server:close() end)

  local function fault(fields)
    local err = raised(build.run, build, fields)
    assert.equal("usage", err.kind)
    assert.equal(0, api.count[RUN] or 0)
    return err
  end

  describe("sends what the API's page documents", function()
    it("for a revision, with variables and actions", function()
      build:run {
        revision = "HEAD", comment = "hotfix", clear_cache = true, priority = "HIGH",
        variables = { version = "1.0", pass = { value = "qwerty", encrypted = true } },
        actions = { 5, 7 },
      }
      assert.same({
        to_revision = { revision = "HEAD" }, comment = "hotfix", clear_cache = true, priority = "HIGH",
        variables = {
          { key = "pass", value = "qwerty", encrypted = true }, { key = "version", value = "1.0" },
        },
        actions_to_run = { 5, 7 },
      }, api:sent())
    end)

    it("for a branch", function()
      build:run { branch = "master", comment = "hotfix" }
      assert.same({ branch = { name = "master" }, comment = "hotfix" }, api:sent())
    end)

    it("for a tag", function()
      build:run { tag = "v1.0", comment = "hotfix" }
      assert.same({ tag = { name = "v1.0" }, comment = "hotfix" }, api:sent())
    end)

    it("for a pull request", function()
      build:run { pull_request = "pull/1", comment = "hotfix" }
      assert.same({ pull_request = { name = "pull/1" }, comment = "hotfix" }, api:sent())
    end)

    it("in the API's own form too", function()
      build:run { branch = { name = "master" }, variables = { { key = "a", value = "1", encrypted = true } } }
      assert.same({ name = "master" }, api:sent().branch)
    end)

    it("for nothing but the pipeline's own definition", function()
      build:run()
      assert.equal("{}", api.requests[1].body)
    end)
  end)

  it("returns the execution", function()
    local execution = build:run { branch = "master" }
    assert.same({ 3, ("%040x"):format(3), "master", "INPROGRESS", "http://app/executions/3", "CLICK" }, {
      execution.id, execution.revision, execution.branch, execution.last_status, execution.url, execution.trigger,
    })
    assert.equal(build, execution.pipeline)
    assert.equal("acme/website/2 #3", tostring(execution))
    assert.is_nil(execution.finish_date)
  end)

  it("reads every name that the trigger has had", function()
    for _, name in ipairs { "triggered_on", "triggeredOn", "mode" } do
      local answer = buddy.execution(3, "INPROGRESS")
      answer.triggered_on = nil
      answer[name] = "SCHEDULE"
      api.routes[RUN] = answer
      assert.equal("SCHEDULE", build:run().trigger)
    end
  end)

  it("tells the reporter", function()
    local started
    local watched = api:sail { progress = { started = function(_, execution) started = execution end } }
    local execution = watched.project():pipeline(2):run()
    assert.equal(execution, started)
  end)

  it("does not change the fields that it is given", function()
    local fields = { actions = { "Docs" }, variables = { a = 1 } }
    build:run(fields)
    assert.same({ actions = { "Docs" }, variables = { a = 1 } }, fields)
  end)

  it("crosses the effect boundary as a write, once", function()
    local effect = require "host.effect"
    local crossings = {}
    finally(function() effect.observe(nil) end)
    effect.observe(function(crossing) crossings[#crossings + 1] = crossing.name .. (crossing.write and "!" or "") end)
    build:run()
    assert.same({ "api.place", "execution.run!" }, crossings)
  end)

  describe("chooses actions", function()
    local function chosen(actions)
      build:run { actions = actions }
      return api:sent().actions_to_run
    end

    it("by id, without reading the list", function()
      assert.same({ 7, 99 }, chosen { 7, 99 })
      assert.equal(1, #api.requests)
    end)

    it("by name, and by id beside it", function()
      assert.same({ 5, 8 }, chosen { "Compile", 8 })
    end)

    it("by an id written as text", function()
      assert.same({ 8 }, chosen { "8" })
    end)

    it("by a function of each action", function()
      assert.same({ 5, 6, 8 }, chosen(function(action) return action.name ~= "Docs" end))
    end)

    it("not by a name that none has", function()
      local err = fault { actions = { "Dcos" } }
      assert.equal("there is no action 'Dcos'", err.message)
      assert.equal("Did you mean 'Docs'? There are: Compile (5), Test (6), Docs (7), Test (8).", err.hint)
    end)

    it("not by a name that several have", function()
      assert.equal("2 actions are called 'Test'\n  Choose by id: Test (6), Test (8).",
        tostring(fault { actions = { "Test" } }))
    end)

    it("not by choosing none", function()
      assert.equal("no action is chosen", fault({ actions = {} }).message)
      assert.equal("the function chose no action", fault({ actions = function() end }).message)
    end)

    it("not by something else", function()
      for _, actions in ipairs { "Docs", 5, true, { {} }, { 1.5 }, { false } } do
        assert.equal("actions", fault({ actions = actions }).field)
      end
      fault { actions = { 5 }, actions_to_run = { 5 } }
    end)

    it("and passes on what the function raises", function()
      local _, err = pcall(build.run, build, { actions = function() error("mine", 0) end })
      assert.equal("mine", err)
    end)
  end)

  describe("keeps secrets", function()
    it("as encrypted variables, in every form", function()
      local home = sail.secret "PATH"
      build:run { variables = { a = home, b = { value = home }, c = "plain" } }
      local value = os.getenv "PATH"
      assert.same({
        { key = "a", value = value, encrypted = true }, { key = "b", value = value, encrypted = true },
        { key = "c", value = "plain" },
      }, api:sent().variables)
      build:run { variables = { { key = "a", value = home } } }
      assert.same({ { key = "a", value = value, encrypted = true } }, api:sent().variables)
    end)

    it("out of sight", function()
      local home = sail.secret "PATH"
      assert.equal("••••", tostring(home))
      assert.is_nil(next(home))
      assert.equal("secret", getmetatable(home))
    end)

    it("and needs them to be set", function()
      local err = raised(sail.secret, "MOONSAIL_NO_SUCH_SECRET")
      assert.same({ "usage", "the secret MOONSAIL_NO_SUCH_SECRET is not set" }, { err.kind, err.message })
    end)
  end)

  describe("refuses, and sends nothing for,", function()
    it("one fault, in two lines", function()
      local _, lines = tostring(fault { priority = "URGENT" }):gsub("\n", "")
      assert.equal(1, lines)
      assert.matches("priority", tostring(fault { priority = "URGENT" }), 1, true)
    end)

    it("several faults, each in a line of its own", function()
      local err = fault { priority = "URGENT", brnach = "master", delay_until = "tomorrow" }
      assert.equal(3, #err.faults)
      local _, lines = tostring(err):gsub("\n", "")
      assert.equal(3, lines)
      assert.matches("branch", tostring(err), 1, true)
    end)

    it("a misspelt `actions`, with the right name", function()
      for _, name in ipairs { "action", "actoins" } do
        assert.equal("actions", fault({ [name] = { 1 } }).faults[1].nearest)
      end
      assert.equal("actions_to_run", fault({ actions_to_rum = { 1 } }).faults[1].nearest)
      assert.equal("branch", fault({ brnach = "master" }).faults[1].nearest)
    end)

    for name, fields in pairs {
      ["no actions"] = { actions_to_run = {} },
      ["an action that is no id"] = { actions_to_run = { "x" } },
      ["a variable without a key"] = { variables = { { value = "1" } } },
      ["two variables of one key"] = { variables = { { key = "a", value = "1" }, { key = "a", value = "2" } } },
      ["a variable that is a table"] = { variables = { a = {} } },
      ["a variable that is a function"] = { variables = { a = print } },
      ["a branch and a tag"] = { branch = "master", tag = "v1" },
      ["a tag and a pull request"] = { tag = "v1", pull_request = "pull/1" },
      ["a date that is past"] = { delay_until = "2001-01-01T00:00:00.000Z" },
      ["variables that are no table"] = { variables = 3 },
    } do
      it(name, function() fault(fields) end)
    end

    it("something that is no table", function()
      assert.equal("usage", raised(build.run, build, "master").kind)
    end)
  end)

  describe("that is not accepted", function()
    local function failure()
      return raised(build.run, build, { branch = "master" })
    end

    it("is refused with the API's own words", function()
      api.routes[RUN] = buddy.failure(400, "The branch does not exist.")
      local err = failure()
      assert.same({ "api", 400, "the API refused (400): The branch does not exist." },
        { err.kind, err.status, err.message })
    end)

    it("names the scope that the token lacks", function()
      api.routes[RUN] = buddy.failure(403, "Forbidden")
      assert.equal("The token needs the scope EXECUTION_RUN.", failure().hint)
    end)

    it("says where a wrong token came from", function()
      api.routes[RUN] = buddy.failure(401, "Unauthorized")
      assert.matches("The token from the command line is wrong", failure().hint, 1, true)
    end)

    it("says which name is wrong", function()
      api.routes[RUN] = nil
      api.routes["GET " .. buddy.PROJECT .. "/pipelines"] = { pipelines = { { id = 1, identifier = "deploy" } } }
      assert.equal("there is no pipeline '2' in acme/website\n  There are: deploy.", tostring(failure()))
    end)

    it("is not followed to another host", function()
      local elsewhere <close> = buddy.serve { [RUN] = buddy.execution(3, "INPROGRESS") }
      api.routes[RUN] = buddy.answer(307, "", { location = elsewhere.url .. buddy.BUILD .. "/executions" })
      local err = failure()
      assert.equal(0, #elsewhere.requests)
      assert.matches(elsewhere.url, tostring(err), 1, true)
    end)

    it("is uncertain when the server failed, and says where to look", function()
      for _, answer in ipairs {
        buddy.failure(500, "broken"), buddy.answer(200, "<html></html>"), buddy.answer(200, '{"id":3,'),
      } do
        api.routes[RUN] = answer
        local err = failure()
        assert.equal("uncertain", err.kind)
        assert.matches("it is not known whether acme/website/2 was started", err.message, 1, true)
        assert.matches(api.url .. "/acme/website/pipelines/pipeline/2", err.hint, 1, true)
      end
    end)

    it("is sent once, whatever comes back", function()
      api.routes[RUN] = buddy.failure(503, "busy")
      failure()
      assert.equal(1, api.count[RUN])
    end)

    it("is uncertain when no answer comes", function()
      api.routes[RUN] = function() task.sleep(60) end
      local hasty = api:sail({ timing = { request = 0.05 } }).project():pipeline(2)
      local err = raised(hasty.run, hasty)
      assert.same({ "uncertain", "timeout" }, { err.kind, err.code })
    end)

    it("was surely not sent when nobody listens", function()
      local gone = assert(server.listen({}, function() end))
      gone:close()
      local lost = api:sail({ settings = { endpoint = "http://127.0.0.1:" .. gone.port } }).project():pipeline(2)
      assert.equal("network", raised(lost.run, lost).kind)
    end)
  end)

  it("starts many at once, each once", function()
    local next_id = 0
    api.routes[RUN] = function()
      next_id = next_id + 1
      return buddy.execution(next_id, "ENQUEUED")
    end
    local items = {}
    for i = 1, 200 do items[i] = i end
    local started = sail.map(items, { limit = 64 }, function(i) return build:run { variables = { N = i } } end)
    assert.equal(200, api.count[RUN])
    local seen, sum = {}, 0
    for _, execution in ipairs(started) do seen[execution.id] = true end
    for _, request in ipairs(api.requests) do sum = sum + json.decode(request.body).variables[1].value end
    assert.same({ 200, 20100 }, { #started, math.tointeger(sum) })
    for i = 1, 200 do assert.is_true(seen[i]) end
  end)
end)

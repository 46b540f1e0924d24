local buddy = require "spec.support.buddy"
local errors = require "moonsail.errors"
local raised = buddy.raised

local ONE = buddy.BUILD .. "/executions/7"
local PATCH = "PATCH " .. ONE

describe("an operation on an execution", function()
  local api, sail, execution

  --- The execution as it stands, with some actions.
  local function stands(status, actions)
    api.routes["GET " .. ONE] = buddy.execution(7, status, actions or {})
    execution = sail.project():pipeline(2):execution(7)
  end

  before_each(function()
    api = buddy.serve { [PATCH] = buddy.execution(7, "INPROGRESS") }
    sail = api:sail()
  end)
  after_each(function() api.server:close() end)

  for name, operation in pairs { cancel = "CANCEL", retry = "RETRY", run_now = "RUN_DELAYED" } do
    it((":%s asks for %s, once"):format(name, operation), function()
      stands "ENQUEUED"
      assert.equal(execution, execution[name](execution))
      assert.same({ operation = operation }, api:sent())
      assert.equal("INPROGRESS", execution.last_status)
      api.routes[PATCH] = buddy.failure(500, "broken")
      assert.equal("uncertain", raised(execution[name], execution).kind)
      assert.equal(2, api.count[PATCH])
    end)
  end

  it("gives the other execution, where the API goes on with a new number", function()
    stands "FAILED"
    api.routes[PATCH] = buddy.execution(8, "INPROGRESS")
    local again = execution:retry()
    assert.same({ 8, 7, "FAILED" }, { again.id, execution.id, execution.last_status })
  end)

  it("keeps what is known when the answer is empty", function()
    stands "FAILED"
    api.routes[PATCH] = buddy.answer(204, "")
    assert.equal(execution, execution:retry())
    assert.equal("FAILED", execution.last_status)
  end)

  it("tells why it was refused", function()
    stands "SUCCESSFUL"
    api.routes[PATCH] = buddy.failure(400, "it is SUCCESSFUL")
    local err = raised(execution.retry, execution)
    assert.same({ "api", 400, "the API refused (400): it is SUCCESSFUL" }, { err.kind, err.status, err.message })
  end)

  describe(":approve", function()
    it("approves what waits to be approved", function()
      stands("WAITING_FOR_APPLY", { { 5, "Test", "SUCCESSFUL" }, { 6, "Ask", "WAITING_FOR_APPLY" } })
      assert.equal("INPROGRESS", execution:approve().last_status)
      assert.same({ operation = "APPLY", approve_action_id = 6 }, api:sent())
    end)

    for status, operation in pairs {
      WAITING_FOR_VARIABLES = "APPLY_VARIABLES", WAITING_FOR_SETTABLE_VARIABLES = "SET_VARIABLES",
    } do
      it("gives variables to what is " .. status, function()
        stands(status, { { 6, "Ask", status } })
        local home = sail.secret "PATH"
        execution:approve { variables = { REGION = "eu", COUNT = 3, PASSWORD = home } }
        assert.same({ operation = operation, approve_action_id = 6, variables = {
          { key = "COUNT", value = "3" }, { key = "PASSWORD", value = os.getenv "PATH", encrypted = true },
          { key = "REGION", value = "eu" },
        } }, api:sent())
      end)

      it("leaves the defaults to what is " .. status, function()
        stands(status, { { 6, "Ask", status } })
        execution:approve()
        assert.matches('"variables":[]', api.requests[#api.requests].body, 1, true)
      end)
    end

    it("wants to know which, when several wait", function()
      stands("WAITING_FOR_APPLY", { { 5, "EU", "WAITING_FOR_APPLY" }, { 6, "US", "WAITING_FOR_VARIABLES" } })
      local err = raised(execution.approve, execution)
      assert.equal("2 actions of acme/website/2 #7 wait: 'EU' (5), 'US' (6)\n"
        .. "  Name one, such as execution:approve { action = 'EU' }.", tostring(err))
      assert.is_nil(api.count[PATCH])
      for _, action in ipairs { "US", 6, "6" } do
        execution:approve { action = action, variables = { A = 1 } }
        assert.same({ "APPLY_VARIABLES", 6 }, { api:sent().operation, api:sent().approve_action_id })
      end
      execution:approve { action = "EU" }
      assert.same({ "APPLY", 5 }, { api:sent().operation, api:sent().approve_action_id })
    end)

    it("answers a server that tells of the execution only", function()
      stands "WAITING_FOR_APPLY"
      execution:approve()
      assert.same({ operation = "APPLY" }, api:sent())
    end)

    it("sends nothing that makes no sense", function()
      local waits = { { 5, "Test", "SUCCESSFUL" }, { 6, "Ask", "WAITING_FOR_APPLY" } }
      for text, case in pairs {
        ["it is INPROGRESS"] = { "INPROGRESS", { { 5, "Test", "INPROGRESS" } } },
        ["it is SUCCESSFUL\n  It has ended"] = { "SUCCESSFUL", { { 5, "Test", "SUCCESSFUL" } } },
        ["the action 'Test' of acme/website/2 #7 does not wait for anybody"] = { "WAITING_FOR_APPLY", waits,
          { action = "Test" } },
        ["there is no action 'Aks'\n  Did you mean 'Ask'?"] = { "WAITING_FOR_APPLY", waits, { action = "Aks" } },
        ["there is no action 9"] = { "WAITING_FOR_APPLY", waits, { action = 9 } },
        ["asks for no variables"] = { "WAITING_FOR_APPLY", waits, { variables = { A = 1 } } },
        ["knows no 'variable'"] = { "WAITING_FOR_APPLY", waits, { variable = { A = 1 } } },
        ["takes a table"] = { "WAITING_FOR_APPLY", waits, "Ask" },
        ["variables.A: found a function"] = { "WAITING_FOR_VARIABLES", { { 6, "Ask", "WAITING_FOR_VARIABLES" } },
          { variables = { A = print } } },
      } do
        stands(case[1], case[2])
        local err = raised(execution.approve, execution, case[3])
        assert.equal("usage", err.kind)
        assert.matches(text, tostring(err), 1, true)
      end
      assert.is_nil(api.count[PATCH])
    end)
  end)

  describe(":waiting", function()
    it("tells what each asks for", function()
      stands("WAITING_FOR_APPLY", { { 4, "Test", "SUCCESSFUL" }, { 5, "Ship", "WAITING_FOR_APPLY" },
        { 6, "Values", "WAITING_FOR_VARIABLES" } })
      api.routes["GET " .. buddy.BUILD .. "/actions/5"] = { id = 5, comment = "Ship it?" }
      api.routes["GET " .. buddy.BUILD .. "/actions/6"] = { id = 6, variables = {
        { key = "REGION", defaults = "eu\nus", description = "where" }, { key = "PASSWORD", encrypted = true },
      } }
      assert.same({
        { id = 5, name = "Ship", kind = "APPLY", comment = "Ship it?", variables = {} },
        { id = 6, name = "Values", kind = "APPLY_VARIABLES", variables = {
          { key = "REGION", description = "where", default = "eu", options = { "eu", "us" }, encrypted = false },
          { key = "PASSWORD", encrypted = true },
        } },
      }, execution:waiting())
    end)

    it("is nothing when none waits, and does without definitions", function()
      stands("INPROGRESS", { { 4, "Test", "INPROGRESS" } })
      assert.same({}, execution:waiting())
      stands("WAITING_FOR_APPLY", { { 5, "Ship", "WAITING_FOR_APPLY" } })
      assert.same({ { id = 5, name = "Ship", kind = "APPLY", variables = {} } }, execution:waiting())
    end)
  end)

  describe(":action", function()
    local details = ("GET %s/action_executions/%024x"):format(ONE, 5)

    before_each(function() stands("FAILED", { { 5, "Ask", "SUCCESSFUL", 100 }, { 6, "Test", "FAILED" } }) end)

    it("tells what its own page does", function()
      api.routes[details] = { status = "SUCCESSFUL", progress = 100, action = { id = 5, name = "Ask", type = "BUILD" },
        action_execution_id = ("%024x"):format(5), approver_id = 3, approval_date = "2030-01-01T00:00:00.000Z",
        passed_variables = { { key = "REGION", value = "eu" } }, terminator_id = require("host.json").null,
        outputted_variables = { { key = "OUTPUT_A", value = "b" } }, html_url = "http://app/a" }
      for _, choice in ipairs { "Ask", 5, "5" } do
        assert.same({
          id = 5, execution_id = ("%024x"):format(5), name = "Ask", type = "BUILD", status = "SUCCESSFUL",
          progress = 100, approver_id = 3, approval_date = "2030-01-01T00:00:00.000Z", url = "http://app/a",
          passed_variables = { REGION = "eu" }, outputted_variables = { OUTPUT_A = "b" },
        }, execution:action(choice))
      end
    end)

    it("is read in the older form", function()
      api.routes["GET " .. ONE .. "/action/5"] = { status = "SUCCESSFUL", progress = 100, log = { "x" } }
      local action = execution:action "Ask"
      assert.same({ "Ask", "SUCCESSFUL", 5, {} }, { action.name, action.status, action.id, action.passed_variables })
    end)

    it("must be one that it has", function()
      assert.equal("there is no action 'Dcos'\n  There are: Ask (5), Test (6).",
        tostring(raised(execution.action, execution, "Dcos")))
      assert.equal(404, raised(execution.action, execution, "Test").status)
    end)
  end)

  describe(":change", function()
    it("takes the API's own words", function()
      stands "WAITING_FOR_APPLY"
      execution:change { operation = "NEW_ONE", approve_action_id = 3, variables = { { key = "A", value = "b" } } }
      assert.same({ operation = "NEW_ONE", approve_action_id = 3, variables = { { key = "A", value = "b" } } },
        api:sent())
    end)

    it("is checked before it is sent", function()
      stands "INPROGRESS"
      for _, fields in ipairs { {}, "CANCEL", { operation = 1 }, { operation = "CANCEL", variables = "A=b" },
        { operation = "APPLY", approve_action_id = "x" }, { operation = "APPLY", approve_action_id = 1.5 },
        { operation = "CANCEL", other = 1 }, { operation = "SET_VARIABLES", variables = { ["A=b"] = "c" } } } do
        assert.equal("usage", raised(execution.change, execution, fields).kind)
      end
      assert.is_nil(api.count[PATCH])
    end)
  end)

  it("says which execution there is not", function()
    local build = sail.project():pipeline(2)
    local err = raised(build.execution, build, 9)
    assert.is_true(errors.is(err))
    assert.same({ "there is no execution 9 in acme/website/2", 404 }, { err.message, err.status })
  end)

  it("learns the name of a pipeline that was named by its id", function()
    local answer = buddy.execution(7, "SUCCESSFUL")
    answer.pipeline = { id = 2, name = "Build it", identifier = "build" }
    api.routes["GET " .. ONE] = answer
    execution = sail.project():pipeline(2):execution(7)
    assert.same({ "Build it", "acme/website/build #7" }, { execution.pipeline.name, tostring(execution) })
  end)

  it("is told as uncertain when a page of HTML came", function()
    api.routes["POST " .. buddy.BUILD .. "/executions"] = buddy.answer(200, "<html>Log in</html>")
    local build = sail.project():pipeline(2)
    local err = raised(build.run, build, { branch = "main" })
    assert.equal("uncertain", err.kind)
    assert.matches("answered with a page of HTML (200)", err.message, 1, true)
    assert.matches("BUDDY_API_ENDPOINT", err.message, 1, true)
    assert.not_matches("byte", err.message)
  end)
end)

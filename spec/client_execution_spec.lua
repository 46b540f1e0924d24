local buddy = require "spec.support.buddy"
local json = require "host.json"
local raised = buddy.raised

local LIST = buddy.BUILD .. "/executions"
local ONE = LIST .. "/7"

describe("an execution", function()
  local api, build

  before_each(function()
    api = buddy.serve {
      ["GET " .. ONE] = buddy.execution(7, "INPROGRESS", {
        { 5, "Compile", "SUCCESSFUL", 100 }, { 6, "Test", "INPROGRESS", 40 },
      }),
    }
    build = api:sail().project():pipeline(2)
  end)
  after_each(function() api.server:close() end)

  describe("of a pipeline", function()
    it("is read by its id", function()
      local execution = build:execution(7)
      assert.same({ 7, "INPROGRESS", "master" }, { execution.id, execution.last_status, execution.branch })
    end)

    it("may not exist", function()
      local err = raised(build.execution, build, 8)
      assert.same({ "api", 404 }, { err.kind, err.status })
    end)

    it("has an integer for an id", function()
      for _, id in ipairs { "x", 1.5, {} } do assert.equal("usage", raised(build.execution, build, id).kind) end
    end)

    --- A pipeline with `count` executions, of which the one with the id `successful` succeeded.
    local function history(count, successful)
      local list = {}
      for id = count, 1, -1 do
        list[#list + 1] = buddy.execution(id, id == successful and "SUCCESSFUL" or "FAILED")
      end
      api.routes["GET " .. LIST] = function(request) return buddy.page(request, list) end
    end

    it("stands in the list of the latest, newest first", function()
      history(30)
      local list = build:executions()
      assert.same({ 20, 30, 11 }, { #list, list[1].id, list[20].id })
      assert.equal(3, #build:executions { limit = 3 })
      assert.equal(30, #build:executions { limit = 1000 })
    end)

    it("is listed by a number of them", function()
      for _, limit in ipairs { 0, -1, 1.5, "3" } do
        assert.equal("usage", raised(build.executions, build, { limit = limit }).kind)
      end
    end)

    it("is found as the last that succeeded, on whatever page", function()
      history(120, 7)
      assert.equal(7, build:last_successful().id)
    end)

    it("is not found when none succeeded", function()
      history(60)
      assert.is_nil(build:last_successful())
      history(0)
      assert.is_nil(build:last_successful())
    end)
  end)

  it("tells its status, asking each time", function()
    local execution = build:execution(7)
    api.routes["GET " .. ONE] = buddy.execution(7, "SUCCESSFUL")
    assert.equal("SUCCESSFUL", execution:status())
    assert.equal("SUCCESSFUL", execution.last_status)
  end)

  it("tells whether it has ended, and how, and does not ask what is known", function()
    local execution = build:execution(7)
    assert.same({ false, false }, { execution:finished(), execution:ok() })
    api.routes["GET " .. ONE] = buddy.execution(7, "SUCCESSFUL")
    assert.same({ true, true }, { execution:finished(), execution:ok() })
    local asked = #api.requests
    execution:finished()
    assert.equal(asked, #api.requests)
    api.routes["GET " .. ONE] = buddy.execution(7, "FAILED")
    execution = build:execution(7)
    assert.same({ true, false }, { execution:finished(), execution:ok() })
  end)

  it("has actions", function()
    local actions = build:execution(7):actions()
    assert.equal(2, #actions)
    assert.same({
      id = 6, execution_id = ("%024x"):format(6), name = "Test", type = "BUILD", status = "INPROGRESS", progress = 40,
    }, actions[2])
  end)

  it("is cancelled by a request that is sent once", function()
    api.routes["PATCH " .. ONE] = buddy.execution(7, "TERMINATING")
    local execution = build:execution(7)
    assert.equal(execution, execution:cancel())
    assert.same({ operation = "CANCEL" }, api:sent())
    assert.equal("TERMINATING", execution.last_status)
    api.routes["PATCH " .. ONE] = buddy.failure(500, "broken")
    assert.equal("uncertain", raised(execution.cancel, execution).kind)
    assert.equal(2, api.count["PATCH " .. ONE])
  end)

  describe(":logs", function()
    local function logs_of(id)
      return ("GET %s/action_executions/%024x/logs"):format(ONE, id)
    end

    --- Serves `count` lines, in pages as the request asks for them, at most 1000 each.
    local function lines(name, count)
      return function(request)
        local offset, limit = tonumber(request.query.offset), math.min(tonumber(request.query.limit), 1000)
        local list = json.list {}
        for i = offset + 1, math.min(count, offset + limit) do list[#list + 1] = name .. i end
        return { offset = offset, element_count = #list, total_element_count = count, logs = list }
      end
    end

    before_each(function()
      api.routes[logs_of(5)] = lines("compile ", 2)
      api.routes[logs_of(6)] = lines("test ", 2500)
    end)

    it("are the lines of one action, by name or id", function()
      local execution = build:execution(7)
      for _, action in ipairs { "Compile", 5, "5" } do
        assert.same({ "compile 1", "compile 2" }, execution:logs(action))
      end
    end)

    it("are read page by page", function()
      local found = build:execution(7):logs "Test"
      assert.same({ 2500, "test 1", "test 2500" }, { #found, found[1], found[2500] })
      assert.equal(3, api.count[logs_of(6)])
    end)

    it("are those of all actions, in their order", function()
      local found = build:execution(7):logs()
      assert.same({ 2502, "compile 1", "test 2500" }, { #found, found[1], found[2502] })
    end)

    it("are nothing for an action that has none yet", function()
      api.routes[logs_of(6)] = lines("", 0)
      assert.same({}, build:execution(7):logs "Test")
    end)

    it("end where a server without a count has no more", function()
      api.routes[logs_of(6)] = function(request)
        return { logs = json.list(request.query.offset == "0" and { "one" } or {}) }
      end
      assert.same({ "one" }, build:execution(7):logs "Test")
    end)

    it("are read in the older forms", function()
      api.routes[logs_of(5)] = nil
      api.routes[("GET %s/action_executions/%024x"):format(ONE, 5)] = { log = { "older" } }
      assert.same({ "older" }, build:execution(7):logs "Compile")
      api.routes[("GET %s/action_executions/%024x"):format(ONE, 5)] = nil
      api.routes["GET " .. ONE .. "/action/5"] = { log = { "oldest" } }
      assert.same({ "oldest" }, build:execution(7):logs "Compile")
    end)

    it("are not those of an action that it does not have", function()
      local execution = build:execution(7)
      local err = raised(execution.logs, execution, "Dcos")
      assert.equal("acme/website/2 #7 has no action 'Dcos'\n  It has: Compile, Test.", tostring(err))
    end)
  end)
end)

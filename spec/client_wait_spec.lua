local buddy = require "spec.support.buddy"
local json = require "host.json"
local raised = buddy.raised
local task = require "host.task"

local LIST = buddy.BUILD .. "/executions"

--- The statuses that one execution goes through, one a look.
local function script(statuses)
  return function(_, count)
    local step = statuses[math.min(count, #statuses)]
    if type(step) ~= "string" then return step end
    return buddy.execution(1, step, { { 5, "Test", step == "SUCCESSFUL" and step or "INPROGRESS" } })
  end
end

describe("execution:wait", function()
  local api, notes, changes, ends

  before_each(function()
    api, notes, changes, ends = buddy.serve {}, {}, {}, {}
  end)
  after_each(function() api.server:close() end)

  local progress = {
    note = function(_, message) notes[#notes + 1] = message end,
    changed = function(_, execution) changes[#changes + 1] = execution.last_status end,
    finished = function(_, execution, actions) ends[#ends + 1] = { execution.last_status, actions } end,
  }

  --- The first execution of the pipeline, which has just been started; `timing` shortens or lengthens what is waited.
  local function start(routes, timing, reporter)
    for name, route in pairs(routes) do api.routes[name] = route end
    api.routes["POST " .. LIST] = buddy.execution(1, "ENQUEUED")
    local sail = api:sail { timing = timing, progress = reporter or progress }
    return sail.project():pipeline(2):run(), sail
  end

  describe("while nothing changes", function()
    local clock, times

    before_each(function() clock, times = task.simulate(), {} end)
    after_each(function() clock:close() end)

    --- Waits for one that runs for so many seconds, and reports its progress each minute. Returns the longest pauses
    --- between two looks, before and after a given time.
    local function pauses(seconds, divide, options)
      local began = task.monotonic()
      local execution = start({
        ["GET " .. LIST .. "/1"] = function()
          local passed = task.monotonic() - began
          times[#times + 1] = passed
          local status = passed >= seconds and "SUCCESSFUL" or "INPROGRESS"
          return buddy.execution(1, status, { { 5, "Test", status, passed // 60 } })
        end,
        ["GET " .. LIST .. "/1/action_executions/" .. ("%024x"):format(5)] = { log = json.list {} },
      }, { poll = 1, poll_longest = false })
      execution:wait(options)
      local before, after = 0, 0
      for i = 2, #times do
        local pause = times[i] - times[i - 1]
        if times[i] < divide then before = math.max(before, pause) else after = math.max(after, pause) end
      end
      return before, after
    end

    it("looks less often the longer that lasts, progress or not", function()
      local before, after = pauses(3600, 100)
      assert.is_true(before <= 5.001, before .. " s")
      assert.is_true(after > 14 and after <= 15.001, after .. " s")
    end)

    it("goes on looking where the logs are read live", function()
      local _, after = pauses(600, 100, { logs = function() end })
      assert.is_true(after <= 5.001, after .. " s")
    end)
  end)

  describe("for one", function()
    it("returns it once it has succeeded, with its last facts", function()
      local last = buddy.execution(1, "SUCCESSFUL")
      last.finish_date = "2030-01-01T00:01:00.000Z"
      local execution = start { ["GET " .. LIST .. "/1"] = script { "ENQUEUED", "INPROGRESS", last } }
      assert.equal(execution, execution:wait())
      assert.same({ "SUCCESSFUL", "2030-01-01T00:01:00.000Z" }, { execution.last_status, execution.finish_date })
    end)

    it("raises when it has failed, and names the action", function()
      local failed = buddy.execution(1, "FAILED", { { 5, "Compile", "SUCCESSFUL" }, { 6, "Test", "FAILED" } })
      local execution = start { ["GET " .. LIST .. "/1"] = failed }
      local err = raised(execution.wait, execution)
      assert.same({ "execution", "FAILED", execution }, { err.kind, err.status, err.execution })
      assert.equal("acme/website/2 #1 is FAILED: action 'Test' failed\n  See http://app/executions/1", tostring(err))
    end)

    for _, status in ipairs { "TERMINATED", "SKIPPED", "NOT_EXECUTED" } do
      it("raises when it is " .. status, function()
        local execution = start { ["GET " .. LIST .. "/1"] = buddy.execution(1, status) }
        assert.equal(status, raised(execution.wait, execution).status)
      end)
    end

    it("goes on while it waits for a person, and tells of it", function()
      local execution = start {
        ["GET " .. LIST .. "/1"] = script {
          "INPROGRESS", "WAITING_FOR_APPLY", "WAITING_FOR_VARIABLES", "WAITING_FOR_SETTABLE_VARIABLES",
          "WAITING_FOR_VT_SESSION", "TERMINATING", "SUCCESSFUL",
        },
      }
      execution:wait()
      assert.same({
        "INPROGRESS", "WAITING_FOR_APPLY", "WAITING_FOR_VARIABLES", "WAITING_FOR_SETTABLE_VARIABLES",
        "WAITING_FOR_VT_SESSION", "TERMINATING",
      }, changes)
    end)

    it("tells of changes only", function()
      local function step(progress_of_test)
        return buddy.execution(1, "INPROGRESS", { { 5, "Test", "INPROGRESS", progress_of_test } })
      end
      local execution = start {
        ["GET " .. LIST .. "/1"] = script { step(0), step(0), step(0), step(50), step(50), "SUCCESSFUL" },
      }
      execution:wait()
      assert.same({ "INPROGRESS", "INPROGRESS" }, changes)
      assert.same({ "SUCCESSFUL", "SUCCESSFUL" }, { ends[1][1], ends[1][2][1].status })
      assert.equal(1, #ends)
    end)

    it("needs no reporter", function()
      local execution = start({ ["GET " .. LIST .. "/1"] = script { "INPROGRESS", "SUCCESSFUL" } }, nil, {})
      assert.equal("SUCCESSFUL", execution:wait().last_status)
    end)

    it("ends when its time is over, and leaves the execution alone", function()
      local execution = start { ["GET " .. LIST .. "/1"] = script { "INPROGRESS" } }
      local err = raised(execution.wait, execution, { timeout = 0.05 })
      assert.same({ "execution", "INPROGRESS", 0.05 }, { err.kind, err.status, err.timeout })
      assert.equal("acme/website/2 #1 is still INPROGRESS after 0.05 s", err.message)
      assert.is_nil(api.count["PATCH " .. LIST .. "/1"])
    end)

    it("may be waited for again", function()
      local execution = start { ["GET " .. LIST .. "/1"] = script { "SUCCESSFUL" } }
      execution:wait()
      assert.equal(execution, execution:wait())
    end)

    it("takes a number of seconds", function()
      local execution = start {}
      for _, timeout in ipairs { "1", -1, true } do
        assert.equal("usage", raised(execution.wait, execution, { timeout = timeout }).kind)
      end
    end)
  end)

  describe("through trouble", function()
    it("goes on while reading fails in any way that may pass", function()
      local execution = start {
        ["GET " .. LIST .. "/1"] = script {
          "INPROGRESS", buddy.failure(500, "broken"), buddy.failure(429, "slowly"), buddy.answer(200, "<html>"),
          buddy.answer(200, "{"), buddy.failure(403, "Rate limit exceeded."), buddy.failure(400, "odd"), "SUCCESSFUL",
        },
      }
      execution:wait()
      assert.same({ "the API failed (500): broken; trying again" }, notes) -- once for one stretch of it
    end)

    it("goes on while the server is away", function()
      local execution = start { ["GET " .. LIST .. "/1"] = script { "SUCCESSFUL" } }
      local port = api.server.port
      api.server:close()
      local waiting = task.spawn(execution.wait, execution)
      local deadline = task.monotonic() + 10
      while not notes[1] and task.monotonic() < deadline do task.sleep(0.005) end
      assert.matches("127.0.0.1", notes[1])
      local again <close> = assert(require("host.server").listen({ port = port }, function() -- luacheck: ignore 211
        return buddy.answer(200, buddy.execution(1, "SUCCESSFUL"))
      end))
      assert.equal("SUCCESSFUL", waiting:join().last_status)
    end)

    it("ends when the execution has vanished", function()
      local execution = start { ["GET " .. LIST .. "/1"] = script { "INPROGRESS", buddy.failure(404, "gone") } }
      local err = raised(execution.wait, execution)
      assert.same({ "execution", 404 }, { err.kind, err.status })
      assert.equal("acme/website/2 #1 has vanished: the API does not know it any more", err.message)
    end)

    for status, kind in pairs { [401] = "api", [403] = "api" } do
      it("ends when it may no longer be read: " .. status, function()
        local execution = start { ["GET " .. LIST .. "/1"] = script { "INPROGRESS", buddy.failure(status, "no") } }
        local err = raised(execution.wait, execution)
        assert.same({ kind, status }, { err.kind, err.status })
      end)
    end

    it("names a status that it does not know, and waits on", function()
      local execution = start { ["GET " .. LIST .. "/1"] = script { "PAUSED", "PAUSED", "SUCCESSFUL" } }
      execution:wait()
      assert.same({ "acme/website/2 #1 has the status PAUSED, which moonsail does not know; waiting on" }, notes)
    end)

    it("does not wait for ever for a status that it does not know", function()
      local execution = start({ ["GET " .. LIST .. "/1"] = script { "PAUSED" } }, { unknown = 0.02 })
      local err = raised(execution.wait, execution)
      assert.same({ "execution", "PAUSED" }, { err.kind, err.status })
    end)
  end)

  it("keeps a pipeline's list apart from another's", function()
    local other = buddy.PROJECT .. "/pipelines/3/executions"
    api.routes["POST " .. other] = buddy.execution(1, "ENQUEUED")
    api.routes["GET " .. other .. "/1"] = buddy.execution(1, "FAILED")
    local first, sail = start { ["GET " .. LIST .. "/1"] = script { "SUCCESSFUL" } }
    local second = sail.project():pipeline(3):run()
    local results = sail.all { function() return (pcall(first.wait, first)) end,
      function() return (pcall(second.wait, second)) end }
    assert.same({ true, false, n = 2 }, results)
  end)
end)

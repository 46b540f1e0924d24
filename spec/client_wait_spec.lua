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

  describe("for many", function()
    local executions, statuses

    --- Starts `count` executions; `statuses` holds what the API says of each.
    local function start_many(count, timing, reporter)
      statuses, executions = {}, {}
      for id = 1, count do statuses[id] = "ENQUEUED" end
      local started = 0
      api.routes["POST " .. LIST] = function()
        started = started + 1
        return buddy.execution(started, "ENQUEUED")
      end
      api.routes["GET " .. LIST] = function(request)
        local list = {}
        for id = count, 1, -1 do list[#list + 1] = statuses[id] and buddy.execution(id, statuses[id]) end
        return buddy.page(request, list)
      end
      for id = 1, count do
        api.routes[("GET %s/%d"):format(LIST, id)] = function()
          return statuses[id] and buddy.execution(id, statuses[id], { { 5, "Test", statuses[id] } })
        end
      end
      local pipeline = api:sail({ timing = timing, progress = reporter or {} }).project():pipeline(2)
      for id = 1, count do executions[id] = pipeline:run() end
    end

    local tasks = {}

    local function wait_for_all()
      for id, execution in ipairs(executions) do tasks[id] = task.spawn(pcall, execution.wait, execution) end
      return tasks
    end

    after_each(function()
      for _, waiting in ipairs(tasks) do waiting:cancel() end
      tasks = {}
    end)

    --- How often the list was read, and how often a single execution.
    local function looks()
      local lists, singles = api.count["GET " .. LIST] or 0, 0
      for name, count in pairs(api.count) do
        if name:find("^GET .*/executions/%d+$") then singles = singles + count end
      end
      return lists + singles, singles
    end

    --- Until `n` more looks have begun.
    local function after_looks(n)
      local wanted, deadline = looks() + n, task.monotonic() + 10
      while looks() < wanted and task.monotonic() < deadline do task.sleep(0.001) end
      assert.is_true(looks() >= wanted)
    end

    it("sends one request a look, and none for each", function()
      start_many(50)
      wait_for_all()
      after_looks(5)
      for id = 1, 50 do statuses[id] = "SUCCESSFUL" end
      for _, waiting in ipairs(tasks) do assert.is_true(waiting:join()) end
      local _, singles = looks()
      assert.is_true(singles <= 1) -- before the others had joined
    end)

    it("wakes each as it ends, whoever drives", function()
      start_many(5)
      wait_for_all()
      for id = 1, 5 do
        after_looks(1)
        statuses[id] = "SUCCESSFUL"
        assert.is_true(tasks[id]:join())
        assert.same({ "waiting" }, { (tasks[id + 1] or { status = "waiting" }).status })
      end
    end)

    it("lets two wait for one", function()
      start_many(2)
      local first, second = wait_for_all()[1], task.spawn(executions[1].wait, executions[1])
      after_looks(2)
      statuses[1], statuses[2] = "SUCCESSFUL", "SUCCESSFUL"
      assert.is_true(first:join())
      assert.equal(executions[1], second:join())
    end)

    it("goes on for the others when one is cancelled, at any moment", function()
      start_many(8)
      wait_for_all()
      for id = 1, 7 do
        after_looks(1)
        tasks[id]:cancel()
        tasks[id + 1 > 7 and 1 or id + 1]:cancel()
      end
      statuses[8] = "SUCCESSFUL"
      assert.is_true(tasks[8]:join())
    end)

    it("stops asking when nobody waits any more", function()
      start_many(3)
      wait_for_all()
      after_looks(2)
      for _, waiting in ipairs(tasks) do waiting:cancel() end
      for _, waiting in ipairs(tasks) do pcall(waiting.join, waiting) end
      local asked = looks()
      task.sleep(0.05)
      assert.equal(asked, looks())
    end)

    it("fails for those only that have failed, and names the action", function()
      start_many(3)
      statuses = { "SUCCESSFUL", "FAILED", "SUCCESSFUL" }
      wait_for_all()
      assert.is_true(tasks[1]:join())
      local ok, err = tasks[2]:join()
      assert.is_false(ok)
      assert.equal("acme/website/2 #2 is FAILED: action 'Test' failed", err.message)
      assert.is_true(tasks[3]:join())
    end)

    it("asks by itself for one that the list does not hold", function()
      start_many(3)
      statuses = { "INPROGRESS", nil, "INPROGRESS" }
      api.routes["GET " .. LIST .. "/2"] = buddy.execution(2, "SUCCESSFUL")
      wait_for_all()
      assert.is_true(tasks[2]:join())
      statuses = { "SUCCESSFUL", nil, "SUCCESSFUL" }
      for _, waiting in ipairs(tasks) do waiting:join() end
    end)

    it("tells of the one that has vanished", function()
      start_many(3)
      statuses = { "INPROGRESS", nil, "SUCCESSFUL" }
      wait_for_all()
      local ok, err = tasks[2]:join()
      assert.is_false(ok)
      assert.matches("#2 has vanished", err.message, 1, true)
      statuses[1] = "SUCCESSFUL"
      assert.is_true(tasks[1]:join())
    end)

    it("finds those on later pages, a page a look", function()
      start_many(350)
      api.routes["GET " .. LIST] = function(request)
        request.query.per_page = "50" -- however much is asked for
        local list = {}
        for id = 350, 1, -1 do list[#list + 1] = buddy.execution(id, statuses[id]) end
        return buddy.page(request, list)
      end
      for id = 1, 350 do statuses[id] = "SUCCESSFUL" end
      for _, waiting in ipairs(wait_for_all()) do assert.is_true(waiting:join()) end
      local all, singles = looks()
      assert.is_true(all <= 2 * 350 / 50)
      assert.is_true(singles <= 1)
    end)

    it("does with smaller pages where large ones are refused", function()
      start_many(150)
      local list = api.routes["GET " .. LIST]
      api.routes["GET " .. LIST] = function(request)
        if tonumber(request.query.per_page) > 100 then return buddy.failure(400, "per_page is too large") end
        return list(request)
      end
      wait_for_all()
      after_looks(5)
      for id = 1, 150 do statuses[id] = "SUCCESSFUL" end
      for _, waiting in ipairs(tasks) do assert.is_true(waiting:join()) end
    end)

    it("watches the actions of a few while a reporter listens", function()
      local watched, count = {}, 0
      start_many(20, nil, { changed = function(_, execution, actions)
        if not actions or watched[execution.id] then return end
        watched[execution.id] = true
        count = count + 1
      end })
      for id = 1, 20 do statuses[id] = "INPROGRESS" end
      wait_for_all()
      after_looks(40)
      assert.equal(8, count)
      for id = 1, 20 do statuses[id] = "SUCCESSFUL" end
      for _, waiting in ipairs(tasks) do assert.is_true(waiting:join()) end
    end)

    for first = 1, 2 do it("goes on when one is cancelled that is just being looked at: " .. first, function()
      start_many(3, nil, { changed = function() end })
      statuses = { "INPROGRESS", "INPROGRESS", "INPROGRESS" }
      local gate, waiting_at_gate = task.event(), false
      api.routes["GET " .. LIST .. "/3"] = function()
        waiting_at_gate = true
        gate:wait()
        return buddy.execution(3, "SUCCESSFUL", {})
      end
      wait_for_all()
      local deadline = task.monotonic() + 10
      while not waiting_at_gate and task.monotonic() < deadline do task.sleep(0.001) end
      tasks[3]:cancel()
      task.yield()
      gate:notify()
      after_looks(3)
      for _, id in ipairs { first, 3 - first } do
        statuses[id] = "SUCCESSFUL"
        assert.is_true(task.timeout(5, tasks[id].join, tasks[id]))
      end
    end) end

    it("makes nothing of a list that is none", function()
      start_many(2)
      local good = api.routes["GET " .. LIST]
      local bad = { { executions = 3 }, { executions = { 1, json.null, { id = json.null } } }, {}, { executions = {} } }
      api.routes["GET " .. LIST] = function(request, count) return bad[count] or good(request) end
      statuses = { "INPROGRESS", "INPROGRESS" }
      wait_for_all()
      after_looks(#bad * 3)
      statuses = { "SUCCESSFUL", "SUCCESSFUL" }
      for _, waiting in ipairs(tasks) do assert.is_true(waiting:join()) end
    end)

    it("ends for all when the token is no longer taken", function()
      start_many(3)
      api.routes["GET " .. LIST] = buddy.failure(401, "expired")
      for _, waiting in ipairs(wait_for_all()) do
        local ok, err = waiting:join()
        assert.same({ false, 401 }, { ok, err.status })
      end
    end)

    it("passes on what a reporter raises, as the fault that it is", function()
      start_many(2, nil, { changed = function() error("broken reporter", 0) end })
      statuses = { "INPROGRESS", "INPROGRESS" }
      local _, err = wait_for_all()[1]:join()
      assert.equal("broken reporter", err)
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

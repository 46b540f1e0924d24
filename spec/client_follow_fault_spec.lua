local buddy = require "spec.support.buddy"
local json = require "host.json"
local raised = buddy.raised
local task = require "host.task"

local LIST = buddy.BUILD .. "/executions"
local ONE = LIST .. "/1"
local HTML = "<html>Bad gateway</html>"

describe("following", function()
  local clock, api, notes

  before_each(function()
    clock, api, notes = task.simulate(), buddy.serve {}, {}
    api.routes["POST " .. LIST] = buddy.execution(1, "ENQUEUED")
    api.routes["GET " .. LIST] = { executions = json.list {} }
  end)
  after_each(function()
    api.server:close()
    clock:close()
  end)

  local function sail_of(timing)
    local given = { poll = 1, poll_longest = 5, trouble_longest = 30, request = 30 }
    for name, value in pairs(timing or {}) do given[name] = value end
    return api:sail {
      timing = given, progress = { note = function(_, message) notes[#notes + 1] = message end },
    }
  end

  local function start(route)
    api.routes["GET " .. ONE] = route
    return sail_of().project():pipeline(2):run()
  end

  --- Answers that fail for `seconds`, and then those of a success.
  local function failing_for(seconds, failure)
    local begun = task.monotonic()
    return function()
      if task.monotonic() - begun < seconds then return failure end
      return buddy.execution(1, "SUCCESSFUL")
    end
  end

  describe("through answers that are none", function()
    for what, failure in pairs {
      ["a fault of the server"] = buddy.failure(500, "broken"), ["a gateway's page"] = buddy.answer(502, HTML),
      ["a proxy's page"] = buddy.answer(200, HTML),
      ["a redirect"] = buddy.answer(302, "", { Location = "http://login/" }),
      ["a rate limit"] = buddy.failure(429, "slowly"),
      ["a rate limit of 2022"] = buddy.failure(403, "Rate limit exceeded."),
      ["a cut text"] = buddy.answer(200, '{"id":1,"status":"SUCC'), ["another object"] = { status = "ok" },
      ["a status that is no text"] = { id = 1, status = 7 }, ["an empty object"] = buddy.answer(200, "{}"),
      ["nothing"] = buddy.answer(204, ""), ["another execution"] = buddy.execution(2, "FAILED"),
      ["an odd refusal"] = buddy.failure(400, "odd"), ["a list"] = buddy.answer(200, "[]"),
    } do
      it("goes on through an hour of " .. what, function()
        local execution = start(failing_for(3600, failure))
        assert.equal("SUCCESSFUL", execution:wait().last_status)
        assert.equal(2, #notes) -- that it is so, and that it is over
        assert.matches("; trying again$", notes[1])
        assert.matches("^the API answers again, after 3%d%d%d s$", notes[2])
        assert.is_true(#api.requests < 3600 / 20, #api.requests)
      end)
    end

    it("takes what is good of an answer with wrong types", function()
      local execution = start(function(_, count)
        local answer = buddy.execution(1, count < 3 and "INPROGRESS" or "SUCCESSFUL")
        answer.action_executions =
          { 7, { status = 1, progress = "x", action = "y" }, { action = { id = {}, name = {} } } }
        answer.html_url, answer.start_date = 4, {}
        return answer
      end)
      assert.equal("SUCCESSFUL", execution:wait({ logs = true }).last_status)
    end)

    it("ends when the time is over, whatever else fails", function()
      local execution = start(buddy.failure(500, "broken"))
      local err = raised(execution.wait, execution, { timeout = 100 })
      assert.equal("TIMED_OUT", err.outcome)
    end)

    it("waits out answers that do not come", function()
      local execution = start(function(_, count)
        if count < 3 then task.sleep(1000) end
        return buddy.execution(1, "SUCCESSFUL")
      end)
      assert.equal("SUCCESSFUL", execution:wait().last_status)
    end)
  end)

  describe("through refusals", function()
    for _, status in ipairs { 401, 403 } do
      it(("ends at once when the API refuses: %d"):format(status), function()
        local execution, begun = start(buddy.failure(status, "no")), task.monotonic()
        assert.same({ "api", status }, { raised(execution.wait, execution).kind, status })
        assert.is_true(task.monotonic() - begun < 2)
      end)

      it(("goes on through a while of what may be a proxy's refusal: %d"):format(status), function()
        local execution = start(failing_for(50, buddy.answer(status, HTML)))
        assert.equal("SUCCESSFUL", execution:wait().last_status)
      end)

      it(("ends when such a refusal lasts: %d"):format(status), function()
        local execution, begun = start(buddy.answer(status, HTML)), task.monotonic()
        assert.equal(status, raised(execution.wait, execution).status)
        assert.is_true(task.monotonic() - begun < 200)
      end)
    end
  end)

  describe("of what is not found", function()
    local GONE = buddy.failure(404, "Not found")

    it("goes on when it is found again", function()
      local looks = { GONE, GONE, buddy.execution(1, "INPROGRESS"), GONE, buddy.execution(1, "SUCCESSFUL") }
      local execution = start(function(_, count) return looks[count] end)
      assert.equal("SUCCESSFUL", execution:wait().last_status)
      local note = "acme/website/2 #1 is not found; looking again"
      assert.same({ note, note }, notes)
    end)

    it("ends when it stays so while its pipeline can be read", function()
      local execution, begun = start(GONE), task.monotonic()
      local err = raised(execution.wait, execution)
      assert.same({ "VANISHED", 404 }, { err.outcome, err.status })
      local seconds = task.monotonic() - begun
      assert.is_true(seconds > 10 and seconds < 15, seconds)
    end)

    it("goes on when the list still holds it", function()
      api.routes["GET " .. LIST] = function() return { executions = { buddy.execution(1, "INPROGRESS") } } end
      local execution = start(failing_for(100, GONE))
      assert.equal("SUCCESSFUL", execution:wait().last_status)
    end)

    it("goes on while the whole pipeline is not found for a minute, and ends when that stays so", function()
      local execution = start(GONE)
      local begun, gone = task.monotonic(), 40
      local function list() return task.monotonic() - begun < gone and GONE or { executions = json.list {} } end
      api.routes["GET " .. LIST] = list
      api.routes["GET " .. ONE] = function()
        return task.monotonic() - begun < gone and GONE or buddy.execution(1, "SUCCESSFUL")
      end
      assert.equal("SUCCESSFUL", execution:wait().last_status)
      gone, begun, execution.last_status = math.huge, task.monotonic(), "INPROGRESS"
      assert.equal("VANISHED", raised(execution.wait, execution).outcome)
      assert.is_true(task.monotonic() - begun < 300)
    end)

    it("does not count the time in which reading failed", function()
      local answers = { GONE, buddy.failure(500, ""), buddy.failure(500, ""), GONE }
      for _ = 1, 20 do table.insert(answers, 2, buddy.failure(500, "")) end
      local execution = start(function(_, count) return answers[count] or buddy.execution(1, "SUCCESSFUL") end)
      assert.equal("SUCCESSFUL", execution:wait().last_status)
    end)
  end)

  describe("of an unknown status", function()
    it("ends after ten minutes, not before", function()
      local execution, begun = start(buddy.execution(1, "PAUSED")), task.monotonic()
      assert.equal("STUCK", raised(execution.wait, execution).outcome)
      local seconds = task.monotonic() - begun
      assert.is_true(seconds > 600 and seconds < 620, seconds)
    end)

    it("begins to count again when it changes", function()
      local begun = task.monotonic()
      local execution = start(function()
        local seconds = task.monotonic() - begun
        return buddy.execution(1, seconds > 1700 and "SUCCESSFUL" or ("STAGE_%d"):format(seconds // 300))
      end)
      assert.equal("SUCCESSFUL", execution:wait().last_status)
      assert.equal(6, #notes)
    end)

    it("does not count the hour in which the server was away", function()
      local begun = task.monotonic()
      local execution = start(function()
        local seconds = task.monotonic() - begun
        if seconds > 100 and seconds < 3700 then return buddy.failure(503, "away") end
        return buddy.execution(1, seconds > 4000 and "SUCCESSFUL" or "PAUSED")
      end)
      assert.equal("SUCCESSFUL", execution:wait().last_status)
    end)
  end)

  describe("on a machine that was asleep", function()
    local now, slept = task.now, 0

    before_each(function()
      slept = 0
      task.now = function() return now() + slept end
    end)
    after_each(function() task.now = now end)

    it("looks again at once, though reading had failed for long", function()
      local away = true
      local execution = start(function()
        return away and buddy.failure(503, "away") or buddy.execution(1, "SUCCESSFUL")
      end)
      local waiting = task.spawn(execution.wait, execution)
      task.sleep(300)
      slept, away = 3600, false
      local begun = task.monotonic()
      waiting:join()
      assert.is_true(task.monotonic() - begun < 3)
    end)

    it("does not wait for an answer that will not come any more", function()
      local execution = start(function(_, count)
        if count == 2 then task.sleep(25) end
        return buddy.execution(1, count > 2 and "SUCCESSFUL" or "INPROGRESS")
      end)
      local waiting = task.spawn(execution.wait, execution)
      task.sleep(5)
      slept = 3600
      local begun = task.monotonic()
      waiting:join()
      assert.is_true(task.monotonic() - begun < 3)
      assert.same({}, notes)
    end)
  end)

  describe("many at once", function()
    --- Plays executions of several pipelines, whose ends come at random, and spoils a part of the answers.
    local function play(random, pipelines, each, seconds, spoil)
      local begun, world = task.monotonic(), { requests = {} }
      local ends = { "SUCCESSFUL", "FAILED", "TERMINATED", "SKIPPED", "NOT_EXECUTED" }
      local function path_of(pipeline) return ("%s/pipelines/%d/executions"):format(buddy.PROJECT, pipeline) end
      local function age() return task.monotonic() - begun end
      local function route(name, make)
        api.routes[name] = function(request)
          world.requests[#world.requests + 1] = { name, age() }
          return spoil and spoil(random, name) or make(request)
        end
      end
      for pipeline = 1, pipelines do
        local path, started = path_of(pipeline), 0
        api.routes["POST " .. path] = function()
          started = started + 1
          return buddy.execution(started, "ENQUEUED")
        end
        local list = {}
        local function shown(id, full)
          local one = list[id]
          local status = age() < one.starts and "ENQUEUED" or age() < one.ends and "INPROGRESS" or one.status
          return buddy.execution(id, status, full and { { id, "Test", status } })
        end
        for id = 1, each do
          local starts = random(0, seconds // 2)
          list[id] = { starts = starts, ends = starts + random(1, seconds // 2), status = ends[random(#ends)] }
          route(("GET %s/%d"):format(path, id), function() return shown(id, true) end)
          route(("GET %s/%d/action_executions/%024x/logs"):format(path, id, id), function(request)
            local lines, offset = json.list {}, tonumber(request.query.offset)
            local total = math.max(0, math.min(age(), list[id].ends) - list[id].starts) // 10
            for n = offset + 1, math.tointeger(total) do lines[#lines + 1] = ("%d"):format(n) end
            return { offset = offset, total_element_count = math.tointeger(total), logs = lines }
          end)
        end
        route("GET " .. path, function(request)
          local executions = {}
          for id = started, 1, -1 do executions[#executions + 1] = shown(id) end
          return buddy.page(request, executions)
        end)
        world[pipeline] = list
      end
      return world
    end

    local function run(world, sail, options)
      local jobs = {}
      for pipeline, list in ipairs(world) do
        for id = 1, #list do jobs[#jobs + 1] = { pipeline = pipeline, id = id } end
      end
      return sail.map(jobs, function(job)
        local execution, lines = sail.project():pipeline(job.pipeline):run(), {}
        local logs = options.logs and function(line) lines[#lines + 1] = line end
        local ok, err = pcall(execution.wait, execution, { logs = logs })
        return { job = job, execution = execution, status = execution.last_status, ok = ok, err = err, lines = lines }
      end)
    end

    local spoilers = {
      function() return buddy.failure(500, "broken") end,
      function() return buddy.answer(502, HTML) end,
      function() return buddy.answer(200, HTML) end,
      function() return buddy.failure(429, "slowly") end,
      function() return buddy.failure(403, "Rate limit exceeded.") end,
      function() return buddy.answer(403, HTML) end,
      function() return buddy.failure(404, "Not found") end,
      function() return buddy.answer(200, '{"executions":[{"id":1,"status":"SUC') end,
      function() return buddy.answer(200, '{"executions":[{"id":1},{"status":2}],"logs":[1],"offset":3}') end,
      function() return { executions = json.list {}, logs = json.list {} } end, -- a stale list
      function() return { id = 1, status = {} } end,
      function()
        task.sleep(40)
        return buddy.failure(504, "late")
      end,
    }

    for seed = 1, 3 do
      it("gives no wrong verdict and loses no line through an hour of trouble: " .. seed, function()
        math.randomseed(seed)
        local world = play(math.random, 3, 6, 3600, function(random)
          if random() < 0.3 then return spoilers[random(#spoilers)]() end
        end)
        local results = run(world, sail_of { poll = 5, poll_longest = 20 }, { logs = true })
        for _, result in ipairs(results) do
          local expected = world[result.job.pipeline][result.execution.id]
          assert.equal(expected.status, result.status)
          assert.equal(expected.status == "SUCCESSFUL", result.ok)
          if not result.ok then assert.equal(expected.status, result.err.outcome) end
          local count = math.tointeger((expected.ends - expected.starts) // 10)
          local lines = {}
          for n = 1, expected.status == "NOT_EXECUTED" and #result.lines or count do lines[n] = ("%d"):format(n) end
          assert.same(lines, result.lines)
        end
      end)
    end

    it("asks no more often for more executions, and never for all pipelines at once", function()
      local rates = {}
      for _, each in ipairs { 1, 12 } do
        math.randomseed(7)
        local world = play(math.random, 20, each, 200)
        for _, list in ipairs(world) do
          for _, one in ipairs(list) do one.starts, one.ends = 0, 200 end
        end
        run(world, sail_of(), {})
        local instants, count = {}, 0
        for _, request in ipairs(world.requests) do
          local at = request[2]
          if at > 60 and at < 200 then
            count = count + 1
            instants[at] = (instants[at] or 0) + 1
            assert.is_true(instants[at] <= 2)
          end
        end
        rates[#rates + 1] = count / 140
      end
      for _, rate in ipairs(rates) do assert.is_true(rate > 3.5 and rate < 5, rate) end -- 20 looks in 5 s
    end)

    it("sees a change of each within one and a half intervals", function()
      math.randomseed(11)
      local world = play(math.random, 20, 25, 100)
      local late, sail, begun = {}, sail_of(), task.monotonic()
      local jobs = {}
      for pipeline, list in ipairs(world) do
        for _ = 1, #list do jobs[#jobs + 1] = pipeline end
      end
      sail.map(jobs, function(pipeline)
        local execution = sail.project():pipeline(pipeline):run()
        pcall(execution.wait, execution)
        late[#late + 1] = task.monotonic() - begun - world[pipeline][execution.id].ends
      end)
      table.sort(late)
      assert.equal(500, #late)
      assert.is_true(late[495] < 1.5 * 5, late[495])
    end)
  end)
end)

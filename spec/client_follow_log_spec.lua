local buddy = require "spec.support.buddy"
local json = require "host.json"
local raised = buddy.raised
local task = require "host.task"

local LIST = buddy.BUILD .. "/executions"
local ONE = LIST .. "/1"

local function hex(id) return ("%024x"):format(id) end

--- The path of an action's log in each of the API's forms.
local forms = {
  newest = function(id) return ("GET %s/action_executions/%s/logs"):format(ONE, hex(id)) end,
  older = function(id) return ("GET %s/action_executions/%s"):format(ONE, hex(id)) end,
  oldest = function(id) return ("GET %s/action/%d"):format(ONE, id) end,
}

describe("following logs", function()
  local clock, api, notes, told

  before_each(function()
    clock, api, notes, told = task.simulate(), buddy.serve {}, {}, {}
    api.routes["POST " .. LIST] = buddy.execution(1, "ENQUEUED")
  end)
  after_each(function()
    api.server:close()
    clock:close()
  end)

  local reporter = {
    note = function(_, message) notes[#notes + 1] = message end,
    lines = function(_, execution, action, lines)
      assert.is_truthy(execution.id and action.id)
      for _, line in ipairs(lines) do told[#told + 1] = ("%s: %s"):format(action.name, line) end
    end,
  }

  local function start(progress)
    local timing = { poll = 1, poll_longest = 5, trouble_longest = 30 }
    local sail = api:sail { timing = timing, progress = progress or reporter }
    return sail.project():pipeline(2):run(), sail
  end

  --- The lines of a log, in the form that the request asks for.
  local function newest(lines)
    return function(request)
      local offset, limit = tonumber(request.query.offset), math.min(tonumber(request.query.limit), 1000)
      local part = json.list(table.move(lines, offset + 1, math.min(#lines, offset + limit), 1, {}))
      return { offset = offset, element_count = #part, total_element_count = #lines, logs = part }
    end
  end

  local function whole(lines)
    return function() return { log = json.list(table.move(lines, 1, #lines, 1, {})) } end
  end

  --- An execution whose actions say a line a second; it ends after `seconds`.
  local function chatter(seconds, make, form, names)
    local begun, logs = task.monotonic(), {}
    for i = 1, #names do
      logs[i] = {}
      api.routes[forms[form](i)] = function(request)
        for n = #logs[i] + 1, math.min(seconds, (task.monotonic() - begun) // 1) do logs[i][n] = "line " .. n end
        return make(logs[i])(request)
      end
    end
    api.routes["GET " .. ONE] = function()
      local status = task.monotonic() - begun < seconds and "INPROGRESS" or "SUCCESSFUL"
      local actions = {}
      for i, name in ipairs(names) do actions[i] = { i, name, status } end
      return buddy.execution(1, status, actions)
    end
  end

  --- Whether each action's lines are all there, each once, in order.
  local function check(names, count)
    local next_line = {}
    for _, line in ipairs(told) do
      local name, number = line:match "^(.-): line (%d+)$"
      assert.equal((next_line[name] or 0) + 1, tonumber(number), line)
      next_line[name] = tonumber(number)
    end
    for _, name in ipairs(names) do assert.equal(count, next_line[name]) end
  end

  for form, make in pairs { newest = newest, older = whole, oldest = whole } do
    it("tells every line once, as it comes, in the form that is " .. form, function()
      chatter(60, make, form, { "Compile", "Test" })
      local execution = start()
      local waiting = task.spawn(execution.wait, execution, { logs = true })
      task.sleep(30)
      assert.is_true(#told > 40) -- of the sixty that there are by now
      waiting:join()
      check({ "Compile", "Test" }, 60)
      assert.same({}, notes)
    end)
  end

  it("asks for the form that the server has, once that is known", function()
    chatter(20, whole, "oldest", { "Compile" })
    local execution = start()
    execution:wait { logs = true }
    assert.equal(1, api.count[forms.newest(1)])
    assert.equal(1, api.count[forms.older(1)])
  end)

  it("gives them to a function, with the action", function()
    chatter(5, newest, "newest", { "Compile" })
    local lines = {}
    local execution = start()
    execution:wait { logs = function(line, action) lines[#lines + 1] = action.name .. " " .. line end }
    assert.same({ "Compile line 1", "Compile line 2", "Compile line 3", "Compile line 4", "Compile line 5" }, lines)
    assert.same({}, told)
  end)

  it("reads no logs unless it is asked to", function()
    chatter(5, newest, "newest", { "Compile" })
    local execution = start()
    execution:wait()
    assert.is_nil(api.count[forms.newest(1)])
  end)

  it("tells what was there before anybody looked, however much", function()
    local lines = {}
    for i = 1, 4321 do lines[i] = "line " .. i end
    api.routes["GET " .. ONE] = buddy.execution(1, "SUCCESSFUL", { { 1, "Compile", "SUCCESSFUL" } })
    api.routes[forms.newest(1)] = newest(lines)
    local execution = start()
    execution:wait { logs = true }
    check({ "Compile" }, 4321)
  end)

  it("tells what comes after the end, and the end after that", function()
    local lines, begun = { "line 1" }, task.monotonic()
    api.routes["GET " .. ONE] = buddy.execution(1, "SUCCESSFUL", { { 1, "Compile", "SUCCESSFUL" } })
    api.routes[forms.newest(1)] = function(request)
      if task.monotonic() - begun > 1.5 then lines[2] = "line 2" end
      return newest(lines)(request)
    end
    local ended
    local execution = start { lines = reporter.lines, finished = function() ended = #told end }
    execution:wait { logs = true }
    check({ "Compile" }, 2)
    assert.equal(2, ended)
  end)

  it("does not take a spoiled answer for the end of a log", function()
    api.routes["GET " .. ONE] = buddy.execution(1, "SUCCESSFUL", { { 1, "Compile", "SUCCESSFUL" } })
    api.routes[forms.newest(1)] = function(request, count)
      if count == 1 then
        local answer = newest({ "line 1" })(request)
        answer.total_element_count = 2
        return answer
      end
      return count < 8 and { logs = json.list {} } or newest({ "line 1", "line 2" })(request)
    end
    start():wait { logs = true }
    check({ "Compile" }, 2)
  end)

  it("does not wait for ever for lines that are promised", function()
    api.routes["GET " .. ONE] = buddy.execution(1, "SUCCESSFUL", { { 1, "Compile", "SUCCESSFUL" } })
    api.routes[forms.newest(1)] = function(request)
      local answer = newest({ "line 1" })(request)
      answer.total_element_count = 2
      return answer
    end
    local execution, begun = start(), task.monotonic()
    assert.equal("SUCCESSFUL", execution:wait({ logs = true }).last_status)
    assert.is_true(task.monotonic() - begun < 60)
    assert.same({ "the end of the logs of acme/website/2 #1 could not be read" }, notes)
  end)

  it("does not tell the log of an action that never ran, but that of one that was skipped", function()
    api.routes["GET " .. ONE] = buddy.execution(1, "FAILED",
      { { 1, "Compile", "SKIPPED" }, { 2, "Test", "FAILED" }, { 3, "Ship", "NOT_EXECUTED" } })
    api.routes[forms.newest(1)] = newest { "line 1" }
    api.routes[forms.newest(2)] = newest { "line 1" }
    local execution = start()
    raised(execution.wait, execution, { logs = true })
    assert.same({ "Compile: line 1", "Test: line 1" }, told)
    assert.is_nil(api.count[forms.newest(3)])
  end)

  it("begins a new log when the execution is tried again", function()
    local phase = 1
    api.routes["GET " .. ONE] = function()
      local answer = buddy.execution(1, phase == 4 and "SUCCESSFUL" or "INPROGRESS",
        { { phase < 3 and 1 or 2, "Compile", ({ "INPROGRESS", "FAILED", "INPROGRESS", "SUCCESSFUL" })[phase] } })
      answer.action_executions[1].action.id = 1
      return answer
    end
    api.routes[forms.newest(1)] = newest { "line 1", "line 2" }
    api.routes[forms.newest(2)] = newest { "line 1", "line 2", "line 3" }
    local execution = start()
    local waiting = task.spawn(execution.wait, execution, { logs = true })
    for next_phase = 2, 4 do
      task.sleep(20)
      phase = next_phase
    end
    waiting:join()
    assert.same({ "Compile: line 1", "Compile: line 2", "Compile: line 1", "Compile: line 2", "Compile: line 3" }, told)
  end)

  for what, dates in pairs { ["its date"] = { "a", "a", "b", "b" }, ["its having ended"] = {} } do
    it("knows an action that is tried again in the oldest form by " .. what, function()
      local phase = 1
      api.routes["GET " .. ONE] = function()
        local answer = buddy.execution(1, phase == 4 and "SUCCESSFUL" or "INPROGRESS",
          { { 1, "Compile", ({ "INPROGRESS", "FAILED", "INPROGRESS", "SUCCESSFUL" })[phase] } })
        answer.action_executions[1].action_execution_id = nil
        answer.action_executions[1].start_date = dates[phase]
        return answer
      end
      api.routes[forms.oldest(1)] = function() return { log = { "line 1", phase > 2 and "line 2" or nil } } end
      local execution = start()
      local waiting = task.spawn(execution.wait, execution, { logs = true })
      for next_phase = 2, 4 do
        task.sleep(20)
        phase = next_phase
      end
      waiting:join()
      assert.same({ "Compile: line 1", "Compile: line 1", "Compile: line 2" }, told)
    end)
  end

  describe("through trouble", function()
    local function broken(answers)
      local count = 0
      return function(route)
        return function(request)
          count = count + 1
          local answer = answers[count]
          if answer then return answer end
          return route(request)
        end
      end
    end

    it("loses no line and doubles none", function()
      local answers = {
        buddy.failure(500, "broken"), buddy.answer(200, '{"offset":0,"logs":["line 1","li'),
        buddy.failure(429, "slow"), buddy.answer(200, "<html></html>"), { logs = 7 }, { logs = { "line 1", 2 } },
        { offset = 9, logs = { "line 10" } },
        buddy.answer(200, "[]"), buddy.answer(404, "<html></html>"), buddy.failure(403, "Rate limit exceeded."),
        buddy.answer(403, "<html></html>"), { logs = json.null },
      }
      chatter(60, newest, "newest", { "Compile", "Test" })
      local spoil = broken(answers)
      for i = 1, 2 do api.routes[forms.newest(i)] = spoil(api.routes[forms.newest(i)]) end
      local execution = start()
      execution:wait { logs = true }
      check({ "Compile", "Test" }, 60)
    end)

    it("takes what a server gives that knows no offset", function()
      chatter(20, function(lines)
        return function(request)
          request.query.offset = "0"
          return newest(lines)(request)
        end
      end, "newest", { "Compile" })
      local execution = start()
      execution:wait { logs = true }
      check({ "Compile" }, 20)
    end)

    it("goes on with the verdict when logs may not be read", function()
      chatter(20, newest, "newest", { "Compile" })
      api.routes[forms.newest(1)] = buddy.failure(403, "no")
      local execution = start()
      assert.equal("SUCCESSFUL", execution:wait({ logs = true }).last_status)
      assert.same({ "the logs of acme/website/2 #1: the API refused (403): no" }, notes)
      assert.equal(1, api.count[forms.newest(1)])
    end)

    it("lets the verdict stand when the time ends before the logs do", function()
      api.routes["GET " .. ONE] = buddy.execution(1, "FAILED", { { 1, "Compile", "FAILED" } })
      api.routes[forms.newest(1)] = buddy.failure(500, "broken")
      local execution = start()
      assert.equal("FAILED", raised(execution.wait, execution, { logs = true, timeout = 5 }).outcome)
    end)
  end)

  describe("by several", function()
    it("tells what is new to who waits again", function()
      chatter(60, newest, "newest", { "Compile" })
      local execution = start()
      local attempts = 0
      repeat
        attempts = attempts + 1
        local ok = pcall(execution.wait, execution, { logs = true, timeout = 7 })
      until ok or attempts == 20
      assert.is_true(attempts > 5)
      check({ "Compile" }, 60)
      execution:wait { logs = true }
      check({ "Compile" }, 60)
    end)

    it("tells each line once when two wait for one", function()
      chatter(30, newest, "newest", { "Compile" })
      local execution, sail = start()
      local lines = {}
      sail.all {
        function() execution:wait { logs = true } end,
        function() execution:wait { logs = true } end,
        function() execution:wait { logs = function(line) lines[#lines + 1] = line end } end,
      }
      check({ "Compile" }, 30)
      assert.equal(30, #lines)
    end)

    it("raises what a function raises to who gave it, and to nobody else", function()
      chatter(30, newest, "newest", { "Compile" })
      local execution = start()
      local other = task.spawn(execution.wait, execution)
      local ok, err = pcall(execution.wait, execution, { logs = function() error("mine", 0) end })
      assert.same({ false, "mine" }, { ok, err })
      assert.equal("SUCCESSFUL", other:join().last_status)
    end)

    it("goes on for the others while a function takes its time", function()
      chatter(30, newest, "newest", { "Compile" })
      local execution, begun = start(), task.monotonic()
      local slow = task.spawn(execution.wait, execution, { logs = function() task.sleep(100) end })
      task.sleep(3)
      execution:wait()
      slow:cancel()
      assert.is_true(task.monotonic() - begun < 60)
    end)

    it("wakes another to look when the one that looks has to call a function", function()
      local begun = task.monotonic()
      local function answer(id, full)
        local status = task.monotonic() - begun < 50 and "INPROGRESS" or "SUCCESSFUL"
        return buddy.execution(id, status, full and { { 1, "Compile", status } })
      end
      for id = 1, 2 do
        api.routes[("GET %s/%d"):format(LIST, id)] = function() return answer(id, true) end
        api.routes[("GET %s/%d/action_executions/%s/logs"):format(LIST, id, hex(1))] = newest { "line 1" }
      end
      api.routes["GET " .. LIST] = function() return { executions = { answer(2), answer(1) } } end
      local first, sail = start()
      local second = sail.project():pipeline(2):execution(2)
      local slow = task.spawn(first.wait, first, { logs = function() task.sleep(1000) end })
      local cancelled, other = task.spawn(first.wait, first), task.spawn(second.wait, second)
      task.yield()
      cancelled:cancel()
      other:join()
      slow:cancel()
      assert.is_true(task.monotonic() - begun < 70)
    end)

    it("asks no more often however many executions are followed", function()
      local asked = 0
      for id = 1, 100 do
        local path, actions = ("%s/%d"):format(LIST, id), {}
        for action = 1, 10 do
          actions[action] = { action, "Compile", "INPROGRESS" }
          api.routes[("GET %s/action_executions/%s/logs"):format(path, hex(action))] = function(request)
            asked = asked + 1
            return newest({})(request)
          end
        end
        api.routes["GET " .. path] = buddy.execution(id, "INPROGRESS", actions)
      end
      local list = {}
      for id = 100, 1, -1 do list[#list + 1] = buddy.execution(id, "INPROGRESS") end
      api.routes["GET " .. LIST] = function(request) return buddy.page(request, list) end
      local count = 0
      api.routes["POST " .. LIST] = function()
        count = count + 1
        return buddy.execution(count, "ENQUEUED")
      end
      local waiting = {}
      local pipeline = api:sail({ timing = { poll = 1, poll_longest = 1 }, progress = reporter }).project():pipeline(2)
      for id = 1, 100 do
        local execution = pipeline:run()
        waiting[id] = task.spawn(pcall, execution.wait, execution, { logs = true })
      end
      task.sleep(60)
      local requests = #api.requests - 100
      for _, one in ipairs(waiting) do one:cancel() end
      assert.is_true(requests <= 61 * (1 + 8 + 8) + 16, requests) -- the list, details and logs, each second
      assert.is_true(asked > 60 * 7, asked)
    end)
  end)
end)

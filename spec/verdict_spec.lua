local buddy = require "spec.support.buddy"
local errors = require "moonsail.errors"
local execution_status = require "moonsail.client.status"
local json = require "host.json"
local raised = buddy.raised
local task = require "host.task"
local verdict = require "moonsail.client.verdict"
local verdicts = require "spec.support.verdicts"

local LIST = buddy.BUILD .. "/executions"

describe("verdict", function()
  describe(".of one", function()
    local function of(outcome)
      local code, summary = verdict.of { outcome }
      return { code, verdict.name(outcome), summary }
    end

    it("is 0 for a success and for nothing else", function()
      for status in pairs(execution_status.terminal) do
        assert.equal(status == "SUCCESSFUL" and 0 or 3, (verdict.of { { status = status } }), status)
      end
      for status in pairs(execution_status.going) do assert.equal(3, (verdict.of { { status = status } }), status) end
      for status in pairs(execution_status.waiting) do assert.equal(3, (verdict.of { { status = status } }), status) end
      assert.equal(3, (verdict.of { { status = "PAUSED" } }))
      assert.equal(3, (verdict.of { {} }))
    end)

    it("has a name for what is not an end, and says what it is", function()
      assert.same({ 3, "VANISHED", "the execution has vanished: the API does not know it any more" },
        of { vanished = true, status = "INPROGRESS" })
      assert.same({ 3, "STUCK", "the execution has the unknown status PAUSED since more than 600 s" },
        of { stuck = true, status = "PAUSED", seconds = 600 })
      assert.same({ 3, "TIMED_OUT", "the execution is still INPROGRESS after 5 s" },
        of { timed_out = true, status = "INPROGRESS", seconds = 5 })
      assert.same({ 3, "UNFINISHED", "the execution is ENQUEUED" }, of { status = "ENQUEUED" })
    end)

    it("lets an end stand, whatever else there is", function()
      assert.same({ 0, "SUCCESSFUL", "the execution is SUCCESSFUL" }, of { status = "SUCCESSFUL", timed_out = true })
      assert.equal("FAILED", of { status = "FAILED", timed_out = true }[2])
    end)

    it("is what its error says when nothing can be learned", function()
      for kind, code in pairs { uncertain = 4, permission = 5, api = 6, network = 7, usage = 2, recipe = 1 } do
        assert.same({ code, "ERROR", "why" }, of { status = "INPROGRESS", err = errors.new(kind, "why") })
      end
      assert.same({ 1, "ERROR", "a text" }, of { err = "a text" })
    end)

    it("is the exit code of the error that it is", function()
      for _, outcome in ipairs {
        { status = "FAILED" }, { vanished = true }, { stuck = true, status = "X" }, { timed_out = true, status = "X" },
        { err = errors.new("api", "no") }, {},
      } do
        assert.equal(errors.exit_code(verdict.error(outcome)), (verdict.of { outcome }))
      end
    end)
  end)

  describe(".of many", function()
    it("is 0 only when each succeeded", function()
      local good, bad = { status = "SUCCESSFUL" }, { status = "FAILED" }
      assert.same({ 0, "2 executions: 2 SUCCESSFUL" }, { verdict.of { good, good } })
      assert.same({ 3, "3 executions: 1 SUCCESSFUL, 1 FAILED, 1 VANISHED" },
        { verdict.of { good, bad, { vanished = true } } })
      assert.same({ 0, "no executions" }, { verdict.of {} })
    end)

    it("is the code that asks most of the reader, in whatever order they come", function()
      local order = { "recipe", "usage", "network", "api", "permission", "execution", "uncertain", "interrupted" }
      for i = 2, #order do
        local lesser = { err = errors.new(order[i - 1], "less") }
        local greater = { err = errors.new(order[i], "more") }
        local expected = errors.exit_code(greater.err)
        assert.equal(expected, (verdict.of { lesser, greater }))
        assert.equal(expected, (verdict.of { greater, lesser }))
      end
    end)
  end)
end)

describe("the exit code", function()
  local clock, api

  before_each(function()
    clock, api = task.simulate(), buddy.serve {}
  end)
  after_each(function()
    api.server:close()
    clock:close()
  end)

  -- The API of some executions that go the ways of these rows. A look at the list is a look at each.
  local function play(rows)
    local looks, started = 0, 0
    api.routes["POST " .. LIST] = function()
      started = started + 1
      return buddy.execution(started, "ENQUEUED")
    end
    api.routes["GET " .. LIST] = function(request)
      looks = looks + 1
      local list = {}
      for id = #rows, 1, -1 do
        local shown = rows[id].shows[math.min(looks, #rows[id].shows)]
        if type(shown) == "string" then list[#list + 1] = buddy.execution(id, shown) end
        if shown == 401 or shown == 403 or shown == 503 then return buddy.failure(shown, "no") end
      end
      return buddy.page(request, list)
    end
    for id, row in ipairs(rows) do
      api.routes[("GET %s/%d"):format(LIST, id)] = function(_, count)
        return verdicts.answer(row, id, math.max(count, looks))
      end
    end
  end

  local function wait_for_all(rows, pipeline)
    local executions = {}
    for id = 1, #rows do executions[id] = pipeline:run() end
    return task.map(executions, {}, function(execution, id)
      local ok, err = pcall(execution.wait, execution, { timeout = rows[id].timeout })
      return { ok = ok, err = err, execution = execution }
    end)
  end

  -- Polls as on a real network: the clock is a simulated one.
  local function pipeline()
    return api:sail({ timing = { poll = 1, poll_longest = 5, trouble_longest = 30 } }).project():pipeline(2)
  end

  for _, row in ipairs(verdicts.rows) do
    it(("of one: %s: %d %s"):format(row.case, row.code, row.name), function()
      play { row }
      local result = wait_for_all({ row }, pipeline())[1]
      assert.equal(row.code == 0, result.ok)
      if result.ok then return end
      assert.equal(row.code, errors.exit_code(result.err))
      if row.name ~= "ERROR" then assert.equal(row.name, result.err.outcome) end
    end)

    it(("of many: %s: %d %s"):format(row.case, row.code, row.name), function()
      local good = { shows = { "INPROGRESS", "SUCCESSFUL" }, timeout = row.timeout }
      -- What the API refuses or fails to list, it does so for all.
      local same = row.name == "ERROR" or row.shows[1] == 503
      local rows = same and { row, row, row } or { good, row, good }
      play(rows)
      local outcomes = {}
      for id, result in ipairs(wait_for_all(rows, pipeline())) do
        outcomes[id] = result.ok and { status = result.execution.last_status } or { err = result.err }
      end
      assert.equal(row.code, (verdict.of(outcomes)))
      if not same then assert.same({ nil, nil }, { outcomes[1].err, outcomes[3].err }) end
    end)
  end

  it("of an execution that was waited for again is the same", function()
    local row = { shows = { "FAILED" } }
    play { row }
    local execution = pipeline():run()
    local first, second = raised(execution.wait, execution), raised(execution.wait, execution)
    assert.same({ 3, 3 }, { errors.exit_code(first), errors.exit_code(second) })
    assert.equal("FAILED", json.decode(json.encode { outcome = second.outcome }).outcome)
  end)
end)

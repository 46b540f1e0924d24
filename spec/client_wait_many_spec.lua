local buddy = require "spec.support.buddy"
local json = require "host.json"
local task = require "host.task"

local LIST = buddy.BUILD .. "/executions"

describe("execution:wait for many", function()
  local api

  before_each(function() api = buddy.serve {} end)
  after_each(function() api.server:close() end)

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

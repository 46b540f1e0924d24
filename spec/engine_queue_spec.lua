local queue = require "moonsail.engine.queue"
local timetable = require "moonsail.engine.timetable"

local function take_all(q)
  local taken = {}
  for pipeline, number in function() return q:take() end do table.insert(taken, pipeline .. "#" .. number) end
  return taken
end

describe("engine.queue", function()
  it("puts priority before age", function()
    local q = queue.new(10)
    q:push(1, 1, "NORMAL", true)
    q:push(1, 2, "LOW", true)
    q:push(1, 3, "HIGH", true)
    q:push(1, 4, "NORMAL", true)
    assert.same({ "1#3", "1#1", "1#4", "1#2" }, take_all(q))
  end)

  it("runs one of a pipeline at a time, and pipelines side by side", function()
    local q = queue.new(10)
    q:push(1, 1, "NORMAL", false)
    q:push(1, 2, "NORMAL", false)
    q:push(2, 1, "NORMAL", false)
    local taken = take_all(q)
    table.sort(taken)
    assert.same({ "1#1", "2#1" }, taken)
    q:done(1)
    assert.same({ "1#2" }, take_all(q))
  end)

  it("never runs more than its limit at once, and serves lanes in turn", function()
    local q = queue.new(1)
    for number = 1, 3 do
      q:push(1, number, "NORMAL", true)
      q:push(2, number, "NORMAL", true)
    end
    local order = {}
    for _ = 1, 6 do
      local pipeline, number = q:take()
      assert.is_nil(q:take())
      table.insert(order, pipeline)
      assert.is_number(number)
      q:done(pipeline)
    end
    for index = 3, 6 do assert.equal(order[index - 2], order[index]) end
  end)

  it("lets another one run while one only waits", function()
    local q = queue.new(1)
    q:push(1, 1, "NORMAL", false)
    q:push(1, 2, "NORMAL", false)
    q:push(2, 1, "NORMAL", false)
    q:push(3, 1, "NORMAL", false)
    assert.equal(1, (q:take()))
    do
      local _ <close> = q:park "first"
      local _ <close> = q:park "first" -- it waits for two things
      assert.equal(2, (q:take()))
      assert.is_nil(q:take())
    end
    assert.is_nil(q:take()) -- both run now
    q:done(2)
    assert.is_nil(q:take())
    q:done(1)
    assert.same({ "3#1" }, take_all(q)) -- it has never had a turn
    assert.equal(1, q.running)
  end)
end)

describe("engine.timetable", function()
  it("gives what is due, the earliest first", function()
    local times, dates = timetable.new(), {}
    for number = 1, 500 do
      dates[number] = (number * 7919) % 503 + number / 1000
      times:add(dates[number], number % 3, number)
    end
    table.sort(dates)
    assert.equal(dates[1], times:next())
    for taken = 1, 250 do
      local pipeline, number, due = times:take(dates[250])
      assert.equal(dates[taken], due)
      assert.equal(number % 3, pipeline)
      assert.equal(due, (number * 7919) % 503 + number / 1000)
    end
    assert.is_nil(times:take(dates[250]))
    assert.equal(dates[251], times:next())
    for _ = 251, 500 do assert.is_number(times:take(math.huge)) end
    assert.is_nil(times:take(math.huge))
    assert.is_nil(times:next())
  end)
end)

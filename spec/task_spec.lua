local task = require "host.task"

--- Runs fn as a child and returns its task, having let it reach its first wait.
local function started(fn, ...)
  local child = task.spawn(fn, ...)
  task.yield()
  return child
end

local function forever()
  task.sleep(1e9)
end

describe("host.task", function()
  describe(".spawn", function()
    it("runs the function when the caller waits, and join returns its results", function()
      local ran = false
      local child = task.spawn(function(...)
        ran = true
        return ...
      end, 1, nil, "three")
      assert.is_false(ran)
      assert.same({ n = 3, 1, nil, "three" }, table.pack(child:join()))
      assert.equal("done", child.status)
    end)

    it("hands the child's error to whoever joins it, whole", function()
      local problem = { kind = "x" }
      local child = task.spawn(error, problem)
      local ok, found = pcall(child.join, child)
      assert.is_false(ok)
      assert.equal(problem, found)
      assert.equal("failed", child.status)
    end)

    it("may be joined again, by several", function()
      local child = task.spawn(function()
        task.sleep(0.001)
        return "once"
      end)
      local results = task.all {
        function() return child:join() end,
        function() return child:join() end,
      }
      assert.same({ "once", "once", n = 2 }, results)
      assert.equal("once", child:join())
    end)

    it("makes the error of a child that nobody joined its parent's error", function()
      local parent = task.spawn(function()
        task.spawn(error, "unseen")
      end)
      local ok, problem = pcall(parent.join, parent)
      assert.is_false(ok)
      assert.equal("unseen", problem)
    end)

    it("numbers tasks by their place in the tree", function()
      local paths = {}
      task.spawn(function()
        paths[1] = task.current().path
        task.spawn(function()
          paths[2] = task.current().path
        end):join()
      end):join()
      assert.equal(paths[1], paths[2]:match("^(.*)%.1$"))
    end)

    it("waits at the end for the children", function()
      local done = false
      task.spawn(function()
        task.spawn(function()
          task.sleep(0.005)
          done = true
        end)
      end):join()
      assert.is_true(done)
    end)

    it("cancels the children when it fails, and waits until they have unwound", function()
      local unwound = false
      local parent = task.spawn(function()
        started(function()
          local _ <close> = setmetatable({}, { __close = function()
            task.shield(task.sleep, 0.005)
            unwound = true
          end })
          forever()
        end)
        error("no", 0)
      end)
      assert.has_error(function() parent:join() end, "no")
      assert.is_true(unwound)
    end)
  end)

  describe("join", function()
    it("refuses to wait for oneself or an ancestor", function()
      assert.has_error(function() task.current():join() end,
        "a task cannot join itself or a task that waits for it")
      local self = task.current()
      local child = task.spawn(function() self:join() end)
      assert.has_error(function() child:join() end, "a task cannot join itself or a task that waits for it")
    end)
  end)

  describe("cancel", function()
    it("raises at the wait and passes through pcall", function()
      local after = false
      local child = started(function()
        pcall(forever)
        after = true
      end)
      child:cancel("enough")
      assert.has_error(function() child:join() end, "the task was cancelled: enough")
      assert.is_false(after)
      assert.equal("cancelled", child.status)
    end)

    it("passes through xpcall and its handler, and through coroutines", function()
      local after = false
      local child = started(function()
        xpcall(function()
          coroutine.resume(coroutine.create(function()
            coroutine.wrap(forever)()
          end))
        end, function() return "handled" end)
        after = true
      end)
      child:cancel()
      assert.is_false((pcall(child.join, child)))
      assert.is_false(after)
    end)

    it("reaches a task that has not started", function()
      local ran = false
      local child = task.spawn(function() ran = true end)
      child:cancel()
      assert.is_false((pcall(child.join, child)))
      assert.is_false(ran)
    end)

    it("does nothing to one that has ended", function()
      local child = task.spawn(function() return 1 end)
      child:join()
      child:cancel()
      assert.equal(1, child:join())
    end)

    it("raises at every further wait", function()
      local caught = 0
      local child = started(function()
        local _ <close> = setmetatable({}, { __close = function()
          caught = caught + 1
          task.sleep(0)
          caught = caught + 1
        end })
        forever()
      end)
      child:cancel()
      pcall(child.join, child)
      assert.equal(1, caught)
    end)
  end)

  describe(".shield", function()
    it("holds a cancellation back until it has returned", function()
      local steps = {}
      local child = started(function()
        local got = task.shield(function()
          task.sleep(0.005)
          return "kept"
        end)
        steps[1] = got
        task.sleep(0)
        steps[2] = "not reached"
      end)
      child:cancel()
      pcall(child.join, child)
      assert.same({ "kept" }, steps)
    end)

    it("raises what the function raises", function()
      assert.has_error(function() task.shield(error, "as it is", 0) end, "as it is")
    end)
  end)

  describe("a coroutine of one's own", function()
    it("may wait, and its values arrive in order", function()
      local generator = coroutine.wrap(function()
        for i = 1, 3 do
          task.sleep(0.001)
          coroutine.yield(i)
        end
        return "end"
      end)
      assert.same({ 1, 2, 3, "end" }, { generator(), generator(), generator(), generator() })
    end)

    it("may wait three deep, with yields at each level", function()
      local function nest(depth)
        return coroutine.wrap(function()
          if depth > 0 then
            local inner = nest(depth - 1)
            for _ = 1, 2 do
              coroutine.yield(inner() + 1)
            end
          end
          task.sleep(0)
          coroutine.yield(0)
          task.sleep(0)
          coroutine.yield(0)
        end)
      end
      local outer = nest(2)
      assert.same({ 2, 2 }, { outer(), outer() })
    end)

    it("cannot be resumed by another task while it waits", function()
      local co = coroutine.create(function()
        task.sleep(0.01)
        return "mine"
      end)
      local child = started(function() return select(2, coroutine.resume(co)) end)
      assert.equal("normal", coroutine.status(co))
      assert.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(co) })
      assert.has_error(function() coroutine.close(co) end, "cannot close a normal coroutine")
      assert.equal("mine", child:join())
    end)

    it("keeps Lua's own behaviour when it does not wait", function()
      local co = coroutine.create(function(a)
        local b = coroutine.yield(a + 1)
        error({ b })
      end)
      assert.same({ true, 2 }, { coroutine.resume(co, 1) })
      assert.same({ false, { 5 } }, { coroutine.resume(co, 5) })
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
      assert.equal("dead", coroutine.status(co))
    end)
  end)

  describe("a wait below a C function", function()
    local refused = "cannot wait here: called across a C function, such as table.sort or string.gsub"

    it("raises, also from inside a coroutine", function()
      local ok, problem = pcall(table.sort, { 2, 1 }, function() task.sleep(0) end)
      assert.is_false(ok)
      assert.matches(refused, problem, 1, true)
      ok, problem = pcall(string.gsub, "x", "x", coroutine.wrap(function() task.sleep(0) end))
      assert.is_false(ok)
      assert.matches(refused, problem, 1, true)
    end)
  end)

  describe(".timeout", function()
    it("returns true and the results in time", function()
      assert.same({ true, 1, 2 }, { task.timeout(10, function() return 1, 2 end) })
    end)

    it("cancels the function and returns nil when the time is over", function()
      local results = table.pack(task.timeout(0.005, forever))
      assert.same({ n = 3, nil, "timed out after 0.005 s", "timeout" }, results)
    end)

    it("raises what the function raises", function()
      assert.has_error(function() task.timeout(1, error, "bad", 0) end, "bad")
    end)

    it("can be cancelled from outside", function()
      local child = started(function() task.timeout(1e9, forever) end)
      child:cancel()
      assert.is_false((pcall(child.join, child)))
      assert.equal("cancelled", child.status)
    end)
  end)

  describe(".all", function()
    it("returns the first results in order", function()
      local results = task.all {
        function() task.sleep(0.002) return "a", "x" end,
        function() return nil end,
        function() return "c" end,
      }
      assert.same({ n = 3, "a", nil, "c" }, results)
      assert.same({ n = 0 }, task.all {})
    end)

    it("cancels the others at the first error and raises it", function()
      local unwound = false
      local ok, problem = pcall(task.all, {
        function()
          local _ <close> = setmetatable({}, { __close = function() unwound = true end })
          forever()
        end,
        function() error({ code = 5 }) end,
      })
      assert.same({ false, { code = 5 } }, { ok, problem })
      assert.is_true(unwound)
    end)

    it("refuses what is not a function before anything starts", function()
      local ran = false
      assert.has_error(function()
        task.all { function() ran = true end, 5 }
      end, "item 2 is a number, expected a function")
      task.yield()
      assert.is_false(ran)
    end)
  end)

  describe(".race", function()
    it("returns the first result and its index, and cancels the others", function()
      local child
      assert.same({ "quick", 2 }, { task.race {
        function()
          child = task.current()
          forever()
        end,
        function()
          task.sleep(0.002)
          return "quick"
        end,
      } })
      assert.equal("cancelled", child.status)
    end)
  end)

  describe(".map", function()
    it("keeps the order and never runs more than the limit", function()
      local running, most = 0, 0
      local results = task.map({ 5, 4, 3, 2, 1 }, { limit = 2 }, function(item, index)
        running = running + 1
        most = math.max(most, running)
        task.sleep(item / 1000)
        running = running - 1
        return item * 10 + index
      end)
      assert.same({ n = 5, 51, 42, 33, 24, 15 }, results)
      assert.equal(2, most)
    end)

    it("starts nothing more after an error", function()
      local count = 0
      assert.has_error(function()
        task.map({ 1, 2, 3, 4 }, { limit = 1 }, function(item)
          count = count + 1
          task.yield()
          if item == 2 then
            error("second", 0)
          end
        end)
      end, "second")
      assert.equal(2, count)
    end)

    it("refuses a limit below one", function()
      assert.has_error(function() task.map({}, { limit = 0 }, print) end)
    end)
  end)

  describe(".event", function()
    it("wakes everybody who waits, with the arguments", function()
      local event = task.event()
      local one = started(function() return event:wait() end)
      local two = started(function() return event:wait(10) end)
      event:notify("a", nil, "c")
      assert.same({ n = 4, true, "a", nil, "c" }, table.pack(one:join()))
      assert.same({ n = 4, true, "a", nil, "c" }, table.pack(two:join()))
    end)

    it("gives up after the time, and a later notify is for the next", function()
      local event = task.event()
      assert.is_false(event:wait(0.001))
      event:notify("lost")
      assert.is_false(event:wait(0))
    end)
  end)

  describe(".sleep", function()
    it("wakes in the order of the due times", function()
      local order = {}
      task.map({ 9, 1, 5 }, {}, function(ms)
        task.sleep(ms / 1000)
        order[#order + 1] = ms
      end)
      assert.same({ 1, 5, 9 }, order)
    end)

    it("refuses a negative or missing time", function()
      assert.has_error(function() task.sleep(-1) end)
      assert.has_error(function() task.sleep() end)
    end)
  end)

  it("ends a run in which nothing can ever wake up", function()
    local process = require "host.process"
    local result = assert(process.run {
      command = { "/proc/self/exe", "eval", "require('host.task').event():wait()" },
    })
    assert.equal(1, result.code)
    assert.equal("moonsail: the run cannot go on: every task waits for another one\n", result.stderr)
  end)
end)

local effect = require "host.effect"
local task = require "host.task"

--- Names are defined once a host, and a spec may run twice in one.
local count = 0
local function fresh()
  count = count + 1
  return ("spec.%s.%d"):format(tostring(task.monotonic()), count)
end

describe("host.effect", function()
  after_each(function()
    effect.observe(nil)
    effect.refuse(nil)
  end)

  describe(".define", function()
    it("returns a function that performs the effect, whatever it takes and returns", function()
      local double = effect.define(fresh(), { write = false }, function(...) return select("#", ...), ... end)
      assert.same({ n = 4, 3, 1, nil, 3 }, table.pack(double(1, nil, 3)))
    end)

    it("lets the performing function wait", function()
      local slow = effect.define(fresh(), { write = false }, function(value)
        task.sleep(0.001)
        return value
      end)
      assert.equal("x", slow "x")
    end)

    it("hands an error on as it is", function()
      local problem = {}
      local fail = effect.define(fresh(), { write = true }, function() error(problem) end)
      local ok, found = pcall(fail)
      assert.is_false(ok)
      assert.equal(problem, found)
    end)

    it("refuses a second effect of one name, and a definition that does not say whether it writes", function()
      local name = fresh()
      effect.define(name, { write = false }, print)
      assert.error_matches(function() effect.define(name, { write = false }, print) end, "is defined already")
      assert.error_matches(function() effect.define(fresh(), {}, print) end, "boolean field 'write'")
    end)
  end)

  describe(".observe", function()
    it("tells of each crossing, with its place, its step and how it went", function()
      local seen = {}
      local name = fresh()
      local act = effect.define(name, { write = true }, function(fine)
        task.sleep(0.002)
        if not fine then error "bad" end
        return "result"
      end)
      effect.observe(function(crossing) seen[#seen + 1] = crossing end)
      local path
      task.spawn(function()
        path = task.current().path
        assert.equal("result", act(true))
        pcall(act, false)
      end):join()
      effect.observe(nil)
      act(true)
      assert.equal(2, #seen)
      assert.same({ name, true, path, 1, true },
        { seen[1].name, seen[1].write, seen[1].path, seen[1].step, seen[1].ok })
      assert.same({ 2, false }, { seen[2].step, seen[2].ok })
      assert.is_true(seen[1].seconds >= 0.002)
    end)
  end)

  describe(".refuse", function()
    it("raises instead of performing, until it is taken back", function()
      local performed = 0
      local act = effect.define(fresh(), { write = true }, function() performed = performed + 1 end)
      local problem = { "refused" }
      effect.refuse(problem)
      local ok, found = pcall(act)
      effect.refuse(nil)
      assert.is_false(ok)
      assert.equal(problem, found)
      assert.equal(0, performed)
      act()
      assert.equal(1, performed)
    end)
  end)
end)

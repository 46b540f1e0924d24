local hour = require "spec.fault.hour"
local task = require "host.task"

--- A few minutes of the hour that spec/fault/hour.lua runs whole.
describe("releases against an engine that fails 30 % of its answers", function()
  local clock

  before_each(function() clock = task.simulate() end)
  after_each(function() clock:close() end)

  local function holds(options)
    local problems, figures = hour.run(options)
    assert.same({}, problems)
    assert.is_true(figures.ways >= 12, figures.ways)
    assert.near(0.3, figures.spoiled / figures.requests, 0.1)
    assert.is_true(figures.releases > 10 and figures.lines > 1000 and figures.uncertain > 0)
  end

  it("have the engine's own verdicts, each line of their logs once, and no request beyond the rate limit", function()
    holds { minutes = 2, seed = 3, sessions = 1 }
  end)

  it("share that limit between two processes", function()
    holds { minutes = 2, seed = 4, sessions = 2, rate_limit = 200 }
  end)
end)

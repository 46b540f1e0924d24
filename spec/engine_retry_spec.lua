local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

-- Each attempt adds a line to a file; the action succeeds once there are so many.
local function attempts(enough)
  return ("echo x >> $BUDDY_RUN_ID; [ $(wc -l < $BUDDY_RUN_ID) -ge %d ]"):format(enough)
end

local BUDDY = ([==[
- pipeline: third
  actions:
  - { action: Try, type: BUILD, retry_count: 3, execute_commands: ["%s"] }
- pipeline: never
  actions:
  - { action: Try, type: BUILD, retry_count: 1, execute_commands: ["exit 7"] }
  - { action: Next, type: SLEEP, sleep_in_sec: 0 }
- pipeline: patient
  actions:
  - { action: Try, type: BUILD, retry_count: 1, retry_interval: 600, execute_commands: ["exit 7"] }
]==]):format(attempts(3))

local function notes(log)
  local found = {}
  for _, line in ipairs(log) do
    if line:find "^Attempt" then table.insert(found, line) end
  end
  return found
end

describe("engine, an action that may be tried again", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY }
    e = support.start(repo, { kill_after = 0.2 })
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  it("succeeds with the first attempt that does", function()
    local done = e:finished(e:run "third")
    assert.equal("SUCCESSFUL", done.status)
    assert.same({ "Attempt 1 of 4 failed: exit status 1", "Attempt 2 of 4", "Attempt 2 of 4 failed: exit status 1",
      "Attempt 3 of 4" }, notes(e:log(done, "Try")))
  end)

  it("fails when all attempts do", function()
    local done = e:finished(e:run "never")
    assert.equal("FAILED", done.status)
    assert.equal("NOT_EXECUTED", e:action(done, "Next").status)
    assert.same({ "Attempt 1 of 2 failed: exit status 7", "Attempt 2 of 2" }, notes(e:log(done, "Try")))
    assert.equal("exit status 7", e:action(done, "Try").error_message)
  end)

  it("ends at once when it is cancelled between two attempts", function()
    local execution = e:run "patient"
    e:eventually(function()
      local now = e:again(execution)
      return now.status == "INPROGRESS" and #notes(e:log(now, "Try")) == 1
    end)
    e:call("PATCH", e:path(execution), { operation = "CANCEL" })
    local done = e:finished(execution)
    assert.equal("TERMINATED", done.status)
    assert.equal("TERMINATED", e:action(done, "Try").status)
    assert.same({ "Attempt 1 of 2 failed: exit status 7" }, notes(e:log(done, "Try")))
  end)

  it("waits as long between two attempts as it says", function()
    local clock <close> = task.simulate() -- luacheck: ignore 211
    local began = task.monotonic()
    local execution = e:run "patient"
    assert(task.timeout(1200, e.engine.drain, e.engine))
    assert.equal("FAILED", e:again(execution).status)
    assert.is_true(task.monotonic() - began >= 600)
  end)
end)

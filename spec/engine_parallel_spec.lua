local plan = require "moonsail.engine.plan"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

-- An action that `meets` waits, for a while, until the other one runs, too: they must be side by side to succeed.
local function meets(me, other)
  return ("touch %s; for i in $(seq 400); do [ -e %s ] && exit 0; sleep 0.02; done; exit 1"):format(me, other)
end

local function build(name, command, keys)
  return ("  - action: %s\n    type: BUILD\n    execute_commands: [%q]\n%s"):format(name, command, keys or "")
end

local SOFT, HARD = "    run_next: IN_SOFT_PARALLEL\n", "    run_next: IN_HARD_PARALLEL\n"
local OLD = "    run_next_parallel: true\n"

local BUDDY = table.concat {
  "- pipeline: pair\n  always_from_scratch: true\n  actions:\n",
  build("A", meets("a", "b"), SOFT), build("B", meets("b", "c"), HARD), build("C", meets("c", "d"), OLD),
  build("D", meets("d", "a")), build("After", "ls"),
  "- pipeline: broken\n  always_from_scratch: true\n  actions:\n",
  build("Bad", "exit 1", SOFT), build("Good", "sleep 0.1; echo to the end"), build("After", "ls"),
  "- pipeline: ignored\n  actions:\n",
  build("Bad", "exit 1", SOFT .. "    ignore_errors: true\n"), build("Good", "true"), build("After", "true"),
  "- pipeline: cancelled\n  actions:\n",
  build("A", "echo up; sleep 30", SOFT), build("B", "echo up; sleep 30"), build("After", "true"),
}

local function statuses(execution)
  local list = {}
  for index, item in ipairs(execution.action_executions) do list[index] = item.status end
  return table.concat(list, " ")
end

describe("engine", function()
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

  describe("actions in parallel", function()
    it("run side by side in one checkout, and the next one waits for all", function()
      local done = e:finished(e:run "pair")
      assert.equal("SUCCESSFUL SUCCESSFUL SUCCESSFUL SUCCESSFUL SUCCESSFUL", statuses(done))
      local after = e:action(done, "After").start_date
      for _, name in ipairs { "A", "B", "C", "D" } do
        assert.is_true(e:action(done, name).finish_date <= after)
      end
      assert.truthy(table.concat(e:log(done, "After"), " "):find "a b buddy.yml c d")
    end)

    it("all come to their end when one fails, and the next one does not run", function()
      local done = e:finished(e:run "broken")
      assert.equal("FAILED", done.status)
      assert.equal("FAILED SUCCESSFUL NOT_EXECUTED", statuses(done))
    end)

    it("go on when the failure of one is ignored", function()
      local done = e:finished(e:run "ignored")
      assert.equal("SUCCESSFUL", done.status)
      assert.equal("FAILED SUCCESSFUL SUCCESSFUL", statuses(done))
    end)

    it("all end when the execution is cancelled", function()
      local execution = e:run "cancelled"
      e:eventually(function()
        local now = e:again(execution)
        return now.status == "INPROGRESS" and #e:log(now, "A") > 2 and #e:log(now, "B") > 2
      end)
      e:call("PATCH", e:path(execution), { operation = "CANCEL" })
      assert.equal("TERMINATED TERMINATED NOT_EXECUTED", statuses(e:finished(execution)))
    end)

    it("run alone when the others are not chosen", function()
      local actions = e:again(e:run("ignored", { comment = "for its ids" })).action_executions
      e:finished(e:run("ignored", { actions_to_run = { actions[2].action.id } }))
      local done = e:finished(e:run("ignored", { actions_to_run = { actions[1].action.id, actions[3].action.id } }))
      assert.equal("FAILED NOT_EXECUTED SUCCESSFUL", statuses(done))
    end)
  end)
end)

describe("engine.plan", function()
  it("groups what runs side by side within a trigger time", function()
    local function action(run_next, time)
      return { run_next = run_next or "WAIT_ON_SUCCESS", trigger_time = time or "ON_EVERY_EXECUTION" }
    end
    local pipeline = { actions = {
      action "IN_SOFT_PARALLEL", action(), action(nil, "ON_FAILURE"), action "IN_HARD_PARALLEL",
      action("IN_SOFT_PARALLEL", "ON_FAILURE"), action(), action(nil, "ON_FAILURE"), action "IN_SOFT_PARALLEL",
    } }
    assert.same({ { 1, 2 }, { 4, 6 }, { 8 } }, plan.groups(pipeline, "ON_EVERY_EXECUTION"))
    assert.same({ { 3 }, { 5, 7 } }, plan.groups(pipeline, "ON_FAILURE"))
    assert.same({}, plan.groups(pipeline, "ON_SUCCESS"))
  end)
end)

describe("engine, stopped while actions ran in parallel", function()
  it("ends all of them when it starts again", function()
    local repo <close> = repository.new()
    local folder <close> = repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
    local execution
    do
      local first <close> = support.start(repo, { state = folder.path, kill_after = 0.2 })
      execution = first:run "cancelled"
      first:eventually(function()
        local now = first:again(execution)
        return now.status == "INPROGRESS" and #first:log(now, "A") > 2 and #first:log(now, "B") > 2
      end)
    end
    local second <close> = support.start(repo, { state = folder.path })
    local done = second:finished(execution)
    assert.equal("FAILED", done.status)
    assert.equal("FAILED FAILED NOT_EXECUTED", statuses(done))
    local log = second:log(done, "B")
    assert.equal("The engine stopped while this execution ran", log[#log])
  end)
end)

local json = require "host.json"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [==[
- pipeline: times
  actions:
  - action: Soft
    type: BUILD
    ignore_errors: true
    execute_commands: ["exit ${SOFT:-0}"]
  - action: Base
    type: BUILD
    execute_commands: ["echo up; sleep ${NAP:-0}", "exit ${CODE:-0}"]
  - action: Success
    type: SLEEP
    sleep_in_sec: 0
    trigger_time: ON_SUCCESS
  - action: Back
    type: SLEEP
    sleep_in_sec: 0
    trigger_time: ON_BACK_TO_SUCCESS
  - action: Failure
    type: BUILD
    trigger_time: ON_FAILURE
    execute_commands: ["echo \"failed: $BUDDY_FAILED_ACTION_NAME\""]
  - action: First failure
    type: SLEEP
    sleep_in_sec: 0
    trigger_time: ON_FAILURE
    run_only_on_first_failure: true
  - action: Warning
    type: BUILD
    trigger_time: ON_WARNING
    execute_commands: ["echo \"warned of: $BUDDY_FAILED_ACTION_NAME\""]
  - action: Terminate
    type: BUILD
    trigger_time: ON_TERMINATE
    execute_commands: ["sleep 0.1", "echo cleaned up"]
  - action: Approve
    type: SLEEP
    sleep_in_sec: 0
    trigger_time: ON_WAIT_FOR_APPROVE
- pipeline: after
  actions:
  - { action: Base, type: SLEEP, sleep_in_sec: 0 }
  - { action: Broken, type: BUILD, trigger_time: ON_SUCCESS, execute_commands: ["exit 1"] }
  - { action: Next, type: SLEEP, trigger_time: ON_SUCCESS, sleep_in_sec: 0 }
  - { action: Failure, type: SLEEP, trigger_time: ON_FAILURE, sleep_in_sec: 0 }
- pipeline: conditions
  variables:
  - { key: WHERE, value: here }
  actions:
  - action: Here
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: VAR_IS, trigger_variable_key: WHERE, trigger_variable_value: here }
  - action: There
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: ALWAYS }
    - { trigger_condition: VAR_IS, trigger_variable_key: WHERE, trigger_variable_value: there }
  - action: Skipped before
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: ACTION_STATUS_IS, trigger_action_name: There, trigger_status: SKIPPED }
  - action: On main
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: VAR_IS, trigger_variable_key: BUDDY_RUN_BRANCH, trigger_variable_value: main }
  - action: Docs
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: ON_CHANGE_AT_PATH, trigger_condition_paths: [/docs] }
  - action: After success
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions:
    - { trigger_condition: SUCCESS_PIPELINE, trigger_pipeline_name: gated }
- pipeline: gated
  trigger_conditions:
  - { trigger_condition: VAR_IS, trigger_variable_key: GATE, trigger_variable_value: open }
  actions:
  - { action: One, type: SLEEP, sleep_in_sec: 0 }
  - { action: Two, type: SLEEP, sleep_in_sec: 0 }
- pipeline: hours
  actions:
  - action: Morning
    type: SLEEP
    sleep_in_sec: 900
    trigger_conditions: [{ trigger_condition: HOUR, trigger_hours: [9], timezone: UTC }]
  - action: Again
    type: SLEEP
    sleep_in_sec: 900
    trigger_conditions: [{ trigger_condition: HOUR, trigger_hours: [9] }]
  - action: Later
    type: SLEEP
    sleep_in_sec: 0
    trigger_conditions: [{ trigger_condition: DATETIME, trigger_days: [2], trigger_hours: [10] }]
- pipeline: titled
  execution_message_template: "$BUDDY_PIPELINE_NAME of ${BUDDY_RUN_BRANCH} for $WHO, $NOBODY"
  variables: [{ key: WHO, value: you }]
  actions:
  - { action: Any, type: SLEEP, sleep_in_sec: 0 }
]==]

local LETTERS = { SUCCESSFUL = "S", FAILED = "F", TERMINATED = "T", SKIPPED = "-", NOT_EXECUTED = "." }

local function letters(execution)
  local list = {}
  for index, item in ipairs(execution.action_executions) do list[index] = LETTERS[item.status] end
  return table.concat(list)
end

local function variables(values)
  local list = {}
  for key, value in pairs(values) do table.insert(list, { key = key, value = value }) end
  return { variables = #list > 0 and list or nil }
end

describe("engine", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY, ["docs/a.md"] = "a" }
    e = support.start(repo, { kill_after = 0.2 })
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  describe("trigger times", function()
    -- Soft Base Success Back Failure First-failure Warning Terminate Approve; one execution after the other.
    for _, case in ipairs {
      { "a success", {}, "SUCCESSFUL", "SSS......" },
      { "a failure", { CODE = "3" }, "FAILED", "SF..SS..." },
      { "one more failure", { CODE = "3" }, "FAILED", "SF..S-..." },
      { "a success after it", {}, "SUCCESSFUL", "SSSS....." },
      { "an ignored failure", { SOFT = "1" }, "SUCCESSFUL", "FSS...S.." },
      { "an ignored failure and another one", { SOFT = "1", CODE = "1" }, "FAILED", "FF..SSS.." },
    } do
      it("after " .. case[1], function()
        local done = e:finished(e:run("times", variables(case[2])))
        assert.equal(case[3], done.status)
        assert.equal(case[4], letters(done))
      end)
    end

    it("after a cancellation, undisturbed by it", function()
      local execution = e:run("times", variables { NAP = "30" })
      e:eventually(function()
        local now = e:again(execution)
        return now.status == "INPROGRESS" and e:log(now, "Base")[3] == "up"
      end)
      e:call("PATCH", e:path(execution), { operation = "CANCEL" })
      local done = e:finished(execution)
      assert.equal("TERMINATED", done.status)
      assert.equal("ST.....S.", letters(done))
      assert.truthy(table.concat(e:log(done, "Terminate"), "\n"):find "\ncleaned up\n")
    end)

    it("tell of the failure that they are about", function()
      local done = e:finished(e:run("times", variables { SOFT = "1" }))
      assert.truthy(table.concat(e:log(done, "Warning"), "\n"):find "\nwarned of: Soft\n")
      done = e:finished(e:run("times", variables { SOFT = "1", CODE = "1" }))
      assert.truthy(table.concat(e:log(done, "Failure"), "\n"):find "\nfailed: Base\n")
    end)

    it("an action that fails after a success makes the execution fail, and its phase ends", function()
      local done = e:finished(e:run "after")
      assert.equal("FAILED", done.status)
      assert.equal("SF..", letters(done))
    end)

    it("says why an action is skipped on another failure", function()
      e:finished(e:run("times", variables { CODE = "1" }))
      local done = e:finished(e:run("times", variables { CODE = "1" }))
      assert.same({ "Action skipped: the execution before failed, too" }, e:log(done, "First failure"))
    end)
  end)

  describe("trigger conditions", function()
    it("skip an action that they do not hold for, and say so", function()
      local done = e:finished(e:run "conditions")
      assert.equal("SUCCESSFUL", done.status)
      assert.equal("S-SSS-", letters(done))
      assert.same({ "Action skipped: trigger conditions were not met: VAR_IS trigger_variable_key=WHERE "
        .. "trigger_variable_value=there" }, e:log(done, "There"))
      assert.equal(json.null, e:action(done, "There").start_date)
    end)

    it("see the request's variables, and what has changed since the execution before", function()
      local done = e:finished(e:run("conditions", variables { WHERE = "there" }))
      assert.equal("-S-S--", letters(done))
      repo:commit { ["docs/a.md"] = "b" }
      assert.equal("S-SSS-", letters(e:finished(e:run "conditions")))
      assert.equal("S-SS--", letters(e:finished(e:run "conditions")))
      assert.equal("S-SSS-", letters(e:finished(e:run("conditions", { refresh = true }))))
    end)

    it("about the time go by the clock that the engine lives by", function()
      local tuesday = 1893490200 -- 2030-01-01T09:30:00Z
      local clock <close> = task.simulate(tuesday) -- luacheck: ignore 211
      local execution = e:run "hours"
      assert(task.timeout(7200, e.engine.drain, e.engine))
      assert.equal("SSS", letters(e:again(execution)))
      execution = e:run "hours"
      assert(task.timeout(7200, e.engine.drain, e.engine))
      assert.equal("--S", letters(e:again(execution)))
    end)

    it("of a pipeline skip the execution", function()
      local done = e:finished(e:run "gated")
      assert.equal("SKIPPED", done.status)
      assert.equal("--", letters(done))
      assert.same({ "Execution skipped: trigger conditions were not met: VAR_IS trigger_variable_key=GATE "
        .. "trigger_variable_value=open" }, e:log(done, "One"))
      assert.equal("SUCCESSFUL", e:finished(e:run("gated", variables { GATE = "open" })).status)
      assert.equal("S-SS-S", letters(e:finished(e:run "conditions")))
    end)
  end)

  it("gives an execution without a comment the pipeline's", function()
    assert.equal("titled of main for you, $NOBODY", e:finished(e:run "titled").comment)
    assert.equal("mine", e:finished(e:run("titled", { comment = "mine" })).comment)
  end)
end)

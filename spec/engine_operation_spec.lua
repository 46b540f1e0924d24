local date = require "moonsail.engine.date"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [[
- pipeline: quick
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
- pipeline: second_try
  variables: [ { key: OF_PIPELINE, value: p } ]
  actions:
  - { action: First, type: SLEEP, sleep_in_sec: 0 }
  - action: Work
    type: BUILD
    execute_commands:
    - 'echo "$GIVEN $SECRET"'
    - '[ -e "again-$BUDDY_RUN_ID" ] || { touch "again-$BUDDY_RUN_ID"; exit 1; }'
- pipeline: slow
  actions: [ { action: Sleep, type: SLEEP, sleep_in_sec: 600 } ]
- pipeline: lingers
  actions:
  - { action: Sleep, type: SLEEP, sleep_in_sec: 600 }
  - { action: Clean, type: SLEEP, sleep_in_sec: 600, trigger_time: ON_TERMINATE }
- pipeline: approve
  actions: [ { action: Ask, type: WAIT_FOR_APPLY } ]
- pipeline: ask
  actions: [ { action: Ask, type: WAIT_FOR_VARIABLES, variables: [ { key: REGION } ] } ]
- pipeline: set
  variables: [ { key: LEVEL, value: "1", settable: true } ]
  actions: [ { action: Ask, type: SET_VARIABLES, variables: [ { key: LEVEL } ] } ]
- pipeline: never
  trigger_conditions: [ { trigger_condition: VAR_IS, trigger_variable_key: NO, trigger_variable_value: "yes" } ]
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
]]

local OPERATIONS = { "CANCEL", "RETRY", "APPLY", "APPLY_VARIABLES", "SET_VARIABLES", "RUN_DELAYED" }

-- How to get there, the status there, and what is possible there.
local STATES = {
  { "queued behind another", "slow", "ENQUEUED", { "CANCEL" } },
  { "delayed", "quick", "ENQUEUED", { "CANCEL", "RUN_DELAYED" }, { delay_until = "2999-01-01T00:00:00Z" } },
  { "running", "slow", "INPROGRESS", { "CANCEL" } },
  { "being cancelled", "lingers", "TERMINATING", {} },
  { "waiting for approval", "approve", "WAITING_FOR_APPLY", { "CANCEL", "APPLY" } },
  { "waiting for variables", "ask", "WAITING_FOR_VARIABLES", { "CANCEL", "APPLY_VARIABLES" } },
  { "waiting for settable ones", "set", "WAITING_FOR_SETTABLE_VARIABLES", { "CANCEL", "SET_VARIABLES" } },
  { "successful", "quick", "SUCCESSFUL", {} },
  { "failed", "second_try", "FAILED", { "RETRY" } },
  { "cancelled", "quick", "TERMINATED", { "RETRY" } },
  { "skipped", "never", "SKIPPED", {} },
}

-- A body that every operation can do with.
local function body_of(operation)
  return { operation = operation, variables = operation == "APPLY_VARIABLES" and { { key = "REGION", value = "eu" } }
    or operation == "SET_VARIABLES" and { { key = "LEVEL", value = "2" } } or nil }
end

describe("engine operation", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY }
  end)

  teardown(function() repo:close() end)

  before_each(function() e = support.start(repo, { kill_after = 0.1 }) end)
  after_each(function() e:close() end)

  local function change(execution, body)
    local status, answer, response = e:call("PATCH", e:path(execution), type(body) == "string" and
      { operation = body } or body)
    if status ~= 200 then error(response.body, 2) end
    return answer
  end

  local function reach(name, pipeline, status, fields)
    if status == "ENQUEUED" and not fields then e:until_status(e:run(pipeline), "INPROGRESS") end
    local execution = e:run(pipeline, fields or status == "TERMINATED" and { delay_until = "2999-01-01T00:00:00Z" })
    if status == "TERMINATED" then change(execution, "CANCEL") end
    if status == "TERMINATING" then change(e:until_status(execution, "INPROGRESS"), "CANCEL") end
    return e:until_status(execution, status), name
  end

  for _, state in ipairs(STATES) do
    local name, pipeline, status, possible, fields = table.unpack(state)
    local known = {}
    for _, operation in ipairs(possible) do known[operation] = true end

    it(("is refused for an execution that is %s, unless it can do something"):format(name), function()
      local execution = reach(name, pipeline, status, fields)
      for _, operation in ipairs(OPERATIONS) do
        if not known[operation] then
          assert.equal(("operation: %s is not possible: execution %d is %s; possible now: %s"):format(operation,
            execution.id, status, #possible > 0 and table.concat(possible, ", ") or "nothing"),
            e:refusal(400, "PATCH", e:path(execution), body_of(operation)))
        end
      end
      assert.equal(status, e:again(execution).status)
    end)

    for _, operation in ipairs(possible) do
      it(("%s does something for an execution that is %s"):format(operation, name), function()
        local execution = reach(name, pipeline, status, fields)
        local answer = change(execution, body_of(operation))
        assert.not_equal(status == "ENQUEUED" and operation == "RUN_DELAYED" and "" or status, answer.status)
        assert.equal(execution.id, answer.id)
        local ends = operation == "CANCEL" and "TERMINATED" or "SUCCESSFUL"
        if status ~= "TERMINATING" then assert.equal(ends, e:until_status(execution, ends).status) end
      end)
    end
  end

  it("tells every fault of its body in one answer", function()
    local path = e:path(e:run("quick", { delay_until = "2999-01-01T00:00:00Z" }))
    local message = e:refusal(400, "PATCH", path, { operation = "CANCLE", approve_action_id = "7",
      variables = { { key = "A" }, { key = "B", value = {} } } })
    assert.matches('operation: found "CANCLE", expected CANCEL, RETRY', message, 1, true)
    assert.matches('did you mean "CANCEL"?', message, 1, true)
    assert.matches("approve_action_id: expected the id of an action", message, 1, true)
    assert.matches("variables[1].value", message, 1, true)
    assert.matches("variables[2].value", message, 1, true)
    assert.matches("operation: found nothing", e:refusal(400, "PATCH", path, {}))
    assert.matches("operation: found number", e:refusal(400, "PATCH", path, { operation = 1 }))
    assert.matches("must be a JSON object", e:refusal(400, "PATCH", path, "[]"))
    assert.matches("not JSON", e:refusal(400, "PATCH", path, "{"))
    e:refusal(404, "PATCH", path .. "9", { operation = "CANCEL" })
  end)

  describe("RETRY", function()
    it("runs the execution again from the start, with its variables, and its logs begin anew", function()
      local given = { { key = "GIVEN", value = "mine" }, { key = "SECRET", value = "needle-7", encrypted = true } }
      local failed = e:finished(e:run("second_try", { variables = given, comment = "kept", priority = "HIGH" }))
      assert.equal("FAILED", failed.status)
      local queued = change(failed, "RETRY")
      assert.equal("ENQUEUED", queued.status)
      local done = e:finished(failed)
      assert.equal("SUCCESSFUL", done.status)
      assert.same({ failed.id, "kept", "HIGH" }, { done.id, done.comment, done.priority })
      assert.equal("mine ••••", e:log(done, "Work")[3])
      local before, now = e:action(failed, "Work"), e:action(done, "Work")
      assert.not_equal(before.action_execution_id, now.action_execution_id)
      e:refusal(404, "GET", e:path(before))
      assert.equal("SUCCESSFUL", e:action(done, "First").status)
    end)

    it("can be asked for again and again", function()
      local first = e:until_status(e:run "slow", "INPROGRESS")
      local execution = e:run "slow"
      for _ = 1, 20 do
        change(execution, "CANCEL")
        change(execution, "RETRY")
      end
      change(first, "CANCEL")
      e:until_status(execution, "INPROGRESS")
      change(execution, "CANCEL")
      assert.equal("TERMINATED", e:finished(execution).status)
      assert.equal(0, e.engine:busy())
    end)
  end)

  describe("RUN_DELAYED", function()
    it("starts the execution at once, and only once", function()
      local execution = e:run("quick", { delay_until = date.format(task.now() + 0.4) })
      change(execution, "RUN_DELAYED")
      local done = e:finished(execution)
      e:eventually(function() return e.engine.inside.dispatcher.delayed:next() == nil end)
      assert.equal(done.finish_date, e:again(execution).finish_date)
    end)
  end)

  it("lets delayed executions run in the order of their times", function()
    local now, order = task.now(), {}
    for _, place in ipairs { 3, 1, 2 } do
      order[place] = e:run("quick", { delay_until = date.format(now + 0.2 + place / 10) })
    end
    for place = 1, 3 do order[place] = e:until_status(order[place], "SUCCESSFUL") end
    assert.is_true(order[1].start_date < order[2].start_date and order[2].start_date < order[3].start_date)
  end)
end)

local json = require "host.json"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [[
- pipeline: approve
  actions:
  - { action: Ask, type: WAIT_FOR_APPLY, comment: "Ship $BUDDY_RUN_COMMENT?" }
  - { action: Tell, type: BUILD, execute_commands: [ 'echo "$BUDDY_APPROVING_ACTOR_ID $BUDDY_APPROVING_ACTOR_NAME"' ] }
  - { action: Notify, type: BUILD, execute_commands: [ "echo come" ], trigger_time: ON_WAIT_FOR_APPROVE }
- pipeline: ask
  actions:
  - action: Ask
    type: WAIT_FOR_VARIABLES
    variables:
    - { key: REGION, defaults: "eu\nus" }
    - { key: COUNT, defaults: "3" }
    - { key: PASSWORD, encrypted: true }
    - { key: KIND, init_path: kinds.txt }
  - action: Use
    type: BUILD
    execute_commands: [ 'echo "$REGION $COUNT $KIND $PASSWORD"' ]
- pipeline: pipe
  actions:
  - { action: Make, type: BUILD, execute_commands: [ "mkfifo -m 600 pipe" ] }
  - { action: Ask, type: WAIT_FOR_VARIABLES, variables: [ { key: KIND, init_path: pipe } ] }
- pipeline: link
  actions:
  - { action: Make, type: BUILD, execute_commands: [ "ln -s ../../token token" ] }
  - { action: Ask, type: WAIT_FOR_VARIABLES, variables: [ { key: KIND, init_path: token } ] }
- pipeline: set
  variables: [ { key: LEVEL, value: "1", settable: true }, { key: FIXED, value: x } ]
  actions:
  - { action: Ask, type: SET_VARIABLES, variables: [ { key: LEVEL } ] }
  - { action: Use, type: BUILD, execute_commands: [ 'echo "$LEVEL"' ] }
- pipeline: set_fixed
  variables: [ { key: FIXED, value: x } ]
  actions: [ { action: Ask, type: SET_VARIABLES, variables: [ { key: FIXED } ] } ]
- pipeline: parallel
  actions:
  - { action: One, type: WAIT_FOR_APPLY, run_next: IN_SOFT_PARALLEL }
  - { action: Values, type: WAIT_FOR_VARIABLES, variables: [ { key: A } ], run_next: IN_SOFT_PARALLEL }
  - { action: Two, type: WAIT_FOR_APPLY }
- pipeline: meanwhile
  actions:
  - { action: Ask, type: WAIT_FOR_VARIABLES, variables: [ { key: PASSWORD, encrypted: true } ],
      run_next: IN_SOFT_PARALLEL }
  - { action: Try, type: BUILD, retry_count: 1000, execute_commands: [ 'sleep 0.05; test "$PASSWORD"',
      'echo "it is $PASSWORD"' ] }
- pipeline: hurry
  actions: [ { action: Ask, type: WAIT_FOR_APPLY, timeout: 1 } ]
- pipeline: quick
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
]]

local GIVEN = { { key = "REGION", value = "us" }, { key = "PASSWORD", value = "needle-1" },
  { key = "KIND", value = "big" } }

describe("engine approval", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY, ["kinds.txt"] = "small\nbig\n" }
    e = support.start(repo, { kill_after = 0.1, concurrency = 1 })
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  local function change(execution, operation, fields)
    local body = { operation = operation }
    for name, value in pairs(fields or {}) do body[name] = value end
    local status, answer, response = e:call("PATCH", e:path(execution), body)
    if status ~= 200 then error(response.body, 2) end
    return answer
  end

  local function refused(execution, operation, fields)
    local body = { operation = operation }
    for name, value in pairs(fields or {}) do body[name] = value end
    return e:refusal(400, "PATCH", e:path(execution), body)
  end

  local function waiting(pipeline, status, fields)
    return e:until_status(e:run(pipeline, fields), status)
  end

  describe("WAIT_FOR_APPLY", function()
    it("waits until somebody approves, and says who did", function()
      local asked = waiting("approve", "WAITING_FOR_APPLY", { comment = "it" })
      assert.equal("WAITING_FOR_APPLY", e:action(asked, "Ask").status)
      assert.equal("WAITING_FOR_APPLY", asked.pipeline.last_execution_status)
      assert.equal(json.null, e:action(asked, "Ask").approver_id)
      assert.equal(json.null, asked.finish_date)
      assert.equal("INPROGRESS", change(asked, "APPLY").status)
      local done = e:finished(asked)
      assert.equal("SUCCESSFUL", done.status)
      local ask = e:action(done, "Ask")
      assert.equal(done.creator.id, ask.approver_id)
      assert.matches("^%d+%-%d+%-%d+T", ask.approval_date)
      assert.same({ key = "BUDDY_APPROVING_ACTOR_ID", value = tostring(done.creator.id) }, ask.outputted_variables[1])
      assert.equal("BUDDY_APPROVING_ACTOR_NAME", ask.outputted_variables[2].key)
      assert.equal(("%d %s"):format(done.creator.id, done.creator.name), e:log(done, "Tell")[3])
      assert.same({ "Ship it?", "Waiting for APPLY", "APPLY by " .. done.creator.name }, e:log(done, "Ask"))
    end)

    it("tells others while it waits, once", function()
      local asked = waiting("approve", "WAITING_FOR_APPLY")
      e:eventually(function() return e:action(e:again(asked), "Notify").status == "SUCCESSFUL" end)
      assert.equal("WAITING_FOR_APPLY", e:again(asked).status)
      change(asked, "APPLY")
      assert.equal("SUCCESSFUL", e:action(e:finished(asked), "Notify").status)
    end)

    it("fails when nobody approves in time", function()
      local done = e:finished(waiting("hurry", "WAITING_FOR_APPLY"))
      assert.equal("FAILED", done.status)
      assert.equal("nobody answered within 1 s", e:action(done, "Ask").error_message)
    end)

    it("ends with the execution when that is cancelled", function()
      local asked = waiting("approve", "WAITING_FOR_APPLY")
      assert.equal("TERMINATING", change(asked, "CANCEL").status)
      local done = e:finished(asked)
      assert.equal("TERMINATED", done.status)
      local ask = e:action(done, "Ask")
      assert.equal("TERMINATED", ask.status)
      assert.equal(done.creator.id, ask.terminator_id)
      assert.equal("string", type(ask.termination_date))
      assert.equal(json.null, ask.approver_id)
      assert.equal("NOT_EXECUTED", e:action(done, "Tell").status)
    end)

    it("leaves its place to others while it waits", function()
      local asked = waiting("approve", "WAITING_FOR_APPLY")
      e:until_status(e:run "quick", "SUCCESSFUL")
      change(asked, "APPLY")
      e:finished(asked)
      assert.equal(0, e.engine.inside.dispatcher.queue.running)
    end)
  end)

  describe("WAIT_FOR_VARIABLES", function()
    it("shows what it is going to ask for", function()
      local pipeline = e:executions "ask":gsub("/executions$", "")
      local action = e:get(pipeline .. "/actions").actions[1]
      local asked = e:get(e:path(action)).variables
      assert.same({ "REGION", "eu\nus" }, { asked[1].key, asked[1].defaults })
      assert.same({ "PASSWORD", true, json.null }, { asked[3].key, asked[3].encrypted, asked[3].value })
    end)

    it("hands values to the actions that follow", function()
      local asked = waiting("ask", "WAITING_FOR_VARIABLES")
      change(asked, "APPLY_VARIABLES", { variables = GIVEN })
      local done = e:finished(asked)
      assert.equal("us 3 big ••••", e:log(done, "Use")[3])
      assert.same({ { key = "REGION", value = "us" }, { key = "COUNT", value = "3" },
        { key = "PASSWORD", value = "••••" }, { key = "KIND", value = "big" } }, e:action(done, "Ask").passed_variables)
      assert.same({ "REGION=us", "COUNT=3", "PASSWORD=••••", "KIND=big" }, table.move(e:log(done, "Ask"), 3, 6, 1, {}))
    end)

    it("refuses values that are missing, not asked for or not to be chosen, all at once", function()
      local asked = waiting("ask", "WAITING_FOR_VARIABLES")
      local message = refused(asked, "APPLY_VARIABLES", { variables = { { key = "REGION", value = "mars" },
        { key = "OTHER", value = "x" }, { key = "KIND", value = "big" } } })
      assert.equal('variables: REGION cannot be "mars", only one of: eu, us\n'
        .. 'variables: action "Ask" asks for PASSWORD\n'
        .. 'variables: action "Ask" does not ask for "OTHER", only for REGION, COUNT, PASSWORD, KIND',
        message)
      assert.matches("APPLY is not possible", refused(asked, "APPLY"))
      assert.equal("WAITING_FOR_VARIABLES", e:again(asked).status)
      change(asked, "APPLY_VARIABLES", { variables = { { key = "PASSWORD", value = "needle-2" } } })
      assert.equal("eu 3 small ••••", e:log(e:finished(asked), "Use")[3])
    end)

    it("is not held up by a pipe in the place of the file", function()
      local done = e:finished(e:run "pipe")
      assert.equal("cannot read pipe, which the values of KIND are in", e:action(done, "Ask").error_message)
    end)

    it("shows through a link no more than commands see", function()
      if not e.engine.inside.isolation.active then return pending "needs bubblewrap" end
      local done = e:finished(e:run "link")
      assert.equal("cannot read token, which the values of KIND are in", e:action(done, "Ask").error_message)
    end)
  end)

  it("masks a value in the logs of actions that run already", function()
    local asked = waiting("meanwhile", "WAITING_FOR_VARIABLES")
    e:eventually(function() return #e:log(asked, "Try") > 2 end)
    change(asked, "APPLY_VARIABLES", { variables = { { key = "PASSWORD", value = "needle-3" } } })
    local lines = table.concat(e:log(e:finished(asked), "Try"), "\n")
    assert.matches("it is ••••", lines, 1, true)
    assert.is_nil(lines:find("needle-3", 1, true))
  end)

  describe("SET_VARIABLES", function()
    it("changes settable variables for good", function()
      local asked = waiting("set", "WAITING_FOR_SETTABLE_VARIABLES")
      change(asked, "SET_VARIABLES", { variables = { { key = "LEVEL", value = "2" } } })
      assert.equal("2", e:log(e:finished(asked), "Use")[3])
      asked = waiting("set", "WAITING_FOR_SETTABLE_VARIABLES")
      change(asked, "SET_VARIABLES")
      assert.equal("2", e:log(e:finished(asked), "Use")[3])
    end)

    it("fails on a variable that is not settable", function()
      local done = e:finished(e:run "set_fixed")
      assert.equal("FAILED", done.status)
      assert.equal("FIXED is not a settable variable", e:action(done, "Ask").error_message)
    end)
  end)

  describe("in parallel", function()
    it("has the status of the first that waits, and wants to know which one is meant", function()
      local execution = e:run "parallel"
      local asked = e:eventually(function()
        local now = e:again(execution)
        for _, item in ipairs(now.action_executions) do
          if not item.status:find "^WAITING" then return end
        end
        return now
      end)
      local ids = {}
      for _, item in ipairs(asked.action_executions) do ids[item.action.name] = item.action.id end
      assert.equal("WAITING_FOR_APPLY", asked.status)
      assert.matches("SET_VARIABLES is not possible.*: CANCEL, APPLY, APPLY_VARIABLES$",
        refused(asked, "SET_VARIABLES"))
      assert.equal(("approve_action_id: several actions wait, say which: %d One, %d Two"):format(ids.One, ids.Two),
        refused(asked, "APPLY"))
      assert.matches("is not an action that waits for this; these do: ",
        refused(asked, "APPLY", { approve_action_id = ids.Values }))
      assert.equal("WAITING_FOR_VARIABLES", change(asked, "APPLY", { approve_action_id = ids.One }).status)
      local answer = change(asked, "APPLY_VARIABLES", { variables = { { key = "A", value = "1" } } })
      assert.equal("WAITING_FOR_APPLY", answer.status)
      assert.equal("INPROGRESS", change(asked, "APPLY").status)
      assert.equal("SUCCESSFUL", e:finished(asked).status)
    end)
  end)
end)

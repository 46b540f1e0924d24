local json = require "host.json"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

-- Assembled when it runs, so that the needle of a spec is nowhere but where the engine puts it.
local NEEDLE = ("needle-%d-%s"):format(271828, ("sealed"):rep(3))

local BUDDY = [[
- pipeline: print
  variables: [ { key: KEPT, value: k, encrypted: true, settable: true } ]
  actions:
  - action: Print
    type: BUILD
    execute_commands:
    - 'echo "whole $PASS"'
    - 'printf "%s" "${PASS%sealed}"; sleep 0.05; echo "${PASS#needle-271828-sealedsealed} split"'
    - 'export KEPT="$PASS"'
  - { action: Fail, type: BUILD, execute_commands: [ 'echo "$PASS"; exit 1' ] }
- pipeline: ask
  actions:
  - { action: Ask, type: WAIT_FOR_VARIABLES, variables: [ { key: PASS, encrypted: true } ] }
  - { action: Print, type: BUILD, execute_commands: [ 'echo "given $PASS"' ] }
- pipeline: tell
  execution_message_template: "with $PASS"
  actions:
  - { action: Next, type: RUN_NEXT_PIPELINE, pipeline: slow, revision: SPECIFIC, specific_revision: "$PASS" }
- pipeline: slow
  actions: [ { action: Sleep, type: SLEEP, sleep_in_sec: 600 } ]
]]

describe("engine sealing", function()
  local repo, folder, state

  before_each(function()
    repo, folder = repository.new(), repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
    state = folder.path .. "/state"
  end)

  after_each(function()
    repo:close()
    folder:close()
  end)

  local function start() return support.start(repo, { state = state, kill_after = 0.1 }) end

  -- The files of the state folder that hold a text anywhere in their bytes.
  local function files_with(text)
    local done = assert(process.run { command = { "grep", "--recursive", "--binary-files=text", "--files-with-matches",
      "--fixed-strings", "--", text, state } })
    return done.stdout
  end

  local secret = { { key = "PASS", value = NEEDLE, encrypted = true }, { key = "OPEN", value = "not-" .. "hidden" } }

  it("leaves encrypted values in no file and no answer, while and after they are used", function()
    local e <close> = start()
    local failed = e:run("print", { variables = secret })
    e:run("slow", { variables = secret, delay_until = "2999-01-01T00:00:00Z" })
    e:until_status(failed, "FAILED")
    assert.equal("", files_with(NEEDLE))
    assert.not_equal("", files_with "not-hidden") -- it would have been found
    local log = e:log(e:again(failed), "Print")
    local text = table.concat(log, "\n")
    assert.matches("whole ••••", text, 1, true)
    assert.matches("•••• split", text, 1, true)
    local inspected = { failed, e:again(failed), e:get(e:executions "print"), e:get(e:executions "slow"), log }
    for _, answer in ipairs(inspected) do assert.is_nil(json.encode(answer):find(NEEDLE, 1, true)) end
  end)

  it("gives a queued execution its encrypted variables after a restart, and a retried one", function()
    local before = start()
    local blocker = before:until_status(before:run "slow", "INPROGRESS")
    local delayed = before:run("print", { variables = secret, delay_until = "2999-01-01T00:00:00Z" })
    before:close()
    local e <close> = start()
    assert.equal("FAILED", e:again(blocker).status)
    for _, operation in ipairs { "RUN_DELAYED", "RETRY" } do
      assert.equal(200, (e:call("PATCH", e:path(delayed), { operation = operation })))
      local done = e:until_status(delayed, "FAILED")
      assert.matches("whole ••••", table.concat(e:log(done, "Print"), "\n"), 1, true)
    end
    assert.equal("", files_with(NEEDLE))
  end)

  it("masks values that people give", function()
    local e <close> = start()
    local asked = e:until_status(e:run "ask", "WAITING_FOR_VARIABLES")
    local _, answer = e:call("PATCH", e:path(asked), { operation = "APPLY_VARIABLES",
      variables = { { key = "PASS", value = NEEDLE } } })
    assert.is_nil(json.encode(answer):find(NEEDLE, 1, true))
    local done = e:finished(asked)
    assert.matches("given ••••", table.concat(e:log(done, "Print"), "\n"), 1, true)
    assert.same({ { key = "PASS", value = "••••" } }, e:action(done, "Ask").passed_variables)
    assert.equal("", files_with(NEEDLE))
  end)

  it("masks them where they get into comments and messages", function()
    local e <close> = start()
    local failed = e:finished(e:run("tell", { variables = secret }))
    assert.equal("with ••••", failed.comment)
    assert.matches('found string "••••"', e:action(failed, "Next").error_message, 1, true)
    assert.equal("", files_with(NEEDLE))
  end)

  it("fails what it cannot open, and says why", function()
    local before = start()
    local delayed = before:run("print", { variables = secret, delay_until = "2999-01-01T00:00:00Z" })
    before:close()
    assert(os.remove(state .. "/key"))
    local e <close> = start()
    e:call("PATCH", e:path(delayed), { operation = "RUN_DELAYED" })
    local failed = e:finished(delayed)
    assert.equal("FAILED", failed.status)
    assert.matches("^Its encrypted variables cannot be read: this was sealed with another key", e:action(failed,
      "Print").error_message)
  end)

  it("does not start with a key that others can read", function()
    start():close()
    assert(process.run { command = { "chmod", "644", state .. "/key" } })
    local ok, message = pcall(start)
    assert.is_false(ok)
    assert.matches("chmod 600 " .. state .. "/key", message, 1, true)
  end)
end)

local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [[
- pipeline: scatter
  actions:
  - action: Scatter
    type: BUILD
    execute_commands:
    - sh -c 'echo $$ >"$FOLDER/grouped.new"; mv "$FOLDER/grouped.new" "$FOLDER/grouped"; exec sleep 60' &
    - setsid sh -c 'echo $$ >"$FOLDER/apart.new"; mv "$FOLDER/apart.new" "$FOLDER/apart"; exec sleep 60' &
    - kill -9 $$
- pipeline: leave
  actions:
  - action: Leave
    type: BUILD
    execute_commands:
    - setsid sh -c 'echo $$ >"$FOLDER/left.new"; mv "$FOLDER/left.new" "$FOLDER/left"; exec sleep 60 >/dev/null 2>&1' &
- pipeline: ask
  actions: [ { action: Ask, type: WAIT_FOR_APPLY } ]
- pipeline: slow
  actions:
  - action: Before
    type: SLEEP
    sleep_in_sec: 0
  - action: Wait
    type: BUILD
    execute_commands: ["echo waiting", "[ -z \"$PID\" ] || { echo $$ > \"$PID\"; sleep 30; }"]
  - action: After
    type: SLEEP
    sleep_in_sec: 0
]]

-- An engine of its own process, which tells its endpoint and token and then serves until it is killed.
local CHILD = [[
local engine = require "moonsail.engine"
local e = assert(engine.start { repository = %q, project = "site", state = %q, isolation = "off" })
print(e.endpoint, e.token)
io.stdout:flush()
require "host.task".sleep(60)
]]

-- Whether a process still runs; a zombie, which only waits for its parent to look, does not.
local function alive(pid)
  local file <close> = io.open(("/proc/%s/stat"):format(pid), "r")
  return file ~= nil and not file:read "a":find ") Z"
end

describe("engine", function()
  local repo, folder

  before_each(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY }
    folder = repository.folder()
  end)

  after_each(function()
    repo:close()
    folder:close()
  end)

  -- Without isolation a command sees its own process number as we do, and our files.
  local function start()
    return support.start(repo, { state = folder.path .. "/state", kill_after = 0.1, isolation = "off" })
  end

  local function start_child()
    local child = assert(process.spawn {
      command = { moonsail.path, "eval", CHILD:format(repo.path, folder.path .. "/state") },
    })
    local output = ""
    while not output:find "\n" do output = output .. assert(child:read()) end
    local endpoint, token = output:match "^(%S+)\t(%S+)"
    local function kill()
      child:kill "SIGKILL"
      child:wait()
    end
    return setmetatable({ client = support.client(endpoint, token), kill = kill }, { __close = function()
      child:close()
    end })
  end

  -- One that runs, one that is queued, and one that is queued with an encrypted variable.
  local function fill(e)
    local forever = { { key = "PID", value = folder.path .. "/pid" } }
    local running = e:until_status(e:run("slow", { variables = forever }), "INPROGRESS")
    local queued = e:run("slow", { comment = "kept" })
    local secret = e:run("slow", { variables = { { key = "PASS", value = "hunter2", encrypted = true } } })
    return running, queued, secret
  end

  local function check(e, running, queued, secret)
    local function again(execution)
      return e:get((e:path(execution)))
    end
    assert.equal("SUCCESSFUL", e:finished(queued).status)
    assert.equal("kept", again(queued).comment)
    local ended = again(running)
    assert.equal("FAILED", ended.status)
    assert.equal("SUCCESSFUL", e:action(ended, "Before").status)
    assert.equal("FAILED", e:action(ended, "Wait").status)
    assert.equal("NOT_EXECUTED", e:action(ended, "After").status)
    assert.equal("The engine stopped while this execution ran", e:action(ended, "Wait").error_message)
    local lines = e:log(ended, "Wait")
    assert.equal("The engine stopped while this execution ran", lines[#lines])
    assert.equal("SUCCESSFUL", again(secret).status)
    assert.equal(ended.pipeline.id, again(queued).pipeline.id)
    assert.equal(secret.id + 1, e:run("slow").id)
    e:finished(queued)
  end

  it("goes on after it was closed", function()
    local before = start()
    local running, queued, secret = fill(before)
    before:close()
    local e <close> = start()
    check(e, running, queued, secret)
  end)

  it("fails what waited for people", function()
    local before = start()
    local asked = before:until_status(before:run "ask", "WAITING_FOR_APPLY")
    before:close()
    local e <close> = start()
    local ended = e:get(e:path(asked))
    assert.equal("FAILED", ended.status)
    assert.equal("The engine stopped while this execution ran", e:action(ended, "Ask").error_message)
    assert.equal(0, e.engine:busy())
  end)

  it("goes on after kill -9, with the same ids", function()
    local child <close> = start_child()
    local client = child.client
    local running, queued, secret = fill(client)
    local pid = client:eventually(function()
      local file <close> = io.open(folder.path .. "/pid")
      return file and file:read "l" -- which may come after the file
    end)
    child:kill()
    assert.is_true(alive(pid))
    local e <close> = start()
    client:eventually(function() return not alive(pid) end)
    assert.equal(client.token, e.token)
    check(e, running, queued, secret)
  end)

  -- The engine dies while it still reads what the group without a leader prints.
  it("leaves no process over after kill -9, neither in a group without its leader nor in one of its own", function()
    local child <close> = start_child()
    local client = child.client
    local here = folder.path
    client:until_status(client:run("scatter", { variables = { { key = "FOLDER", value = here } } }), "INPROGRESS")
    local pids = {}
    for _, name in ipairs { "grouped", "apart" } do
      local path = ("%s/%s"):format(here, name)
      client:eventually(function()
        local file <close> = io.open(path)
        pids[name] = file and file:read "n"
        return pids[name]
      end)
      assert.is_true(alive(pids[name]))
    end
    child:kill()
    local e <close> = start()
    assert.is_false(alive(pids.grouped))
    assert.is_false(alive(pids.apart))
    e:finished(e:get(e:executions "scatter").executions[1])
  end)

  it("leaves no process over after kill -9 that an ended execution had left", function()
    local child <close> = start_child()
    local client = child.client
    local path = folder.path .. "/left"
    client:until_status(client:run("leave", { variables = { { key = "FOLDER", value = folder.path } } }), "SUCCESSFUL")
    local pid = client:eventually(function()
      local file <close> = io.open(path)
      return file and file:read "n"
    end)
    assert.is_true(alive(pid))
    child:kill()
    local e <close> = start() -- luacheck: ignore 211
    assert.is_false(alive(pid))
  end)

  it("keeps showing executions whose commits are gone", function()
    local before = start()
    local done = before:finished(before:run "slow")
    before:close()
    repo:git("update-ref", "-d", "refs/heads/main")
    repo:git("reflog", "expire", "--expire=now", "--all")
    repo:git("gc", "--quiet", "--prune=now")
    local e <close> = start()
    local shown = e:get(e:path(done))
    assert.equal("SUCCESSFUL", shown.status)
    assert.equal(done.to_revision.revision, shown.to_revision.revision)
    assert.equal(json.null, shown.to_revision.message)
    assert.equal("Wait", shown.action_executions[2].action.name)
    assert.equal("slow", shown.pipeline.identifier)
  end)
end)

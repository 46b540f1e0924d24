local repository = require "spec.support.repository"
local socket = require "host.socket"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [==[
- pipeline: connect
  actions:
  - { action: Check, type: TCP, destination: $HOST, port: $PORT }
- pipeline: talk
  actions:
  - { action: Check, type: TCP, destination: "tcp://127.0.0.1", port: $PORT, post_data: "hello $NAME\n",
      text: "hi $NAME" }
]==]

describe("TCP", function()
  local repo, e, listener, waiting

  -- Answers a line in two pieces; does not answer who is silent or called nobody.
  local function serve(stream)
    local line = stream:read() or ""
    local name = line:match "hello (%w+)"
    if name == "nobody" then
      waiting:notify()
      task.sleep(30)
    end
    if name then
      stream:write "h"
      stream:write("i " .. name:lower())
    end
    stream:close()
  end

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY }
    waiting = task.event()
    listener = assert(socket.listen({}, serve))
    e = support.start(repo)
  end)
  teardown(function()
    e:close()
    listener:close()
    repo:close()
  end)

  local function start(pipeline, variables)
    local list = {}
    for key, value in pairs(variables) do table.insert(list, { key = key, value = value }) end
    return e:run(pipeline, { variables = list })
  end

  local function run(pipeline, variables)
    local done = e:finished(start(pipeline, variables))
    return done.status, e:action(done, "Check").error_message
  end

  it("is a success where somebody listens, and a failure where nobody does", function()
    local port = tostring(listener.port)
    assert.equal("SUCCESSFUL", (run("connect", { HOST = "127.0.0.1", PORT = port })))
    local closed = assert(socket.listen({}, serve))
    closed:close()
    assert.equal("FAILED", (run("connect", { HOST = "127.0.0.1", PORT = tostring(closed.port) })))
    for _, wrong in ipairs { "0", "65536", "http", "" } do
      local status, message = run("connect", { HOST = "127.0.0.1", PORT = wrong })
      assert.same({ "FAILED", ("%q is not a port"):format(wrong) }, { status, message })
    end
  end)

  it("sends data and waits for a text, however it is cut", function()
    local port = tostring(listener.port)
    assert.equal("SUCCESSFUL", (run("talk", { NAME = "ada", PORT = port })))
    local status, message = run("talk", { NAME = "Ada", PORT = port })
    assert.same({ "FAILED", 'the answer does not have "hi Ada"' }, { status, message })
  end)

  it("ends when it is cancelled", function()
    local running = start("talk", { NAME = "nobody", PORT = tostring(listener.port) })
    assert.is_true(waiting:wait(support.LIMIT))
    assert.equal(200, (e:call("PATCH", e:path(running), { operation = "CANCEL" })))
    assert.equal("TERMINATED", e:finished(running).status)
  end)
end)

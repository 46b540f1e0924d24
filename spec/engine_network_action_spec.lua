local repository = require "spec.support.repository"
local server = require "host.server"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [==[
- pipeline: post
  variables:
  - { key: PASS, value: "s3cret:word", encrypted: true }
  - { key: BASE, value: "http://127.0.0.1" }
  actions:
  - action: Send
    type: HTTP
    notification_url: $BASE/echo?x=1
    port: "${PORT}"
    method: PUT
    content: '{"version": "$VERSION", "unknown": "$NOBODY"}'
    headers: [{ name: X-Version, value: "v$VERSION" }]
    login: me
    password: $PASS
- pipeline: older
  actions:
  - { action: Send, type: HTTP, notification_url: "http://127.0.0.1:1/echo", port: $PORT, method_url: DELETE }
- pipeline: status
  actions:
  - { action: Send, type: HTTP, notification_url: "http://127.0.0.1:$PORT/status/$STATUS" }
- pipeline: raw
  actions:
  - { action: Send, type: HTTP, notification_url: $URL }
- pipeline: slow
  actions:
  - { action: Send, type: HTTP, notification_url: "http://127.0.0.1:$PORT/slow" }
- pipeline: late
  actions:
  - { action: Send, type: HTTP, timeout: 1, notification_url: "http://127.0.0.1:$PORT/slow" }
- pipeline: web
  actions:
  - { action: Check, type: WEB, destination: "http://127.0.0.1:$PORT/moved", text: $TEXT, text_existence: true }
- pipeline: absent
  actions:
  - { action: Check, type: WEB, destination: "http://127.0.0.1:$PORT/moved", text: $TEXT, text_existence: false }
- pipeline: form
  actions:
  - { action: Check, type: WEB, destination: "http://127.0.0.1:$PORT/echo", post_data: "a=$TEXT" }
]==]

describe("network actions", function()
  local repo, e, web, asked, waiting

  local function answer(request)
    asked = request
    if request.path == "/echo" then return { status = 200, body = ("%s %s"):format(request.method, request.body) } end
    if request.path == "/moved" then return { status = 302, headers = { Location = "/page" }, body = "" } end
    if request.path == "/page" then return { status = 200, body = "<h1>Welcome</h1>" } end
    if request.path == "/slow" then
      waiting:notify()
      task.sleep(30)
    end
    local status = request.path:match "^/status/(%d+)$"
    return { status = math.tointeger(status) or 404, body = "" }
  end

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY }
    web = assert(server.listen({}, answer))
    e = support.start(repo)
  end)
  teardown(function()
    e:close()
    web:close()
    repo:close()
  end)
  before_each(function() waiting = task.event() end)

  local function start(pipeline, variables)
    local list = { { key = "PORT", value = tostring(web.port) } }
    for key, value in pairs(variables or {}) do table.insert(list, { key = key, value = value }) end
    return e:run(pipeline, { variables = list })
  end

  local function run(pipeline, variables)
    local done = e:finished(start(pipeline, variables))
    local item = done.action_executions[1]
    return done.status, table.concat(e:log(done, item.action.name), "\n"), item.error_message
  end

  describe("HTTP", function()
    it("sends what is asked for, with variables filled in, and masks what it logs", function()
      local status, log = run("post", { VERSION = "1.2" })
      assert.equal("SUCCESSFUL", status)
      assert.equal("PUT", asked.method)
      assert.equal('{"version": "1.2", "unknown": "$NOBODY"}', asked.body)
      assert.equal("v1.2", asked.headers["x-version"])
      assert.equal("Basic bWU6czNjcmV0OndvcmQ=", asked.headers.authorization)
      assert.equal(("PUT http://127.0.0.1:%d/echo?x=1\nStatus 200, %d bytes\nPUT %s"):format(web.port, #asked.body + 4,
        asked.body), log)
    end)

    it("knows the older key of the method, and lets the port win", function()
      assert.equal("SUCCESSFUL", (run "older"))
      assert.equal("DELETE", asked.method)
    end)

    it("takes 2xx and 3xx for success", function()
      for _, status in ipairs { "204", "302" } do assert.equal("SUCCESSFUL", (run("status", { STATUS = status }))) end
      for _, code in ipairs { "404", "500" } do
        local status, log, message = run("status", { STATUS = code })
        assert.equal("FAILED", status)
        assert.equal("the server answered with status " .. code, message)
        assert.matches(message .. "\nAction failed", log)
      end
    end)

    it("fails where nobody listens, and for what is no address", function()
      local closed = assert(server.listen({}, answer))
      local port = closed.port
      closed:close()
      local status, _, message = run("raw", { URL = ("http://127.0.0.1:%d/"):format(port) })
      assert.equal("FAILED", status)
      assert.matches("connect", message)
      for _, url in ipairs { "nonsense", "ftp://127.0.0.1/", "http://a:b@127.0.0.1/" } do
        status, _, message = run("raw", { URL = url })
        assert.equal("FAILED", status)
        assert.is_nil(message:find "fault in the engine", url)
      end
    end)

    it("ends when it is cancelled", function()
      local running = start "slow"
      assert.is_true(waiting:wait(support.LIMIT))
      assert.equal(200, (e:call("PATCH", e:path(running), { operation = "CANCEL" })))
      assert.equal("TERMINATED", e:finished(running).status)
    end)

    it("ends when its time is over", function()
      local status, _, message = run "late"
      assert.same({ "FAILED", "not done after 1 s" }, { status, message })
    end)
  end)

  describe("WEB", function()
    it("looks for a text in the page that it is led to", function()
      assert.equal("SUCCESSFUL", (run("web", { TEXT = "Welcome" })))
      local status, _, message = run("web", { TEXT = "Goodbye" })
      assert.same({ "FAILED", 'the answer does not have "Goodbye"' }, { status, message })
    end)

    it("looks for the absence of a text", function()
      assert.equal("SUCCESSFUL", (run("absent", { TEXT = "Goodbye" })))
      local status, _, message = run("absent", { TEXT = "Welcome" })
      assert.same({ "FAILED", 'the answer has "Welcome"' }, { status, message })
    end)

    it("posts data", function()
      assert.equal("SUCCESSFUL", (run("form", { TEXT = "b" })))
      assert.same({ "POST", "a=b" }, { asked.method, asked.body })
    end)
  end)
end)

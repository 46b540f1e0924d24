local http = require "host.http"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local repository = require "spec.support.repository"
local server = require "host.server"
local support = require "spec.support.engine"
local task = require "host.task"

local W = "/workspaces/local/webhooks"
local SECRET = ("webhook-%d"):format(161803):rep(2)
local ALL = { "EXECUTION_STARTED", "EXECUTION_SUCCESSFUL", "EXECUTION_FAILED", "EXECUTION_FINISHED" }

local BUDDY = [[
- pipeline: good
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
- pipeline: bad
  refs: ["*"]
  actions: [ { action: Fail, type: BUILD, execute_commands: ["exit 3"] } ]
- pipeline: long
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 1000 } ]
]]

describe("engine webhooks", function()
  local repo, folder, e, receiver, got, answer, arrived, reports

  local function start(options)
    local given = { state = folder.path .. "/state", kill_after = 0.1,
      log = function(line) table.insert(reports, line) end }
    for name, value in pairs(options or {}) do given[name] = value end
    e = support.start(repo, given)
  end

  before_each(function()
    repo, folder = repository.new(), repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
    repo:tag("v1", repo:tip "refs/heads/main")
    got, reports, arrived = {}, {}, task.event()
    answer = function() return {} end
    receiver = assert(server.listen({}, function(request)
      local body = json.decode(request.body)
      table.insert(got, { id = request.headers["x-moonsail-delivery"], event = body.event, body = body,
        path = request.path, request = request })
      arrived:notify()
      return answer(request, #got)
    end))
  end)

  after_each(function()
    if e then e:close() end
    receiver:close()
    repo:close()
    folder:close()
    e = nil
  end)

  local function url(path) return ("http://127.0.0.1:%d%s"):format(receiver.port, path or "/hook?token=t") end

  local function create(fields)
    local status, webhook, response = e:call("POST", W, fields)
    assert.equal(201, status, response.body)
    return webhook
  end

  -- Waits until so many posts have arrived.
  local function await(count, limit)
    local ok = task.timeout(limit or support.LIMIT, function()
      while #got < count do arrived:wait() end
    end)
    assert(ok, ("only %d of %d posts have come"):format(#got, count))
  end

  -- Waits until nothing is left to deliver.
  local function delivered()
    e:eventually(function() return #e.engine.inside.webhooks:waiting() == 0 end)
  end

  local function events()
    local names = {}
    for index, item in ipairs(got) do names[index] = item.event:gsub("EXECUTION_", "") end
    return table.concat(names, " ")
  end

  describe("in the API", function()
    before_each(function() start() end)

    it("are made, shown, listed, changed and removed", function()
      local made = create { target_url = url(), events = ALL, projects = { "site" }, name = "mine", nonsense = {} }
      assert.same({ url(), ALL, { "site" }, "mine", json.null },
        { made.target_url, made.events, made.projects, made.name, made.secret_key })
      assert.same({ made }, e:get(W).webhooks)
      local shown = e:get(e:path(made))
      assert.same({}, shown.requests)
      local _, changed = e:call("PATCH", e:path(made), { events = { ALL[1] }, secret_key = SECRET, projects = { 1 } })
      assert.same({ { ALL[1] }, "••••", { "site" }, "mine" },
        { changed.events, changed.secret_key, changed.projects, changed.name })
      assert.equal(json.null, select(2, e:call("PATCH", e:path(made), { secret_key = "" })).secret_key)
      assert.equal(204, (e:call("DELETE", e:path(made))))
      assert.matches("no webhook " .. made.id, e:refusal(404, "GET", e:path(made)))
      assert.same({}, e:get(W).webhooks)
    end)

    for name, case in pairs {
      ["nothing"] = { {}, "target_url: is missing\nevents: is missing" },
      ["a URL that is none"] = { { target_url = "ftp://x", events = ALL }, "target_url: found \"ftp://x\"" },
      ["a URL with credentials"] = { { target_url = "http://a:b@x/", events = ALL }, "without credentials" },
      ["a URL with a blank"] = { { target_url = "http://x/ a", events = ALL }, "target_url: found" },
      ["a URL with a port that is none"] = { { target_url = "http://x:99999/", events = ALL }, "target_url: found" },
      ["an event that the engine does not have"] = { { target_url = "http://x", events = { "PUSH" } },
        "events%[1%]: found \"PUSH\", expected EXECUTION_STARTED" },
      ["no event"] = { { target_url = "http://x", events = json.list {} }, "events: found a list" },
      ["a project that is not there"] = { { target_url = "http://x", events = ALL, projects = { "other" } },
        "projects%[1%]: there is no project \"other\"" },
      ["the mask of a secret key"] = { { target_url = "http://x", events = ALL, secret_key = "••••" }, "secret_key: " },
    } do
      it("refuse " .. name, function()
        assert.matches(case[2], e:refusal(400, "POST", W, case[1]))
        assert.same({}, e:get(W).webhooks)
      end)
    end
  end)

  describe("tell", function()
    it("of executions that start, succeed, fail and end, in this order, and only what is wanted", function()
      start()
      create { target_url = url "/all", events = ALL }
      create { target_url = url "/fails", events = { "EXECUTION_FAILED" } }
      e:finished(e:run "good")
      await(3)
      assert.equal("STARTED SUCCESSFUL FINISHED", events())
      e:finished(e:run("bad", { branch = { name = "main" } }))
      await(7)
      local failed = {}
      for _, item in ipairs(got) do
        if item.path == "/fails" then table.insert(failed, item.event) end
      end
      assert.same({ "EXECUTION_FAILED" }, failed)
    end)

    it("of one that is canceled only its end", function()
      start()
      create { target_url = url(), events = ALL }
      local execution = e:until_status(e:run "long", "INPROGRESS")
      e:call("PATCH", e:path(execution), { operation = "CANCEL" })
      await(2)
      delivered()
      assert.equal("STARTED FINISHED", events())
      assert.equal("TERMINATED", got[2].body.execution.status)
    end)

    it("what Buddy's payload has, with the secret key", function()
      start()
      create { target_url = url(), events = { "EXECUTION_FINISHED" }, secret_key = SECRET }
      local execution = e:finished(e:run("bad", { branch = { name = "main" }, comment = "why" }))
      await(1)
      local body, request = got[1].body, got[1].request
      assert.equal("POST", request.method)
      assert.equal("/hook", request.path)
      assert.equal("application/json", request.headers["content-type"])
      assert.equal("EXECUTION_FINISHED", request.headers["x-moonsail-event"])
      assert.equal(SECRET, body.secret_key)
      assert.same({ "local", "local", 1 }, { body.workspace.domain, body.workspace.name, body.workspace.id })
      assert.same({ "site", "ACTIVE" }, { body.project.name, body.project.status })
      assert.equal(execution.creator.id, body.invoker.id)
      assert.matches("^%d+-%d+-%d+T[%d:.]+Z$", body.current_date)
      local told = body.execution
      assert.same({ execution.id, execution.url, "FAILED", "why", "main", "MANUAL", "CLICK" },
        { told.id, told.url, told.status, told.comment, told.branch, told.mode, told.triggered_on })
      assert.equal(execution.finish_date, told.finish_date)
      assert.equal(execution.to_revision.revision, told.to_revision.revision)
      assert.equal("bad", told.pipeline.identifier)
      assert.equal("FAILED", told.action_executions[1].status)
    end)

    it("the tag of an execution of one, and no secret key without one", function()
      start()
      create { target_url = url(), events = { "EXECUTION_FINISHED" } }
      e:run("bad", { tag = { name = "v1" } })
      await(1)
      assert.same({ json.null, "v1" }, { got[1].body.execution.branch, got[1].body.execution.tag })
      assert.is_nil(got[1].body.secret_key)
    end)
  end)

  describe("deliver", function()
    it("again after a failure, under the same id, and in order", function()
      start()
      create { target_url = url(), events = ALL }
      answer = function(_, count) return { status = count <= 3 and 503 or 204 } end
      local clock <close> = task.simulate() -- luacheck: ignore 211
      e:run "good"
      await(6)
      delivered()
      assert.equal("STARTED STARTED STARTED STARTED SUCCESSFUL FINISHED", events())
      for index = 2, 4 do assert.equal(got[1].id, got[index].id) end
      assert.not_equal(got[4].id, got[5].id)
      local shown = e:get(e:path(e:get(W).webhooks[1])).requests
      assert.same({ 1, 1, 4 }, { shown[1].attempts, shown[2].attempts, shown[3].attempts })
    end)

    it("after pauses that grow, and give up at last", function()
      start()
      create { target_url = url(), events = { "EXECUTION_FAILED" } }
      local times = {}
      answer = function()
        table.insert(times, task.monotonic())
        return { status = 500 }
      end
      local clock <close> = task.simulate() -- luacheck: ignore 211
      e:run("bad", { branch = { name = "main" } })
      await(12, 3600)
      delivered()
      assert.equal(12, #got)
      for index = 3, 9 do
        local pause, before = times[index] - times[index - 1], times[index - 1] - times[index - 2]
        assert.is_true(pause > before, ("%d: %g after %g"):format(index, pause, before))
      end
      assert.is_true(times[12] - times[11] < 380)
      local shown = e:get(e:path(e:get(W).webhooks[1])).requests[1]
      assert.same({ 500, 12, "EXECUTION_FAILED" }, { shown.response_status, shown.attempts, shown.event })
      assert.matches("given up", table.concat(reports, "\n"))
    end)

    it("never again what has been accepted, also after a restart", function()
      start()
      create { target_url = url(), events = ALL }
      for _ = 1, 5 do e:run "good" end
      await(15)
      delivered()
      e:close()
      start()
      e:finished(e:run "good")
      await(18)
      delivered()
      local ids = {}
      for _, item in ipairs(got) do
        assert.is_nil(ids[item.id])
        ids[item.id] = true
      end
    end)

    it("after a restart what was not accepted before, under the same id", function()
      start()
      create { target_url = url(), events = { "EXECUTION_FINISHED" }, secret_key = SECRET }
      answer = function() return { status = 500 } end
      local clock <close> = task.simulate() -- luacheck: ignore 211
      e:finished(e:run "good")
      await(1)
      e:eventually(function() return e:get(e:path(e:get(W).webhooks[1])).requests[1] end)
      e:close()
      answer = function() return {} end
      start()
      await(2)
      delivered()
      assert.same({ got[1].id, SECRET }, { got[2].id, got[2].body.secret_key })
      assert.equal(2, e:get(e:path(e:get(W).webhooks[1])).requests[1].attempts)
    end)

    it("nothing to where a redirect leads", function()
      start()
      local elsewhere = 0
      local other <close> = assert(server.listen({}, function()
        elsewhere = elsewhere + 1
        return {}
      end))
      create { target_url = url(), events = { "EXECUTION_FINISHED" }, secret_key = SECRET }
      answer = function(_, count)
        if count > 1 then return {} end
        return { status = 307, headers = { Location = ("http://127.0.0.1:%d/"):format(other.port) } }
      end
      local clock <close> = task.simulate() -- luacheck: ignore 211
      e:run "good"
      await(2)
      delivered()
      assert.equal(0, elsewhere)
      assert.matches("answered 307", table.concat(reports, "\n"))
    end)

    it("to a receiver that hangs and to one that is gone, without holding up anybody", function()
      start()
      local gone = assert(server.listen({}, function() return {} end))
      local port = gone.port
      gone:close()
      create { target_url = ("http://127.0.0.1:%d/"):format(port), events = ALL }
      create { target_url = url "/hang", events = ALL }
      create { target_url = url "/quick", events = ALL }
      answer = function(request)
        if request.path == "/hang" then task.sleep(1e6) end
        return {}
      end
      for _ = 1, 3 do e:run "good" end
      local began = task.monotonic()
      e:finished(e:run "good")
      assert.is_true(task.monotonic() - began < 5)
      await(13) -- twelve quick ones, and the first that hangs
      local quick = 0
      for _, item in ipairs(got) do quick = quick + (item.path == "/quick" and 1 or 0) end
      assert.equal(12, quick)
      e:eventually(function() return e:get(e:path(e:get(W).webhooks[1])).requests[1] end)
      local shown = e:get(e:path(e:get(W).webhooks[1])).requests[1]
      assert.equal(json.null, shown.response_status)
      assert.matches("cannot connect", shown.error_message)
    end)
  end)

  it("keep their last twenty deliveries, newest first", function()
    start()
    local webhook = create { target_url = url(), events = { "EXECUTION_STARTED", "EXECUTION_FINISHED" },
      secret_key = SECRET }
    for _ = 1, 12 do e:run "good" end
    await(24)
    delivered()
    local shown = e:get(e:path(webhook)).requests
    assert.equal(20, #shown)
    assert.same({ got[24].id, got[5].id }, { shown[1].delivery_id, shown[20].delivery_id })
    assert.equal(200, shown[1].response_status)
    local body = json.decode(shown[1].body)
    assert.same({ 12, "••••" }, { body.execution.id, body.secret_key })
    assert.equal(20, #e.engine.inside.store:prepare("select 1 from delivery"):rows())
  end)

  it("have their secret key in no file, no report and no answer", function()
    start { webhooks = { { target_url = url(), secret_key = SECRET } } }
    create { target_url = url(), events = ALL, secret_key = SECRET }
    answer = function(_, count) return { status = count == 1 and 500 or 200 } end
    local clock <close> = task.simulate() -- luacheck: ignore 211
    e:run "good"
    await(7) -- two times three, and one of them again
    assert.equal(SECRET, got[1].body.secret_key)
    for _, path in ipairs { W, W .. "/1", W .. "/2" } do
      assert.is_nil(json.encode(e:get(path)):find(SECRET, 1, true))
    end
    assert.is_nil(table.concat(reports, "\n"):find(SECRET, 1, true))
    assert.is_nil(table.concat(reports, "\n"):find("token=", 1, true))
    local found = process.run { command = { "grep", "-raF", "--", SECRET, folder.path } }
    assert.equal("", found.stdout)
  end)

  describe("of the engine's start", function()
    it("are those of the last start, and not the API's to change", function()
      start { webhooks = { { target_url = url "/a", secret_key = SECRET }, { target_url = url "/b" } } }
      local a, b = table.unpack(e:get(W).webhooks)
      assert.same({ url "/a", ALL, "••••" }, { a.target_url, a.events, a.secret_key })
      assert.matches("engine's start", e:refusal(403, "PATCH", e:path(a), { events = { ALL[1] } }))
      assert.matches("engine's start", e:refusal(403, "DELETE", e:path(b)))
      local mine = create { target_url = url "/mine", events = ALL }
      e:close()
      start { webhooks = { { target_url = url "/b", events = { ALL[3] } }, { target_url = url "/c" } } }
      local now = {}
      for _, webhook in ipairs(e:get(W).webhooks) do now[webhook.target_url] = webhook end
      assert.is_nil(now[url "/a"])
      assert.same({ b.id, { ALL[3] } }, { now[url "/b"].id, now[url "/b"].events })
      assert.equal(mine.id, now[url "/mine"].id)
      assert.is_not_nil(now[url "/c"])
    end)

    it("that are wrong are misuse", function()
      for _, list in ipairs { { { target_url = "nowhere" } }, { { target_url = url(), events = { "PUSH" } } },
        { { target_url = url() }, { target_url = url() } }, { {} } } do
        assert.error_matches(function() start { webhooks = list } end, "webhooks%[%d%]")
      end
    end)

    it("come from the command line, their secret key from the environment", function()
      local done
      local running = task.spawn(function()
        done = process.run { command = { "timeout", "20", moonsail.path, "engine", "--repo", repo.path, "--project",
          "site", "--state", folder.path .. "/cli", "--webhook", url "/cli" },
          environment = { PATH = os.getenv "PATH", HOME = folder.path, MOONSAIL_WEBHOOK_SECRET = SECRET,
            MOONSAIL_LUA = os.getenv "MOONSAIL_LUA", MOONSAIL_ISOLATION = "off" } }
      end)
      local ends = task.monotonic() + support.LIMIT
      local endpoint
      while not endpoint and task.monotonic() < ends do
        local file <close> = io.open(folder.path .. "/cli/endpoint")
        endpoint = file and file:read "l"
        task.sleep(0.01)
      end
      local token <close> = assert(io.open(folder.path .. "/cli/token"))
      local client = support.client(endpoint, token:read "l")
      client:run "good"
      await(3)
      running:cancel()
      pcall(running.join, running)
      assert.is_nil(done)
      assert.same({ "/cli", SECRET }, { got[1].path, got[1].body.secret_key })
      assert.is_nil((http.request { url = endpoint, timeout = 1 }))
    end)
  end)
end)

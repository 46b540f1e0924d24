local buddy = require "spec.support.buddy"
local console = require "moonsail.console"
local moonsail = require "spec.support.moonsail"
local raised = buddy.raised
local task = require "host.task"

describe("sail", function()
  local api, sail, printed

  before_each(function()
    api = buddy.serve {
      ["GET /x"] = function(request)
        return buddy.answer(200, { method = request.method, headers = request.headers })
      end,
      ["POST /x"] = function(request)
        return buddy.answer(201, request.body, { ["x-type"] = request.headers["content-type"] })
      end,
    }
    printed = {}
    sail = api:sail { progress = { print = function(_, text) printed[#printed + 1] = text end } }
  end)
  after_each(function() api.server:close() end)

  it("tells of a field that it does not have", function()
    local err = raised(function() return sail.proyect end)
    assert.equal("there is no sail.proyect\n  Did you mean sail.project?", tostring(err))
    assert.matches("There are: all, ", raised(function() return sail.xyzzy end).hint, 1, true)
  end)

  it("is what require 'moonsail' gives outside a recipe", function()
    assert.equal("function", type(require("moonsail").project))
  end)

  it("needs to be configured, before it talks to the API", function()
    local session = require("moonsail.client.session").new { getenv = function() end }
    local project = require("moonsail.library").new(session).project "acme/website"
    local err = raised(project.pipelines, project)
    assert.same({ "usage", "nothing is configured: there is no token and no endpoint" }, { err.kind, err.message })
  end)

  describe(".http", function()
    it("makes requests without the token", function()
      local answer = sail.http.get { url = api.url .. "/x", headers = { ["x-mine"] = "1" } }
      assert.equal(200, answer.status)
      assert.is_nil(answer:json().headers.authorization)
      assert.equal("1", answer:json().headers["x-mine"])
      assert.equal("GET", sail.http.get(api.url .. "/x"):json().method)
    end)

    it("sends JSON, and any other body", function()
      local answer = sail.http.post { url = api.url .. "/x", json = { a = 1 } }
      assert.same({ 201, '{"a":1}', "application/json" }, { answer.status, answer.body, answer.headers["x-type"] })
      assert.equal("text", sail.http.request({ url = api.url .. "/x", body = "text" }).body)
    end)

    it("takes any status for an answer", function()
      assert.equal(404, sail.http.get(api.url .. "/nowhere").status)
    end)

    it("raises when there is no answer", function()
      local port = api.server.port
      api.server:close()
      local err = raised(sail.http.get, ("http://127.0.0.1:%d/x"):format(port))
      assert.same({ "network", "connect" }, { err.kind, err.code })
    end)

    it("raises when the answer is not JSON", function()
      local answer = sail.http.post { url = api.url .. "/x", body = "{" }
      assert.equal("api", raised(answer.json, answer).kind)
    end)

    it("reveals a secret to the server only", function()
      local home = sail.secret "PATH"
      local headers = { ["x-home"] = home }
      local answer = sail.http.get { url = api.url .. "/x", headers = headers }
      assert.equal(os.getenv "PATH", answer:json().headers["x-home"])
      assert.equal(home, headers["x-home"])
    end)

    for name, options in pairs {
      ["a NUL in a header"] = { headers = { a = "b\0c" } },
      ["a line break in a header"] = { headers = { a = "b\r\nx: y" } },
      ["a field that it does not know"] = { boddy = "x" },
    } do
      it("refuses " .. name, function()
        options.url = api.url .. "/x"
        assert.equal("usage", raised(sail.http.get, options).kind)
        assert.equal(0, #api.requests)
      end)
    end

    it("refuses credentials in a URL, and no URL", function()
      assert.equal("usage", raised(sail.http.get, "http://me:pass@127.0.0.1/").kind)
      assert.equal("usage", raised(sail.http.get, {}).kind)
      assert.equal("usage", raised(sail.http.get).kind)
    end)
  end)

  describe(".run", function()
    it("runs a command and gives its output", function()
      local result = sail.run { "sh", "-c", "echo out; echo err >&2" }
      assert.same({ 0, "out\n", "err\n" }, { result.code, result.stdout, result.stderr })
      assert.equal("a b\n", sail.run("echo", "a", "b").stdout)
    end)

    it("raises unless it exits with 0, with its last words as the hint", function()
      local err = raised(sail.run, { "sh", "-c", "echo first >&2; echo 'no space left' >&2; exit 3" })
      assert.same({ "recipe", 3, "no space left" }, { err.kind, err.code, err.hint })
      assert.matches("^'sh %-c .*' ended with exit code 3$", err.message)
      assert.equal("SIGKILL", raised(sail.run, "sh", "-c", "kill -9 $$").signal)
    end)

    it("does not raise for that with check = false", function()
      assert.equal(3, sail.run({ "sh", "-c", "exit 3", check = false }).code)
    end)

    it("raises when there is no such command", function()
      local err = raised(sail.run, "moonsail-no-such-command")
      assert.same({ "recipe", "ENOENT" }, { err.kind, err.code })
    end)

    it("reveals a secret to the command only", function()
      local result = sail.run {
        "sh", "-c", 'printf %s "$SECRET"', environment = { SECRET = sail.secret "PATH", PATH = os.getenv "PATH" },
      }
      assert.equal(os.getenv "PATH", result.stdout)
    end)

    it("refuses no command, and an option that it does not know", function()
      for _, options in ipairs { {}, { "true", chek = false } } do
        assert.equal("usage", raised(sail.run, options).kind)
      end
    end)
  end)

  describe(".env", function()
    it("reads a variable, or the default", function()
      assert.equal(os.getenv "PATH", sail.env "PATH")
      assert.equal("none", sail.env("MOONSAIL_NO_SUCH_VARIABLE", "none"))
      assert.is_nil(sail.env "MOONSAIL_NO_SUCH_VARIABLE")
      assert.equal("usage", raised(sail.env, 3).kind)
    end)
  end)

  describe("the clock", function()
    it("tells the time in seconds", function()
      assert.is_true(math.abs(sail.now() - os.time()) < 5)
    end)

    it("writes dates in UTC", function()
      assert.equal("2001-09-09T01:46:40Z", sail.date(nil, 1e9))
      assert.equal("2001-09-09", sail.date("%Y-%m-%d", 1e9 + 0.5))
      assert.equal(os.date "!%Y", sail.date "%Y")
      assert.equal("usage", raised(sail.date, "%Ö").kind)
    end)

    it("sleeps", function()
      local begun = task.monotonic()
      sail.sleep(0.01)
      assert.is_true(task.monotonic() - begun >= 0.009)
    end)
  end)

  describe("tasks", function()
    it("map, with and without a limit", function()
      local function double(n) return 2 * n end
      assert.same({ 2, 4, n = 2 }, sail.map({ 1, 2 }, { limit = 1 }, double))
      assert.same({ 2, 4, n = 2 }, sail.map({ 1, 2 }, double))
    end)

    it("raise what one of them raises, whole", function()
      local err = raised(sail.all, { function() sail.sleep(60) end, function() sail.error("broken", "mend it") end })
      assert.equal("broken\n  mend it", tostring(err))
    end)

    it("race", function()
      local result, index = sail.race { function() sail.sleep(60) end, function() return "fast" end }
      assert.same({ "fast", 2 }, { result, index })
    end)

    it("end when their time is over", function()
      assert.same({ 1, 2 }, { sail.timeout(10, function(...) return ... end, 1, 2) })
      local err = raised(sail.timeout, 0.01, sail.sleep, 60)
      assert.same({ "recipe", "it was not done after 0.01 s" }, { err.kind, err.message })
    end)

    it("refuse wrong arguments in the recipe's own words", function()
      local fn = function() end
      for text, call in pairs {
        ["sail.sleep takes a number of seconds, not -1\n  Such as sail.sleep(0.5)."] = { sail.sleep, -1 },
        ["sail.sleep takes a number of seconds, not nothing\n  Such as sail.sleep(0.5)."] = { sail.sleep },
        ["sail.spawn takes a function, not a table\n  Such as sail.spawn(function() … end)."] = { sail.spawn, {} },
      } do
        assert.equal(text, tostring(raised(table.unpack(call))))
      end
      for _, call in ipairs {
        { sail.sleep, 0 / 0 }, { sail.sleep, "1" }, { sail.timeout, -1, fn }, { sail.timeout, 1 }, { sail.timeout, fn },
        { sail.all }, { sail.all, { 1 } }, { sail.all, fn }, { sail.race, { {} } }, { sail.race, {} }, { sail.map },
        { sail.map, {} }, { sail.map, {}, {} }, { sail.map, {}, { limit = 0 }, fn },
        { sail.map, {}, { limit = "2" }, fn },
        { sail.map, fn, fn }, { sail.map, {}, 3, fn }, { sail.date, 3 }, { sail.date, nil, "x" },
      } do
        local err = raised(table.unpack(call, 1, 4))
        assert.equal("usage", err.kind)
        assert.not_matches("host%.", err.message)
      end
    end)

    it("are spawned and joined", function()
      assert.equal(3, sail.spawn(function(n) return n + 1 end, 2):join())
    end)
  end)

  describe("the console", function()
    it("prints beside the display", function()
      sail.print("a", 1, nil, true)
      assert.same({ "a\t1\tnil\ttrue\n" }, printed)
    end)

    it("aligns records by their fields", function()
      sail.table({ { name = "build", id = 2 }, { name = "é", id = 100 }, { id = 7 } },
        { "name", { key = "id", title = "ID" } })
      assert.equal("name    ID\nbuild    2\né      100\n         7\n", printed[1])
    end)

    it("aligns lists by their place", function()
      assert.equal("PIPELINE  TIME\nbuild     1 s\n",
        console.format_table({ { "build", "1 s" } }, { "PIPELINE", "TIME" }))
      assert.equal("a   1\nbb  2\n", console.format_table { { "a", 1 }, { "bb", 2 } })
      assert.equal("", console.format_table {})
      assert.equal("NAME\n", console.format_table({}, { "NAME" }))
    end)

    it("keeps a row on one line", function()
      assert.equal("a b\n", console.format_table { { "a\nb" } })
    end)

    it("does not ask where nobody can answer", function()
      local result = moonsail.run("/tmp", { "eval", "return sail.confirm 'Really?'" })
      assert.equal(2, result.code)
      assert.matches("there is nobody to ask: Really?", result.stderr, 1, true)
    end)
  end)

  describe("effects", function()
    local effect = require "host.effect"
    local crossings

    before_each(function()
      crossings = {}
      effect.observe(function(crossing)
        crossings[#crossings + 1] = crossing.name .. (crossing.write and "!" or "")
      end)
    end)
    after_each(function() effect.observe(nil) end)

    it("are crossed by whatever touches the world", function()
      sail.now()
      sail.date "%Y"
      sail.sleep(0)
      sail.env "PATH"
      sail.secret "PATH"
      sail.print "x"
      sail.http.get(api.url .. "/x")
      sail.http.post { url = api.url .. "/x", body = "" }
      sail.run "true"
      assert.same({
        "clock.now", "clock.now", "clock.sleep", "environment.read", "secret.read", "console.write", "http.read",
        "http.write!", "process.run!",
      }, crossings)
    end)

    it("are not crossed by what does not", function()
      sail.date("%Y", 0)
      sail.project "acme/website":pipeline "build"
      sail.json.encode { 1 }
      sail.parameters {}
      sail.map({ 1 }, {}, function() end)
      assert.same({}, crossings)
    end)
  end)
end)

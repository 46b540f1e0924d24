local http = require "host.http"
local process = require "host.process"
local server = require "host.server"
local task = require "host.task"

local function raw(port, text, how)
  return assert(process.run {
    command = { "perl", "spec/support/raw_client.pl", tostring(port), how }, input = text,
  }).stdout
end

describe("host.server", function()
  local open

  --- Listens and returns the base URL; closed after the test.
  local function listen(handler, options)
    open = assert(server.listen(options or {}, handler))
    return "http://127.0.0.1:" .. open.port
  end

  after_each(function()
    if open then open:close() end
    open = nil
  end)

  describe("a request", function()
    it("arrives with its method, path, query, headers, body and peer", function()
      local seen
      local url = listen(function(request)
        seen = request
        return {}
      end)
      assert(http.request {
        method = "PUT", url = url .. "/a%2Fb/c%20d?x=1&y=a+b%26c&x=2&flag", body = "the\0body",
        headers = { ["X-Some-Thing"] = "One", ["Content-Type"] = "text/plain" },
      })
      assert.equal("PUT", seen.method)
      assert.equal("/a%2Fb/c%20d", seen.path)
      assert.same({ x = "2", y = "a b&c", flag = "" }, seen.query)
      assert.equal("One", seen.headers["x-some-thing"])
      assert.equal("text/plain", seen.headers["content-type"])
      assert.equal("the\0body", seen.body)
      assert.equal("127.0.0.1", seen.address)
    end)

    it("has one header of repeated ones", function()
      listen(function(request) return { body = request.headers["x-a"] } end)
      local text = "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n"
      assert.matches("\r\n\r\n1, 2$", raw(open.port, text))
    end)

    it("keeps what is not a proper escape in its query", function()
      local seen
      local url = listen(function(request)
        seen = request.query
        return {}
      end)
      assert(http.request { url = url .. "/?a=100%&b=%zz&%63=%41%00" })
      assert.same({ a = "100%", b = "%zz", c = "A\0" }, seen)
    end)

    it("with more than 8 KiB of headers gets 431", function()
      local url = listen(function() return {} end, {
        reject = function(status) return { status = status, body = "reject" } end,
      })
      local function answer(size)
        return assert(http.request { url = url, headers = { ["X-Long"] = ("x"):rep(size) } })
      end
      assert.equal(200, answer(7900).status)
      assert.same({ 431, "reject" }, { answer(8200).status, answer(8200).body })
    end)

    it("keeps an encoded NUL in its path as it is", function()
      local seen
      local url = listen(function(request)
        seen = request.path
        return {}
      end)
      assert(http.request { url = url .. "/a%00b/%2e%2e/c" })
      assert.equal("/a%00b/%2e%2e/c", seen)
    end)
  end)

  describe("an answer", function()
    it("has the status, headers and body that the handler returned", function()
      local url = listen(function()
        return { status = 418, headers = { ["X-Kind"] = "teapot" }, body = ("b"):rep(100000) .. "\0" }
      end)
      local answer = assert(http.request { url = url })
      assert.equal(418, answer.status)
      assert.equal("teapot", answer.headers["x-kind"])
      assert.equal(("b"):rep(100000) .. "\0", answer.body)
    end)

    it("to HEAD has no body", function()
      local url = listen(function() return { body = "12345" } end)
      local answer = assert(http.request { method = "HEAD", url = url })
      assert.same({ 200, "", "5" }, { answer.status, answer.body, answer.headers["content-length"] })
    end)

    it("of 204 has neither a body nor its length", function()
      local url = listen(function() return { status = 204, body = "ignored" } end)
      local answer = assert(http.request { url = url })
      assert.same({ 204, "" }, { answer.status, answer.body })
      assert.is_nil(answer.headers["content-length"])
    end)

    it("has headers up to 8 KiB, and not those that frame it", function()
      local headers
      local url = listen(function() return { headers = headers } end, { on_error = function() end })
      local function status(of)
        headers = of
        return assert(http.request { url = url }).status
      end
      assert.equal(200, status { ["X-Long"] = ("x"):rep(8000) })
      assert.equal(500, status { ["X-Long"] = ("x"):rep(9000) })
      assert.equal(500, status { ["Content-Length"] = "3" })
      assert.equal(500, status { ["transfer-encoding"] = "chunked" })
      assert.equal(500, status { ["a b"] = "c" })
      assert.equal(500, status { ["X-Table"] = {} })
    end)

    it("cannot smuggle a header in", function()
      local problem
      local url = listen(function() return { headers = { ["X-A"] = "1\r\nX-B: 2" } } end,
        { on_error = function(message) problem = message end })
      local answer = assert(http.request { url = url })
      assert.equal(500, answer.status)
      assert.is_nil(answer.headers["x-b"])
      assert.matches("X%-A", problem)
    end)

    it("may come after a wait, from many handlers at once", function()
      local running, most = 0, 0
      local url = listen(function(request)
        running = running + 1
        most = math.max(most, running)
        task.sleep(0.02)
        running = running - 1
        return { body = request.path }
      end)
      local paths = {}
      for i = 1, 64 do paths[i] = "/" .. i end
      local bodies = task.map(paths, {}, function(path) return assert(http.request { url = url .. path }).body end)
      for i, path in ipairs(paths) do assert.equal(path, bodies[i]) end
      assert.is_true(most > 32)
    end)
  end)

  describe("a handler that raises or returns nonsense", function()
    for name, handler in pairs {
      ["an error"] = function() error "broken" end,
      ["no table"] = function() return 5 end,
      ["nothing"] = function() end,
      ["a status that is none"] = function() return { status = 42 } end,
      ["a body that is none"] = function() return { body = {} } end,
    } do
      it(name .. ": is told of, and the client gets 500", function()
        local told = 0
        local url = listen(handler, { on_error = function() told = told + 1 end })
        assert.equal(500, assert(http.request { url = url }).status)
        assert.equal(500, assert(http.request { url = url }).status)
        assert.equal(2, told)
      end)
    end

    it("is answered in the words of `reject`", function()
      local url = listen(function() error "broken" end, {
        on_error = function() end,
        reject = function(status) return { status = status, body = '{"errors":[]}', headers = { ["X-R"] = "1" } } end,
      })
      local answer = assert(http.request { url = url })
      assert.same({ 500, '{"errors":[]}', "1" }, { answer.status, answer.body, answer.headers["x-r"] })
    end)
  end)

  describe("a body that is too large", function()
    it("gets 413 before it is read", function()
      local called = false
      listen(function()
        called = true
        return {}
      end, { max_body = 1000 })
      local head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
      assert.matches("^HTTP/1.1 413 ", raw(open.port, head))
      assert.is_false(called)
    end)

    it("gets 413 when it grows too large in pieces", function()
      listen(function() return {} end, { max_body = 1000 })
      local text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      for _ = 1, 50 do text = text .. "64\r\n" .. ("x"):rep(100) .. "\r\n" end
      assert.matches("^HTTP/1.1 413 ", raw(open.port, text .. "0\r\n\r\n"))
    end)

    it("is taken up to the limit", function()
      local url = listen(function(request) return { body = tostring(#request.body) } end, { max_body = 1000 })
      assert.equal("1000", assert(http.request { url = url, body = ("x"):rep(1000) }).body)
    end)
  end)

  it("keeps the connection for the next request", function()
    local url = listen(function() return { body = "kept" } end, { max_connections = 1 })
    for _ = 1, 5 do assert.equal("kept", assert(http.request { url = url, timeout = 5 }).body) end
  end)

  it("closes idle connections, and then serves who has waited for one of them", function()
    local greeted, full = 0, task.event()
    local url = listen(function(request)
      if request.path == "/slow" then
        task.sleep(1.2) -- longer than idle, but not idle
        return { body = "slow" }
      end
      greeted = greeted + 1
      if greeted == 2 then full:notify() end
      return {}
    end, { max_connections = 2, idle_timeout = 1 })
    for _ = 1, 2 do task.spawn(raw, open.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /half HT") end
    assert.is_true((full:wait(10)))
    assert.equal("slow", assert(http.request { url = url .. "/slow", timeout = 10 }).body)
  end)

  it("serves others while a request comes a byte at a time", function()
    local url = listen(function(request) return { body = request.body } end)
    local slow = task.spawn(raw, open.port,
      "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nslow!", "byte")
    for _ = 1, 20 do assert.equal("quick", assert(http.request { url = url, body = "quick" }).body) end
    assert.matches("\r\n\r\nslow!$", slow:join())
  end)

  it("gives up on a head or a body that does not come, and says so", function()
    local url = listen(function() return { body = "fine" } end, { head_timeout = 1, body_timeout = 1,
      reject = function(status, message) return { status = status, body = message } end })
    local slow = task.map({ "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12",
      "" }, {},
      function(text) return raw(open.port, text) end)
    assert.matches("^HTTP/1.1 408 .*\r\n\r\nthe request's head did not come in time$", slow[1])
    assert.matches("^HTTP/1.1 408 .*\r\n\r\nthe request's body did not come in time$", slow[2])
    assert.equal("", slow[3])
    assert.equal("fine", assert(http.request { url = url }).body)
  end)

  it("makes room for another client when all connections are idle", function()
    local url = listen(function(request) return { body = request.path } end, { max_connections = 2 })
    for _ = 1, 2 do task.spawn(raw, open.port, "GET /kept HTTP/1.1\r\nHost: x\r\n\r\n") end
    for index = 1, 20 do
      assert.equal("/" .. index, assert(http.request { url = url .. "/" .. index, timeout = 5 }).body)
      task.spawn(raw, open.port, "GET /kept HTTP/1.1\r\nHost: x\r\n\r\n")
    end
  end)

  it("answers what is not HTTP with 400, and goes on", function()
    local url = listen(function() return { body = "fine" } end)
    raw(open.port, "nonsense\r\n\r\n")
    assert.equal("fine", assert(http.request { url = url }).body)
  end)

  it("lets a handler finish whose client has gone", function()
    local finished = task.event()
    local url = listen(function()
      task.sleep(0.05)
      finished:notify()
      return {}
    end)
    local answer, _, code = http.request { url = url, timeout = 0.01 }
    assert.same({ nil, "timeout" }, { answer, code })
    assert.is_true((finished:wait(5)))
  end)

  describe(".listen", function()
    it("tells when the port is taken", function()
      listen(function() return {} end)
      local second, message, code = server.listen({ port = open.port }, function() end)
      assert.is_nil(second)
      assert.equal("EADDRINUSE", code)
      assert.matches(tostring(open.port), message)
    end)

    it("refuses what makes no sense", function()
      assert.has_error(function() server.listen({ port = 70000 }, print) end)
      assert.has_error(function() server.listen({ address = "not an address" }, print) end)
      assert.has_error(function() server.listen({}, nil) end)
    end)

    it("takes an IPv6 address", function()
      local six <close> = server.listen({ address = "::1" }, function() return { body = "six" } end)
      if six then assert.equal("six", assert(http.request { url = "http://[::1]:" .. six.port }).body) end
    end)
  end)

  describe(":close", function()
    it("ends handlers that run, and answers nothing more", function()
      local unwound = false
      local url = listen(function()
        local _ <close> = setmetatable({}, { __close = function() unwound = true end })
        task.sleep(1e6)
      end)
      local client = task.spawn(http.request, { url = url, timeout = 10 })
      while client.status ~= "waiting" do task.yield() end
      task.sleep(0.02)
      open:close()
      assert.is_nil((client:join()))
      assert.is_true(unwound)
      assert.is_nil((http.request { url = url, timeout = 1 }))
    end)

    it("may be called by a handler, which still answers, or fails in silence", function()
      local told
      local url = listen(function()
        open:close()
        return { body = "bye" }
      end)
      assert.equal("bye", assert(http.request { url = url }).body)
      url = listen(function()
        open:close()
        task.sleep(1e6)
      end, { on_error = function(message) told = message end })
      assert.is_nil((http.request { url = url, timeout = 5 }))
      assert.is_nil(told)
    end)

    it("may be called by on_error", function()
      local url = listen(function()
        task.sleep(0.01)
        error "late"
      end, { on_error = function() open:close() end })
      assert.is_nil((http.request { url = url, timeout = 5 }))
    end)

    it("may be called again", function()
      listen(function() return {} end)
      open:close()
      open:close()
    end)

    it("comes by itself when the task that listens has ended, failed or was cancelled", function()
      local port
      local function owner(how)
        local listening = assert(server.listen({}, function() return {} end))
        port = listening.port
        how()
      end
      local function closed()
        return http.request { url = "http://127.0.0.1:" .. port, timeout = 1 } == nil
      end
      task.spawn(owner, function() end):join()
      assert.is_true(closed())
      local failing = task.spawn(owner, error)
      assert.is_false((pcall(failing.join, failing)))
      assert.is_true(closed())
      local cancelled = task.spawn(owner, function() task.sleep(1e6) end)
      task.yield()
      cancelled:cancel()
      assert.is_false((pcall(cancelled.join, cancelled)))
      assert.is_true(closed())
    end)
  end)
end)

local http = require "host.http"
local process = require "host.process"
local server = require "host.server"
local task = require "host.task"

local MIB = 1024 * 1024

---A server that misbehaves as the path says: see support/raw_server.pl.
local function raw_server()
  local child = assert(process.spawn { command = { "perl", "spec/support/raw_server.pl" }, merge = true })
  local pending = ""
  local raw = setmetatable({}, { __close = function() child:close() end })

  local function next_line()
    while not pending:find "\n" do
      pending = pending .. assert(child:read(), "the server has ended")
    end
    local line, rest = pending:match "^(.-)\n(.*)$"
    pending = rest
    return line
  end

  raw.port = tonumber(next_line())
  raw.url = "http://127.0.0.1:" .. raw.port

  ---The lines up to one that begins with `last`, without it.
  function raw.log_until(last)
    local lines = {}
    for line in next_line do
      if line:sub(1, #last) == last then return lines end
      lines[#lines + 1] = line
    end
  end

  ---Every request that arrived before now.
  function raw.log()
    assert(http.request { url = raw.url .. "/ok", method = "OPTIONS" })
    return raw.log_until "OPTIONS"
  end

  return raw
end

---A server of our own that answers with what it was asked.
local function echo_server()
  return assert(server.listen({ max_body = 32 * MIB }, function(request)
    local lines = { request.method .. " " .. request.path }
    for name, value in pairs(request.headers) do
      lines[#lines + 1] = name .. ": " .. value
    end
    return { body = table.concat(lines, "\n") .. "\n\n" .. request.body }
  end))
end

local function url_of(listening, path)
  return ("http://127.0.0.1:%d%s"):format(listening.port, path or "/")
end

---The part of our own memory that was ever used since `fn` began, in bytes.
local function peak_of(fn)
  local function status(name)
    local file <close> = assert(io.open "/proc/self/status")
    return tonumber(file:read("a"):match(name .. ":%s*(%d+) kB")) * 1024
  end
  local clear <close> = assert(io.open("/proc/self/clear_refs", "w"))
  clear:write "5"
  clear:flush()
  local before = status "VmRSS"
  fn()
  return status "VmHWM" - before
end

---Runs a few words of Lua in a host of its own, with this in its environment; returns what they return.
local function in_new_host(environment, words)
  local all = { PATH = os.getenv "PATH", HOME = "/nonexistent", MOONSAIL_LUA = os.getenv "MOONSAIL_LUA" }
  for name, value in pairs(environment) do all[name] = value end
  local result = assert(process.run { command = { "/proc/self/exe", "eval", words }, environment = all, merge = true })
  return (result.stdout:gsub("%s+$", ""))
end

describe("host.http", function()
  describe(".request", function()
    it("sends the method, the headers and the body as they are", function()
      local listening <close> = echo_server()
      local answer = assert(http.request {
        url = url_of(listening, "/a%20b?c=d"), method = "PUT", body = "one\0two\r\n",
        headers = { ["X-One"] = "1", ["x-two"] = "zwei: \xc3\xa4", ["X-Empty"] = "", ["Content-Type"] = "text/x" },
      })
      assert.equal(200, answer.status)
      local head, body = answer.body:match "^(.-)\n\n(.*)$"
      assert.equal("one\0two\r\n", body)
      assert.truthy(head:find("PUT /a%20b", 1, true))
      assert.truthy(head:find("x-one: 1", 1, true))
      assert.truthy(head:find("x-two: zwei: \xc3\xa4", 1, true))
      assert.truthy(head:find("x-empty: ", 1, true))
      assert.truthy(head:find("content-type: text/x", 1, true))
      assert.truthy(head:find("content-length: 9", 1, true))
    end)

    it("is a GET without a body and a POST with one, and invents no content type", function()
      local listening <close> = echo_server()
      assert.truthy(assert(http.request { url = url_of(listening) }).body:find "^GET /\n")
      local answer = assert(http.request { url = url_of(listening), body = "" })
      assert.truthy(answer.body:find "^POST /\n")
      assert.falsy(answer.body:find "content%-type")
      assert.truthy(answer.body:find "user%-agent: moonsail/")
    end)

    it("takes every method, with a body or without", function()
      local listening <close> = echo_server()
      for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } do
        for _, body in ipairs { false, "body" } do
          local answer = assert(http.request { url = url_of(listening), method = method, body = body or nil })
          assert.truthy(answer.body:find("^" .. method .. " /\n"))
          assert.equal(body or "", answer.body:match "\n\n(.*)$")
        end
      end
      local answer = assert(http.request { url = url_of(listening), method = "HEAD" })
      assert.same({ 200, "" }, { answer.status, answer.body })
      assert.truthy(tonumber(answer.headers["content-length"]) > 0)
    end)

    it("sends a large body at once, without asking first", function()
      local listening <close> = echo_server()
      local body = ("0123456789abcdef"):rep(MIB // 2)
      local answer = assert(http.request { url = url_of(listening), body = body })
      assert.falsy(answer.body:sub(1, 1000):find "expect")
      assert.is_true(answer.body:sub(-#body) == body)
    end)

    it("takes any status as an answer", function()
      local listening <close> = assert(server.listen({}, function(request)
        return { status = tonumber(request.path:sub(2)), headers = { ["Content-Type"] = "text/html" }, body = "<html>" }
      end))
      for _, status in ipairs { 201, 302, 404, 429, 500, 599 } do
        local answer = assert(http.request { url = url_of(listening, "/" .. status) })
        assert.same({ status, "<html>", "text/html" }, { answer.status, answer.body, answer.headers["content-type"] })
      end
    end)

    it("gives header names in lower case, repeated ones joined, folded ones unfolded", function()
      local raw <close> = raw_server()
      assert.same({
        ["content-length"] = "0", ["x-one"] = "1", ["x-two"] = "a, b", ["x-fold"] = "c d", ["x-empty"] = "",
      }, assert(http.request { url = raw.url .. "/headers" }).headers)
    end)

    it("passes over interim answers and trailers", function()
      local raw <close> = raw_server()
      local answer = assert(http.request { url = raw.url .. "/interim" })
      assert.same({ 200, "ok", "1" }, { answer.status, answer.body, answer.headers["x-real"] })
      assert.is_nil(answer.headers.link)
      answer = assert(http.request { url = raw.url .. "/trailers" })
      assert.same({ "ok" }, { answer.body, answer.headers["x-late"] })
    end)

    it("decompresses", function()
      local raw <close> = raw_server()
      assert.equal("hello, hello, hello", assert(http.request { url = raw.url .. "/gzip" }).body)
    end)

    it("uses a connection again", function()
      local raw <close> = raw_server()
      for _ = 1, 3 do assert(http.request { url = raw.url .. "/ok", body = "b" }) end
      assert.same({ "POST /ok 1 b", "POST /ok 2 b", "POST /ok 3 b" }, raw.log())
    end)

    it("serves many tasks at once", function()
      local listening <close> = assert(server.listen({}, function(request)
        task.yield()
        return { body = request.body .. request.body }
      end))
      local bodies = {}
      for i = 1, 500 do bodies[i] = "number " .. i end
      local answers = task.map(bodies, { limit = 50 }, function(body)
        return assert(http.request { url = url_of(listening), body = body }).body
      end)
      for i, body in ipairs(bodies) do assert.equal(body .. body, answers[i]) end
    end)

    it("does not look at its table again once it waits", function()
      local listening <close> = echo_server()
      local request = { url = url_of(listening), body = "as it " .. "was", headers = { ["X-Old"] = "1" } }
      local answer
      local child = task.spawn(function() answer = assert(http.request(request)) end)
      task.yield()
      request.body, request.url, request.headers = nil, nil, nil
      collectgarbage()
      child:join()
      assert.equal("as it was", answer.body:match "\n\n(.*)$")
      assert.equal(url_of(listening), answer.url)
    end)
  end)

  describe("an answer that does not come whole", function()
    local message -- of the last one

    ---Its code, and whether anything was sent.
    local function failure(request)
      local answer, code, sent
      answer, message, code, sent = http.request(request)
      assert.is_nil(answer)
      return code, sent
    end

    it("is `connect` when nobody listens, and nothing was sent", function()
      assert.same({ "connect", false }, { failure { url = "http://127.0.0.1:1/", body = "x" } })
      assert.equal("cannot connect to 127.0.0.1:1: Connection refused", message)
    end)

    it("is `resolve` when there is no such host", function()
      assert.same({ "resolve", false }, { failure { url = "http://" .. ("x"):rep(64) .. "/" } })
      assert.truthy(message:find("xxx:80", 1, true))
    end)

    it("is `timeout` when it is late, and the connection is closed", function()
      local raw <close> = raw_server()
      assert.same({ "timeout", true }, { failure { url = raw.url .. "/silent", timeout = 0.05 } })
      assert.equal(("127.0.0.1:%d did not answer within 0.05 s"):format(raw.port), message)
      assert.same({ "GET /silent 1 " }, raw.log_until "GONE")
    end)

    it("is `timeout`, with nothing sent, when there is no connection in time", function()
      local raw <close> = raw_server()
      assert.same({ "timeout", false }, { failure { url = raw.url:gsub("http", "https"), connect_timeout = 0.05 } })
      assert.equal(("cannot connect to 127.0.0.1:%d within 0.05 s"):format(raw.port), message)
    end)

    it("is `reset` when the connection ends first", function()
      local raw <close> = raw_server()
      for _, path in ipairs { "/close", "/reset", "/interim-only" } do
        assert.same({ "reset", true }, { failure { url = raw.url .. path, body = "x" } }, path)
      end
    end)

    it("is `truncated` when it breaks off", function()
      local raw <close> = raw_server()
      for _, path in ipairs { "/short", "/half-head", "/half-chunk" } do
        assert.same({ "truncated", true }, { failure { url = raw.url .. path, body = "x" } }, path)
      end
    end)

    it("is `protocol` when it cannot be understood", function()
      local raw <close> = raw_server()
      for _, path in ipairs { "/garbage", "/bad-gzip" } do
        assert.same({ "protocol", true }, { failure { url = raw.url .. path } }, path)
      end
    end)

    it("is `too_large` when it is longer than asked for, and is not kept", function()
      local raw <close> = raw_server()
      for _, path in ipairs { "/huge", "/endless", "/bomb" } do
        local code, sent
        local peak = peak_of(function() code, sent = failure { url = raw.url .. path, max_bytes = MIB } end)
        assert.same({ "too_large", true }, { code, sent }, path)
        assert.truthy(peak < 16 * MIB, path .. " took " .. peak)
      end
      assert.same("too_large", (failure { url = raw.url .. "/ok", max_bytes = 1 }))
      assert.same("too_large", (failure { url = raw.url .. "/long-head" }))
      assert.equal("ok", assert(http.request { url = raw.url .. "/ok", max_bytes = 2 }).body)
    end)
  end)

  describe("a request on a connection that has died", function()
    it("is sent exactly once when it is a POST or a PATCH", function()
      local raw <close> = raw_server()
      for _, method in ipairs { "POST", "PATCH" } do
        for _, path in ipairs { "/fragile", "/reset" } do
          assert(http.request { url = raw.url .. "/ok" })
          local answer, _, code, sent = http.request { url = raw.url .. path, method = method, body = "x" }
          assert.same({ nil, "reset", true }, { answer, code, sent })
          local log = raw.log()
          assert.equal(("%s %s 2 x"):format(method, path), table.remove(log))
          assert.same({ "GET /ok 1 " }, log)
          assert(http.request { url = raw.url .. "/last" }) -- so that the next round begins on a new connection
          raw.log_until "GET /last"
        end
      end
    end)

    it("is sent again when it is idempotent", function()
      local raw <close> = raw_server()
      for round = 1, 12 do
        local method = ({ "GET", "PUT", "DELETE" })[round % 3 + 1]
        local body = method == "PUT" and "x" or ""
        assert(http.request { url = raw.url .. "/fragile" })
        raw.log_until "GET /fragile 1"
        local answer = assert(http.request {
          url = raw.url .. "/fragile", method = method, body = body ~= "" and body or nil,
        })
        assert.equal("ok", answer.body)
        assert.same({ method .. " /fragile 2 " .. body }, raw.log_until(method .. " /fragile 1 " .. body))
        assert(http.request { url = raw.url .. "/last" })
        raw.log_until "GET /last"
      end
    end)
  end)

  describe("a redirect", function()
    local function redirect(raw, status, to)
      return ("%s/redirect?%d,%s"):format(raw.url, status, to)
    end

    it("is an answer like any other unless asked for", function()
      local raw <close> = raw_server()
      local answer = assert(http.request { url = redirect(raw, 302, "http://127.0.0.1:1/") })
      assert.same({ 302, "move", "http://127.0.0.1:1/" }, { answer.status, answer.body, answer.headers.location })
    end)

    it("is followed as often as asked", function()
      local raw <close> = raw_server()
      local twice = redirect(raw, 301, "/redirect?302,/ok")
      local answer = assert(http.request { url = twice, redirects = 2 })
      assert.same({ 200, "ok", raw.url .. "/ok" }, { answer.status, answer.body, answer.url })
      local none, _, code, sent = http.request { url = twice, redirects = 1 }
      assert.same({ nil, "redirects", true }, { none, code, sent })
    end)

    it("makes a GET of a POST where that is custom, and of everything for See Other", function()
      local raw <close> = raw_server()
      local function arrives(method, status)
        local answer = assert(http.request {
          url = redirect(raw, status, "/echo"), method = method, body = "body", redirects = 1,
        })
        return answer.body:match "^%S+" .. (answer.body:match "\n\r?\n(.*)$")
      end
      assert.equal("GET", arrives("POST", 301))
      assert.equal("GET", arrives("POST", 302))
      assert.equal("GET", arrives("POST", 303))
      assert.equal("GET", arrives("PUT", 303))
      assert.equal("POSTbody", arrives("POST", 307))
      assert.equal("POSTbody", arrives("POST", 308))
      assert.equal("PUTbody", arrives("PUT", 302))
      assert.equal("PATCHbody", arrives("PATCH", 308))
    end)

    it("takes Authorization along to the same origin only; another port is another origin", function()
      local here <close> = raw_server()
      local there <close> = raw_server()
      local function arrives(to)
        local answer = assert(http.request {
          url = redirect(here, 307, to), redirects = 1, headers = { Authorization = "Bearer token", ["X-Other"] = "1" },
        })
        assert.truthy(answer.body:find("X-Other: 1", 1, true))
        return answer.body:find("Bearer token", 1, true) ~= nil
      end
      assert.is_true(arrives "/echo")
      assert.is_true(arrives(here.url .. "/echo"))
      assert.is_false(arrives(there.url .. "/echo"))
      assert.is_false(arrives(here.url:gsub("127.0.0.1", "localhost") .. "/echo"))
    end)

    it("leads to http and https only, and not to credentials", function()
      local raw <close> = raw_server()
      for _, to in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/x", raw.url:gsub("//", "//user:pass@") .. "/ok" } do
        local answer, _, code, sent = http.request { url = redirect(raw, 302, to), redirects = 5 }
        assert.same({ nil, "protocol", true }, { answer, code, sent }, to)
      end
    end)
  end)

  describe("misuse", function()
    local function fault(request)
      local ok, message = pcall(http.request, request)
      assert.is_false(ok)
      return message
    end

    it("raises, says which field, and sends nothing", function()
      local raw <close> = raw_server()
      local cases = {
        { { url = raw.url, headers = { ["X-A"] = "a\r\nb" } }, "control character in the value of 'X-A'" },
        { { url = raw.url, headers = { ["X-A"] = "a\0b" } }, "control character in the value of 'X-A'" },
        { { url = raw.url, headers = { ["X-A\n"] = "a" } }, "a name with a character" },
        { { url = raw.url, headers = { ["X A"] = "a" } }, "a name with a character" },
        { { url = raw.url, headers = { [""] = "a" } }, "a name with a character" },
        { { url = raw.url, headers = { "a" } }, "a name that is not a string" },
        { { url = raw.url, headers = { ["X-A"] = 1 } }, "a number as the value of 'X-A'" },
        { { url = raw.url, headers = { ["Content-length"] = "3" } }, "follows from the body" },
        { { url = raw.url, headers = "X-A: a" }, "field 'headers' is a string, not a table" },
        { { url = "http://user:secret@127.0.0.1/" }, "has credentials" },
        { { url = "HTTP://user@127.0.0.1/" }, "has credentials" },
        { { url = "ftp://127.0.0.1/" }, "begins with http:// or https://" },
        { { url = "file:///etc/passwd" }, "begins with http:// or https://" },
        { { url = "127.0.0.1" }, "begins with http:// or https://" },
        { { url = "http:///x" }, "names no host" },
        { { url = raw.url .. "/a b" }, "a blank or a control character" },
        { { url = raw.url .. "/a\0b" }, "a blank or a control character" },
        { { url = "http://127.0.0.1:99999/" }, "field 'url' is not valid" },
        { { url = "http://[::1/" }, "field 'url' is not valid" },
        { { url = 1 }, "field 'url' is a number, not a string" },
        { {}, "field 'url' is missing" },
        { { url = raw.url, method = "post" }, "a method in capitals" },
        { { url = raw.url, method = "GET /\r\nX: y" }, "a method in capitals" },
        { { url = raw.url, method = "CONNECT" }, "field 'method'" },
        { { url = raw.url, method = "HEAD", body = "x" }, "field 'body'" },
        { { url = raw.url, body = {} }, "field 'body' is a table, not a string" },
        { { url = raw.url, timeout = 0 }, "field 'timeout'" },
        { { url = raw.url, timeout = 0 / 0 }, "field 'timeout'" },
        { { url = raw.url, connect_timeout = -1 }, "field 'connect_timeout'" },
        { { url = raw.url, max_bytes = -1 }, "field 'max_bytes'" },
        { { url = raw.url, max_bytes = 1.5 }, "field 'max_bytes'" },
        { { url = raw.url, redirects = 1000 }, "field 'redirects' is not a whole number from 0 to 50" },
        { { url = raw.url, on_data = "x" }, "field 'on_data' is a string, not a function" },
        { { url = raw.url, timout = 3 }, "there is no field 'timout'" },
      }
      for _, case in ipairs(cases) do
        local message = fault(case[1])
        assert.truthy(message:find(case[2], 1, true), message)
        assert.falsy(message:find("secret", 1, true))
      end
      assert.truthy(fault(nil):find("table expected", 1, true))
      assert.same({}, raw.log())
    end)

    it("raises where nothing can wait", function()
      assert.has_error(function()
        table.sort({ 2, 1 }, function() return http.request { url = "http://127.0.0.1:1/" } end)
      end, "cannot wait here: called across a C function, such as table.sort or string.gsub")
    end)
  end)

  describe("cancelling", function()
    it("closes the connection", function()
      local raw <close> = raw_server()
      local child = task.spawn(http.request, { url = raw.url .. "/silent", body = "x" })
      raw.log_until "POST /silent"
      child:cancel()
      assert.is_false(pcall(child.join, child))
      raw.log_until "GONE"
    end)

    it("stops a request that has not begun", function()
      local raw <close> = raw_server()
      local child = task.spawn(http.request, { url = raw.url .. "/ok", body = "x" })
      task.spawn(child.cancel, child):join()
      assert.is_false(pcall(child.join, child))
      assert.same({}, raw.log())
    end)

    it("leaves nothing behind, whenever it comes", function()
      local listening <close> = assert(server.listen({}, function(request)
        for _ = 1, #request.body do task.yield() end
        return { body = request.body }
      end))
      local cancelled, answered = 0, 0
      local numbers = {}
      for i = 1, 1000 do numbers[i] = i end
      task.map(numbers, { limit = 100 }, function(i)
        local body = ("x"):rep(i % 7)
        local child = task.spawn(function()
          return assert(http.request { url = url_of(listening), body = body }).body
        end)
        for _ = 1, i % 11 do task.yield() end
        if i % 3 == 0 then child:cancel() end
        local ok, result = pcall(child.join, child)
        if ok then
          answered = answered + 1
          assert.equal(body, result)
        else
          cancelled = cancelled + 1
        end
      end)
      assert.equal(1000, cancelled + answered)
      assert.truthy(cancelled > 100 and answered > 600, cancelled .. " cancelled")
    end)
  end)

  describe("half a connection", function()
    ---A port that lets nobody in: its queue is full and nobody empties it.
    local function full_port()
      local child = assert(process.spawn { merge = true, command = { "perl", "-MIO::Socket::INET", "-e", [[
        my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die;
        my %to = (PeerAddr => "127.0.0.1", PeerPort => $server->sockport, Blocking => 0);
        my @held = map { IO::Socket::INET->new(%to) } 1 .. 8;
        $| = 1;
        print $server->sockport, "\n";
        sleep 60;
      ]] } })
      local line = assert(child:read())
      return child, tonumber(line)
    end

    it("is given up in time, and its number serves whatever comes next", function()
      local raw <close> = raw_server()
      local full <close>, port = full_port()
      local there = raw.url:gsub("127.0.0.1", "localhost")
      assert.truthy(full.pid)
      local ways = {
        function() return "timeout", { url = "http://127.0.0.1:" .. port, body = "x", connect_timeout = 0.02 } end,
        function() return "timeout", { url = "http://127.0.0.1:" .. port, timeout = 0.01 } end,
        function() return "timeout", { url = raw.url:gsub("http", "https"), connect_timeout = 0.02 } end,
        function() return "connect", { url = "http://localhost:1" } end,
        function() return nil, { url = there .. "/last" } end,
        function() return nil, { url = ("%s/redirect?302,%s/last"):format(raw.url, there), redirects = 1 } end,
      }
      local numbers = {}
      for i = 1, 120 do numbers[i] = i end
      task.map(numbers, { limit = 12 }, function(i)
        local code, request = ways[i % #ways + 1]()
        if i % 4 == 0 then
          local child = task.spawn(http.request, request)
          for _ = 1, i % 11 do task.yield() end
          child:cancel()
          pcall(child.join, child)
          if i % 20 == 0 then assert.equal("hi\n", assert(process.run { command = { "echo", "hi" } }).stdout) end
          return
        end
        local answer, message, found, sent = http.request(request)
        assert.equal(code, found, message)
        assert.equal(code == nil, answer ~= nil)
        if code then assert.is_false(sent) end
      end)
    end)
  end)

  describe("on_data", function()
    it("is given the pieces in order, and the answer's body is empty", function()
      local listening <close> = echo_server()
      local body = {}
      for i = 1, 100000 do body[i] = tostring(i) end
      body = table.concat(body, ",")
      local pieces = {}
      local answer = assert(http.request {
        url = url_of(listening), body = body,
        on_data = function(piece) pieces[#pieces + 1] = piece end,
      })
      assert.same({ 200, "" }, { answer.status, answer.body })
      assert.is_true(table.concat(pieces):sub(-#body) == body)
    end)

    it("may wait; what comes meanwhile holds the server up and not our memory", function()
      local raw <close> = raw_server()
      local total, largest = 0, 0
      assert(http.request {
        url = raw.url .. "/huge", max_bytes = 200 * MIB,
        on_data = function(piece)
          for _ = 1, total == 0 and 10000 or 3 do task.yield() end
          total, largest = total + #piece, math.max(largest, #piece)
        end,
      })
      assert.equal(100 * MIB, total)
      assert.truthy(largest < MIB, "a piece of " .. largest)
    end)

    it("ends the request with the error that it raises", function()
      local raw <close> = raw_server()
      local ok, message = pcall(http.request, {
        url = raw.url .. "/endless", on_data = function() error("enough", 0) end,
      })
      assert.same({ false, "enough" }, { ok, message })
      assert.equal("ok", assert(http.request { url = raw.url .. "/ok" }).body)
    end)

    it("gets what came of an answer that broke off", function()
      local raw <close> = raw_server()
      local got = ""
      local answer, _, code = http.request {
        url = raw.url .. "/short", on_data = function(piece) got = got .. piece end,
      }
      assert.same({ nil, "truncated", "only this" }, { answer, code, got })
    end)

    it("is cut short with its task, also while it waits", function()
      local raw <close> = raw_server()
      local waiting = task.event()
      local child = task.spawn(http.request, {
        url = raw.url .. "/endless", max_bytes = 1000 * MIB,
        on_data = function()
          waiting:notify()
          task.sleep(1e9)
        end,
      })
      assert.is_true(waiting:wait(20))
      child:cancel()
      assert.is_false(pcall(child.join, child))
      assert.equal("ok", assert(http.request { url = raw.url .. "/ok" }).body)
    end)
  end)

  describe("the environment", function()
    it("names a proxy, and what needs none", function()
      local raw <close> = raw_server()
      local words = [[return require "host.http".request { url = "http://nosuch.invalid/echo" }.body:match "^[^\r]*"]]
      assert.equal("GET http://nosuch.invalid/echo HTTP/1.1", in_new_host({ http_proxy = raw.url }, words))
      words = ([[return require "host.http".request { url = "%s/echo" }.body:match "^[^\r]*"]]):format(raw.url)
      assert.equal("GET /echo HTTP/1.1",
        in_new_host({ http_proxy = "http://127.0.0.1:1", no_proxy = "127.0.0.1" }, words))
      words = [[return select(3, require "host.http".request { url = "https://nosuch.invalid/", body = "x" })]]
      assert.equal("connect\tfalse", in_new_host({ https_proxy = raw.url }, words))
    end)

    it("names who is trusted", function()
      local directory = os.tmpname()
      os.remove(directory)
      finally(function() process.run { command = { "rm", "-rf", directory } } end)
      local certificate, key = directory .. "/certificate", directory .. "/key"
      process.run { command = { "mkdir", directory } }
      local made = process.run { command = {
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
      } }
      if not made or made.code ~= 0 then
        pending "there is no openssl command"
        return
      end
      local tls <close> = assert(process.spawn { merge = true, command = {
        "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www",
      } })
      local output = ""
      while not output:find "ACCEPT 127.0.0.1:%d+\n" do output = output .. assert(tls:read(), output) end
      local words = ([[
        local answer, _, code, sent = require "host.http".request { url = "https://127.0.0.1:%s/" }
        return answer and answer.status or code .. " " .. tostring(sent)
      ]]):format(output:match "ACCEPT 127.0.0.1:(%d+)\n")
      assert.equal("tls false", in_new_host({}, words))
      assert.equal("200", in_new_host({ CURL_CA_BUNDLE = certificate }, words))
      assert.equal("200", in_new_host({ SSL_CERT_FILE = certificate }, words))
      assert.equal("tls false", in_new_host({ CURL_CA_BUNDLE = "/dev/null", SSL_CERT_FILE = certificate }, words))
    end)
  end)
end)

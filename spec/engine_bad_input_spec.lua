local http = require "host.http"
local json = require "host.json"
local process = require "host.process"
local repository = require "spec.support.repository"
local routes = require "moonsail.engine.routes"
local socket = require "host.socket"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [[
- pipeline: build
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
]]

-- What stands for a segment of a path, and is never there.
local BAD_SEGMENTS = { "", "..", ".", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%2fb", "%2f", "%00", "1%00", "%", "%zz",
  "%ff", "%c0%ae", "%0d%0aX:%20y", "-1", "0", "01", "1.0", "1e0", "0x1", "99999999999999999999", "nobody", "%E2%82%AC",
  "*", "'", "%27%20or%201=1--", "\xc3\xa4", "%20" }

local BAD_BODIES = { "", " ", "{", "}", "[]", "null", "5", "\"text\"", "nonsense", "{\"a\":}", "{\"a\":1}x", "\0",
  "{\"a\":\"\xff\"}", "{\"a\":\"\\ud800\"}", "{\"a\":1e999}", "{\"a\":99999999999999999999}", ("["):rep(100000),
  ("{\"a\":"):rep(5000), "\xef\xbb\xbf{}", "a=b&c=d", "<xml/>", ("\""):rep(1001) }

-- Every field that some method knows, and some that none does.
local FIELDS = { "branch", "tag", "pull_request", "to_revision", "from_revision", "comment", "refresh", "clear_cache",
  "priority", "variables", "actions_to_run", "delay_until", "environment", "package_version", "operation",
  "approve_action_id", "key", "value", "type", "encrypted", "settable", "run_only_settable", "description", "project",
  "pipeline", "action", "sandbox", "target_url", "events", "projects", "secret_key", "name", "yaml", "", "nonsense",
  "__index", "\u{20AC}" }

local QUERIES = { "page", "per_page", "offset", "limit", "trigger_time", "project", "pipeline", "project_name",
  "pipeline_id", "action_id", "branch", "path", "author", "revision", "since", "until", "sort_by", "sort_direction",
  "membership", "status", "nonsense" }

describe("engine, bad input", function()
  local repo, e, port, good, all

  -- Sends bytes as they are, and reads until the engine closes.
  local function raw(text)
    local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
    stream:write(text)
    local pieces = {}
    assert(task.timeout(support.LIMIT, function()
      for piece in function() return (stream:read()) end do table.insert(pieces, piece) end
    end), "the engine does not close the connection")
    return table.concat(pieces)
  end

  local function head(method, path, more)
    return ("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n%s\r\n"):format(method, path,
      e.token, more or "")
  end

  local function send(method, path, body)
    return raw(head(method, path, body and ("Content-Length: %d\r\n"):format(#body)) .. (body or ""))
  end

  -- The status of an answer, which must be one of Buddy's form and no fault of the engine.
  local function check(answer, what)
    local status = tonumber(answer:match "^HTTP/1.1 (%d+) ")
    local text = answer:match "\r\n\r\n(.*)$"
    if not status or status >= 500 then error(("%s: %s"):format(what, answer:sub(1, 500)), 2) end
    if status < 300 then return status end
    local body = json.decode(text)
    local message = body and body.errors and body.errors[1] and body.errors[1].message
    if type(message) ~= "string" or message == "" then error(("%s: %s"):format(what, answer), 2) end
    assert.matches("X%-Rate%-Limit%-Remaining: ", answer)
    return status
  end

  local function serves()
    assert.equal(200, (e:call("GET", "/user")))
  end

  -- What stands for each parameter and is there.
  local function filled(pattern, spoil, value)
    local index = 0
    return (pattern:gsub(":([%w_]+)", function(name)
      index = index + 1
      if index == spoil then return value end
      return good[name] or error("what may stand for " .. name .. "?")
    end))
  end

  setup(function()
    repo = repository.new()
    local revision = repo:commit { ["buddy.yml"] = BUDDY }
    repo:tag("v1", revision)
    repo:pull_request(1, revision)
    e = support.start(repo, { rate_limit = 1000000 })
    port = tonumber(e.engine.endpoint:match "%d+$")
    local execution = e:finished(e:run "build")
    local pipeline = e:get(e.project .. "/pipelines/" .. execution.pipeline.id)
    local _, variable = e:call("POST", "/workspaces/local/variables", { key = "A", value = "" })
    local _, webhook = e:call("POST", "/workspaces/local/webhooks",
      { target_url = "http://127.0.0.1:9/", events = { "EXECUTION_FAILED" } })
    good = { workspace = "local", project = "site", member = "1", pipeline = tostring(pipeline.id),
      execution = "1", action = tostring(pipeline.actions[1].id), name = "main", number = "1", revision = revision,
      action_execution = execution.action_executions[1].action_execution_id, variable = tostring(variable.id),
      webhook = tostring(webhook.id) }
    all = {}
    routes.each(function(method, pattern) table.insert(all, { method = method, pattern = pattern }) end)
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  -- Calls `visit(method, pattern)` for each route, `count` at once, and then makes sure that the engine serves.
  local function each_route(visit)
    assert.is_true(#all > 25)
    task.map(all, { limit = 8 }, function(route) visit(route.method, route.pattern) end)
    serves()
  end

  describe("on every route", function()
    it("a segment that is none gets 400 or 404", function()
      local count = 0
      each_route(function(method, pattern)
        local _, parameters = pattern:gsub(":", "")
        for index = 1, parameters do
          for _, segment in ipairs(BAD_SEGMENTS) do
            local path = filled(pattern, index, segment)
            local body = method ~= "GET" and "{}" or nil
            local status = check(send(method, path, body), method .. " " .. path)
            assert.is_true(status == 400 or status == 404 or status == 405, ("%s %s: %d"):format(method, path, status))
            count = count + 1
          end
        end
      end)
      assert.is_true(count > 1000)
    end)

    it("a name of 64 KB gets 414, and one that is just not too long 404", function()
      each_route(function(method, pattern)
        local _, parameters = pattern:gsub(":", "")
        if parameters == 0 then return end
        assert.equal(414, check(send(method, filled(pattern, parameters, ("a"):rep(65536))), method .. " " .. pattern))
        assert.equal(404, check(send(method, filled(pattern, parameters, ("a"):rep(7000))), method .. " " .. pattern))
      end)
    end)

    it("another method gets 405, and says which are possible", function()
      each_route(function(_, pattern)
        local path = filled(pattern)
        for _, method in ipairs { "PUT", "OPTIONS", "TRACE", "PROPFIND", "get" } do
          local answer = send(method, path)
          assert.equal(405, check(answer, method .. " " .. path))
          assert.matches("Allow: %u", answer)
        end
      end)
    end)

    it("a body that is no JSON object gets 400", function()
      each_route(function(method, pattern)
        if method ~= "POST" and method ~= "PATCH" then return end
        for index, body in ipairs(BAD_BODIES) do
          local what = ("%s %s, body %d"):format(method, pattern, index)
          local status = check(send(method, filled(pattern), body), what)
          assert.is_true(status == 400 or status == 403 or status == 405, what)
        end
      end)
    end)

    it("no token, a wrong one, or one with odd bytes gets 401", function()
      each_route(function(method, pattern)
        for _, line in ipairs { "", "Authorization: Bearer x\r\n", "Authorization: Bearer \xff\xfe\r\n",
          "Authorization: Basic Og==\r\n" } do
          local answer = raw(("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"):format(method,
            filled(pattern), line))
          assert.equal(401, check(answer, method .. " " .. pattern))
        end
      end)
    end)
  end)

  describe("at random", function()
    local seed = math.random(1 << 31)
    local random

    before_each(function()
      math.randomseed(seed) -- luacheck: ignore 143
      random = math.random
    end)

    local function pick(list) return list[random(#list)] end

    local PIECES = { "a", "0", "\"", "\\", "/", "..", "%", "\0", "\u{20AC}", "\n" }
    local WORDS = { "HEAD", "main", "CANCEL", "RETRY", "HIGH", "VAR", "site" }
    local NUMBERS = { 0, 1, -1, 1.5, math.maxinteger, math.mininteger, 2 ^ 53, 1e300 }
    local VALUES = { "", "1", "0", "-1", "1e9", "x", "%00", "%ff", "%", "main", "..", "site", "NAME",
      "2020-01-01T00:00:00Z", ("9"):rep(30), ("%e2%82"):rep(30) }

    local function text()
      local pieces = {}
      for index = 1, random(0, 12) do pieces[index] = pick(PIECES) end
      return table.concat(pieces)
    end

    local function value(depth)
      local kind = random(depth > 3 and 7 or 9)
      if kind == 1 then return json.null end
      if kind == 2 then return random(2) == 1 end
      if kind == 3 then return pick(NUMBERS) end
      if kind <= 7 then return random(3) == 1 and pick(WORDS) or text() end
      local items = kind == 8 and json.list {} or {}
      for index = 1, random(0, 3) do items[kind == 8 and index or pick(FIELDS)] = value(depth + 1) end
      return items
    end

    local function object()
      local fields = {}
      for _ = 1, random(0, 6) do fields[pick(FIELDS)] = value(1) end
      return json.encode(fields)
    end

    it(("objects of any fields and types are taken or refused, seed %d"):format(seed), function()
      for _ = 1, 40 do
        for _, route in ipairs(all) do
          if route.method == "POST" or route.method == "PATCH" then
            local body = object()
            local what = ("%s %s %s"):format(route.method, route.pattern, body)
            check(send(route.method, filled(route.pattern), body), what)
          end
        end
      end
      serves()
    end)

    it(("queries of any names and values are taken or refused, seed %d"):format(seed), function()
      for _ = 1, 20 do
        for _, route in ipairs(all) do
          if route.method == "GET" then
            local parts = {}
            for index = 1, random(1, 3) do parts[index] = pick(QUERIES) .. pick { "", "=", "=" } .. pick(VALUES) end
            local path = filled(route.pattern) .. "?" .. table.concat(parts, "&")
            check(send("GET", path), path)
          end
        end
      end
      serves()
    end)
  end)

  describe("that is no HTTP", function()
    for name, case in pairs {
      ["nonsense"] = { 400, "nonsense\r\n\r\n" },
      ["a request of the first days"] = { 400, "GET /user\r\n\r\n" },
      ["TLS"] = { 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" },
      ["another version"] = { 505, "GET /user HTTP/3.0\r\nHost: x\r\n\r\n" },
      ["no host"] = { 400, "GET /user HTTP/1.1\r\n\r\n" },
      ["two hosts"] = { 400, "GET /user HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" },
      ["a folded header"] = { 400, "GET /user HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n" },
      ["a header without a colon"] = { 400, "GET /user HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n" },
      ["a header with a blank in its name"] = { 400, "GET /user HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n" },
      ["a NUL in a header"] = { 400, "GET /user HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n" },
      ["a control character in the path"] = { 400, "GET /us\1er HTTP/1.1\r\nHost: x\r\n\r\n" },
      ["a length that is none"] = { 400, "POST /user HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello" },
      ["two lengths"] = { 400,
        "POST /user HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" },
      ["a length and a coding"] = { 400,
        "POST /user HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
      ["a coding that nobody knows"] = { 501, "POST /user HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n" },
      ["a flood of headers"] = { 431, "GET /user HTTP/1.1\r\nHost: x\r\n" .. ("X-A: b\r\n"):rep(20000) .. "\r\n" },
      ["one header of 64 KB"] = { 431, "GET /user HTTP/1.1\r\nHost: x\r\nX-A: " .. ("b"):rep(65536) .. "\r\n\r\n" },
      ["a line that never ends"] = { 414, "GET /" .. ("a"):rep(1000000) },
    } do
      it(("such as %s gets %d"):format(name, case[1]), function()
        local answer = raw(case[2])
        assert.equal(case[1], tonumber(answer:match "^HTTP/1.1 (%d+) "), answer)
        assert.matches('{"errors":%[{"message":"[^"]', answer)
        serves()
      end)
    end

    it("and ends in the middle gets 400", function()
      local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
      stream:write "GET /user HT"
      stream:shutdown()
      assert.matches("^HTTP/1.1 400 .*head was whole", stream:read())
    end)
  end)

  it("pipelined requests are answered one after the other", function()
    local one = ("GET /user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"):format(e.token)
    local answer = raw(one:rep(50) .. head("GET", "/nothing"))
    local _, count = answer:gsub("HTTP/1.1 200 ", "")
    assert.equal(50, count)
    assert.matches("HTTP/1.1 404 ", answer)
  end)

  it("empty lines before a request are nothing", function()
    assert.matches("^HTTP/1.1 200 ", raw("\r\n\r\n" .. head("GET", "/user")))
  end)

  describe("a body of 100 MB", function()
    local LARGE = 100 * 1024 * 1024
    local path = "/workspaces/local/variables"

    -- Sends for as long as the engine takes it; returns the answer and how much has been sent.
    local function pour(text, piece)
      local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
      stream:write(text)
      local answer = task.spawn(function() return (stream:read()) end)
      local sent = 0
      while sent < LARGE and stream:write(piece) do sent = sent + #piece end
      return answer:join() or "", sent
    end

    it("gets 413 before it is read whole, which the client can read", function()
      local answer, sent = pour(head("POST", path, ("Content-Length: %d\r\n"):format(LARGE)), ("x"):rep(65536))
      assert.equal(413, check(answer, "413"))
      assert.is_true(sent < LARGE / 2, ("%d bytes were sent"):format(sent))
      serves()
    end)

    it("gets 413 in pieces, too", function()
      local answer, sent = pour(head("POST", path, "Transfer-Encoding: chunked\r\n"),
        "10000\r\n" .. ("x"):rep(65536) .. "\r\n")
      assert.equal(413, check(answer, "413"))
      assert.is_true(sent < LARGE / 2, ("%d bytes were sent"):format(sent))
      serves()
    end)

    it("is not asked for", function()
      local more = ("Content-Length: %d\r\nExpect: 100-continue\r\n"):format(LARGE)
      local answer = raw(head("POST", path, more))
      assert.equal(413, check(answer, "413"))
      assert.is_nil(answer:find("100 Continue", 1, true))
    end)

    it("does not cost its size", function()
      local function resident()
        local file <close> = assert(io.open "/proc/self/status")
        return tonumber(file:read "a":match "VmRSS:%s*(%d+)")
      end
      local before = resident()
      local piece = ("x"):rep(65536)
      task.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, {}, function()
        pour(head("POST", path, "Transfer-Encoding: chunked\r\n"), "10000\r\n" .. piece .. "\r\n")
      end)
      assert.is_true(resident() - before < 64 * 1024)
    end)
  end)

  describe("ten thousand clients that", function()
    for name, more in pairs { ["send nothing"] = false, ["do not end their heads"] = "GET /user HTTP/1.1\r\nHo" } do
      it(name .. " keep nobody else from being served", function()
        local clients <close> = assert(process.spawn {
          command = { "perl", "spec/support/idle_clients.pl", tostring(port), "10000", more or nil } })
        local count
        assert(task.timeout(support.LIMIT * 3, function() count = tonumber((clients:read())) end))
        assert.is_true(count > 500, ("only %s clients could be made"):format(count)) -- as many as the system lets us
        for _ = 1, 10 do
          local response = assert(http.request { url = e.engine.endpoint .. "/user", timeout = 5,
            headers = { Authorization = "Bearer " .. e.token } })
          assert.equal(200, response.status)
        end
        assert.matches("^HTTP/1.1 200 ", send("GET", "/user"))
      end)
    end
  end)

  it("a request that comes a byte at a time is served, and others meanwhile", function()
    local text = head("GET", "/user")
    local slow = task.spawn(function()
      local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
      for index = 1, #text do
        stream:write(text:sub(index, index))
        task.yield()
      end
      return (stream:read())
    end)
    for _ = 1, 20 do serves() end
    assert.matches("^HTTP/1.1 200 ", slow:join())
  end)
end)

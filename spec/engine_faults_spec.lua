local engine = require "spec.support.engine"
local fault = require "moonsail.engine.fault"
local faults = require "moonsail.engine.faults"
local http = require "host.http"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local repository = require "spec.support.repository"
local socket = require "host.socket"
local task = require "host.task"

local PIPELINES = [[
- pipeline: build
  refs: [ "refs/heads/main" ]
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 1 } ]
]]

describe("an engine with faults", function()
  local repo, clock, running, pipeline, path

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = PIPELINES }
  end)
  teardown(function() repo:close() end)

  before_each(function()
    clock = task.simulate()
    running = engine.start(repo, { faults = true })
    pipeline = running:get(running.project .. "/pipelines").pipelines[1].id
    path = ("%s/pipelines/%d/executions"):format(running.project, pipeline)
  end)
  after_each(function()
    running:close()
    clock:close()
  end)

  --- How many executions the engine has accepted, as its own book says.
  local function committed()
    return running.engine.inside.book:count(pipeline)
  end

  local BODY = json.encode { to_revision = { revision = "HEAD" }, branch = { name = "main" } }

  --- Sends, and returns the answer or nil, and whether its bytes were sent and what went wrong.
  local function send(method, where, wanted)
    local response, _, code, sent = http.request {
      method = method, url = running.engine.endpoint .. where, body = method == "POST" and BODY or nil,
      headers = { Authorization = "Bearer " .. running.token, ["X-Moonsail-Fault"] = wanted },
    }
    return response, code, sent
  end

  local function post(wanted) return send("POST", path, wanted) end
  local function get(wanted) return send("GET", path .. "/1", wanted) end

  --- What a client sees of a failure, and how many executions there are then.
  local function seen(response, code, sent)
    return { response and response.status or code, sent, committed() }
  end

  it("serves as any other as long as none is asked for", function()
    for number = 1, 3 do assert.equal(number, json.decode(post().body).id) end
    assert.equal(200, get().status)
    local counts = running.engine.faults.counts
    for _, kind in ipairs(fault.kinds) do assert.equal(0, counts[kind.name], kind.name) end
  end)

  describe("on the way", function()
    it("is refused while nobody listens, and back afterwards", function()
      running.engine.faults:next "connection_refused;seconds=30"
      local began = task.monotonic()
      assert.same({ "connect", false, 0 }, seen(post()))
      task.sleep(29)
      assert.same({ "connect", false, 0 }, seen(post()))
      task.sleep(2)
      assert.same({ 200, nil, 1 }, seen(post()))
      assert.equal(31, math.floor(task.monotonic() - began))
    end)

    it("is refused after the request that has asked for it", function()
      assert.same({ 200, nil, 1 }, seen(post "connection_refused"))
      assert.same({ "connect", false, 1 }, seen(post()))
      assert.equal(1, running.engine.faults.counts.connection_refused)
    end)

    it("resets in the middle of a request", function()
      for _, k in ipairs { 0, 1, 100, 1000000 } do
        assert.same({ "reset", true, 0 }, seen(post("reset_request;k=" .. k)))
        assert.same({ "reset", true, 0 }, seen(get("reset_request;k=" .. k)))
      end
      assert.same({ "reset", true, 0 }, seen(post "reset_request"))
    end)

    it("loses a request before the engine has it", function()
      assert.same({ "reset", true, 0 }, seen(post "lost_before_commit"))
      assert.same({ "reset", true, 0 }, seen(get "lost_before_commit"))
    end)

    it("loses the answer after the engine has done what it was asked", function()
      assert.same({ "reset", true, 1 }, seen(post "lost_after_commit"))
      assert.same({ "reset", true, 1 }, seen(get "lost_after_commit"))
    end)

    it("cuts the answer within its body and within its head", function()
      for number, k in ipairs { 5, 100, 700 } do
        local response, code, sent = post("cut_answer;k=" .. k)
        assert.same({ nil, true, number }, { response, sent, committed() })
        assert.is_true(code == "truncated" or code == "reset" or code == "protocol", code)
      end
      assert.equal("truncated", select(2, get "cut_answer;k=700"))
      assert.equal("truncated", select(2, get "cut_answer;k=700;end=reset"))
    end)

    it("cuts the answer at exactly that byte", function()
      local request = ("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"):format(path, running.token)
      local function received(extra)
        local port = tonumber(running.engine.endpoint:match ":(%d+)$")
        local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
        assert(stream:write(request .. extra .. "\r\n"))
        local text = ""
        while true do
          local piece, _, problem = stream:read()
          if not piece then return text, problem end
          text = text .. piece
        end
      end
      local whole = received "Connection: close\r\n"
      assert.matches("^HTTP/1.1 200 OK\r\n.*}$", whole)
      for k = 0, #whole - 1, 37 do
        for how, expected in pairs { close = "none", reset = "ECONNRESET" } do
          local text, problem = received(("X-Moonsail-Fault: cut_answer;k=%d;end=%s\r\n"):format(k, how))
          assert.same({ k, expected }, { #text, problem or "none" })
        end
      end
      assert.equal(#received "X-Moonsail-Fault: cut_answer;k=99999\r\n", #whole - #"Connection: close\r\n" - 1)
    end)

    it("drips, on the one clock", function()
      post()
      local began = task.monotonic()
      local whole = get().body
      assert.equal(0, task.monotonic() - began)
      local response = get "drip;seconds=20;pieces=7"
      assert.is_true(response.body == whole)
      assert.near(20, task.monotonic() - began, 1e-6)
      assert.equal("timeout", select(2, get "drip;seconds=100;pieces=3"))
    end)
  end)

  describe("in its answers", function()
    it("limits the rate, and says for how long", function()
      local now = task.now()
      local response = post "rate_limit;seconds=30"
      assert.same({ 429, nil, 0 }, seen(response))
      assert.same({ "30", "0" }, { response.headers["retry-after"], response.headers["x-rate-limit-remaining"] })
      assert.near(now + 30, tonumber(response.headers["x-rate-limit-reset"]), 1)
      assert.equal("Rate limit exceeded.", json.decode(response.body).errors[1].message)
      get()
      assert.equal(0, running.engine.faults.early)
      task.sleep(29)
      get()
      assert.equal(1, running.engine.faults.early)
      task.sleep(2)
      get()
      assert.equal(1, running.engine.faults.early)
    end)

    it("limits the rate without a word, and with that of 2022", function()
      local response = post "rate_limit_silent"
      assert.same({ 429, nil, 0 }, seen(response))
      for name in pairs(response.headers) do assert.is_nil(name:match "rate" or name:match "retry") end
      response = post "rate_limit_403"
      assert.same({ 403, nil, 0 }, seen(response))
      assert.same({ errors = { { message = "Rate limit exceeded." } } }, json.decode(response.body))
    end)

    it("fails before and after what was asked is done", function()
      assert.same({ 500, nil, 0 }, seen(post "error_before_commit"))
      assert.same({ 500, nil, 1 }, seen(post "error_after_commit"))
      assert.same({ 503, nil, 1 }, seen(post "error_before_commit;status=503"))
    end)

    it("lists executions late", function()
      local function listed(wanted)
        local body = json.decode(send("GET", path, wanted).body)
        local ids = {}
        for index, entry in ipairs(body.executions) do ids[index] = entry.id end
        return { ids, body.element_count, body.total_element_count }
      end
      post()
      task.sleep(10)
      post()
      assert.same({ { 2, 1 }, 2, 2 }, listed())
      assert.same({ { 1 }, 1, 1 }, listed "stale_list")
      assert.same({ {}, 0, 0 }, listed "stale_list;seconds=20")
      task.sleep(3)
      assert.same({ { 2, 1 }, 2, 2 }, listed "stale_list")
    end)

    it("tells a status that nobody knows", function()
      post()
      assert.equal("HIBERNATING", json.decode(get "unknown_status".body).status)
      assert.equal("LOST_IN_SPACE", json.decode(get "unknown_status;status=LOST_IN_SPACE".body).status)
      assert.equal("SUCCESSFUL", (function()
        task.sleep(5)
        return json.decode(get().body).status
      end)())
    end)

    it("forgets an execution for good", function()
      post()
      post()
      assert.equal(404, get "vanish".status)
      assert.equal(404, get().status)
      assert.equal(200, send("GET", path .. "/2").status)
      local body = json.decode(send("GET", path).body)
      assert.same({ 1, 2 }, { #body.executions, body.executions[1].id })
    end)
  end)

  it("refuses what it does not know, with what it knows", function()
    local function message(wanted) return json.decode(assert(post(wanted)).body).errors[1].message end
    assert.equal(("there is no fault \"explode\"; there are %s"):format(fault.names()), message "explode")
    assert.equal("the fault cut_answer has no option \"j=1\"; it has end, k", message "cut_answer;j=1")
    assert.equal("the fault drip has pieces=0; it takes a number", message "drip;pieces=0")
    assert.equal(400, post("cut_answer;k=-1").status)
    assert.equal(0, committed())
    assert.error_matches(function() running.engine.faults:next "explode" end, "there is no fault \"explode\"")
  end)

  it("leaves requests alone that a fault does not fit", function()
    assert.same({ 200, nil, 1 }, seen(post "unknown_status"))
  end)

  it("spoils what a spec has asked for: the next that fits", function()
    local spoil = running.engine.faults
    spoil:next("lost_after_commit", { method = "POST", times = 2 })
    spoil:next("error_before_commit", { path = "/executions/1" })
    assert.equal(200, send("GET", path).status)
    assert.same({ "reset", true, 1 }, seen(post()))
    assert.same({ "reset", true, 2 }, seen(post()))
    assert.same({ 200, nil, 3 }, seen(post()))
    assert.same({ 500, nil, 3 }, seen(get()))
    assert.equal(200, get().status)
    assert.same({ 2, 1 }, { spoil.counts.lost_after_commit, spoil.counts.error_before_commit })
  end)

  it("draws the same faults from the same seed", function()
    local spoil = running.engine.faults
    local function drawn(seed, names)
      spoil:rate(0.5, seed, names or { "error_before_commit", "rate_limit", "drip", "cut_answer", "stale_list" })
      local codes = {}
      for index = 1, 60 do
        local response, code = send("GET", path)
        codes[index] = response and response.status or code
      end
      return table.concat(codes, " ")
    end
    local first = drawn(7)
    assert.equal(first, drawn(7))
    assert.is_true(first ~= drawn(8))
    assert.matches("500", first)
    assert.matches("429", first)
    local before, total = running.engine.faults.requests, 0
    drawn(9)
    assert.equal(60, running.engine.faults.requests - before)
    for _, count in pairs(spoil.counts) do total = total + count end
    assert.is_true(total > 80 and total < 160, total)
  end)

  it("draws from all that fit, unless told from which", function()
    local spoil = running.engine.faults
    post()
    spoil:rate(1, 3)
    for _ = 1, 120 do
      send("GET", path)
      get()
      task.sleep(2)
    end
    for _, kind in ipairs(fault.kinds) do
      assert.equal(kind.name ~= "vanish", spoil.counts[kind.name] > 0, kind.name)
    end
    spoil:rate(0)
    assert.equal(200, get().status)
    assert.error(function() spoil:rate(2) end)
    assert.error_matches(function() spoil:rate(0.5, 1, { "explode" }) end, "there is no fault")
  end)

  it("keeps serving whole requests of every kind", function()
    local port = tonumber(running.engine.endpoint:match ":(%d+)$")
    local authorization = "Authorization: Bearer " .. running.token
    local function talk(text, pieces)
      local stream <close> = assert(socket.connect { host = "127.0.0.1", port = port })
      for from = 1, #text, pieces or #text do
        assert(stream:write(text:sub(from, from + (pieces or #text) - 1)))
        task.yield()
      end
      stream:shutdown()
      local answer = ""
      for piece in function() return (stream:read()) end do answer = answer .. piece end
      local statuses = {}
      for status in answer:gmatch "HTTP/1.1 (%d+)" do table.insert(statuses, status) end
      return table.concat(statuses, " ")
    end
    local one = ("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n"):format(path, authorization)
    local two = ("POST %s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n%s"):format(path, authorization, #BODY,
      BODY)
    assert.equal("200 200 200", talk(one .. two .. one))
    assert.equal("200 200", talk(two .. one, 1))
    assert.equal("400", talk "nonsense\r\n\r\n")
    assert.equal("400", talk "GET / HT")
    assert.equal("411", talk("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
    assert.equal("413", talk(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"):format(path)))
    assert.equal(2, committed())
  end)

  it("lets a client go on that waits to be told so", function()
    local stream <close> = assert(socket.connect { host = "127.0.0.1",
      port = tonumber(running.engine.endpoint:match ":(%d+)$") })
    stream:write(("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n"
      .. "Expect: 100-continue\r\n\r\n"):format(path, running.token, #BODY))
    assert.equal("HTTP/1.1 100 Continue\r\n\r\n", stream:read())
    stream:write(BODY)
    assert.matches("^HTTP/1.1 200 OK\r\n", stream:read())
  end)
end)

describe("faults", function()
  it("are asked for by a share, a seed and names", function()
    local spoil = assert(faults.new "0.25;seed=7;only=drip,cut_answer")
    assert.same({ 0.25, 2 }, { spoil.share, #spoil.kinds })
    for _, wrong in ipairs { "", "often", "2", "0.5;sed=1", "0.5;only=explode", "0.5 seed=1" } do
      local none, message = faults.new(wrong)
      assert.is_nil(none, wrong)
      assert.is_string(message)
    end
  end)

  it("are listed by moonsail engine faults, and refused by moonsail engine when they are wrong", function()
    local folder <close> = moonsail.folder()
    local listed = moonsail.run(folder.path, { "engine", "faults" }).stdout
    for _, kind in ipairs(fault.kinds) do assert.matches(kind.help, listed, 1, true) end
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = PIPELINES }
    local refused = moonsail.run(folder.path, { "engine", "--repo", repo.path, "--faults", "0.3;only=explode" })
    assert.equal(2, refused.code)
    assert.matches('cannot start: there is no fault "explode"; there are ' .. fault.names(), refused.stderr, 1, true)
  end)

  it("cost an engine without them nothing", function()
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = PIPELINES }
    local running <close> = engine.start(repo)
    assert.is_nil(running.engine.faults)
    assert.is_nil(running.engine.inside.gate)
    local response = http.request { url = running.engine.endpoint .. "/user",
      headers = { Authorization = "Bearer " .. running.token, ["X-Moonsail-Fault"] = "lost_before_commit" } }
    assert.equal(200, response.status)
  end)
end)

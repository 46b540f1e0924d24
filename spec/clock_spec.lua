local http = require "host.http"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local repository = require "spec.support.repository"
local server = require "host.server"
local task = require "host.task"

local HOUR = 3600
local LIMIT = 20 -- real seconds that anything may take

--- Real seconds; the kernel counts them in hundredths.
local function uptime()
  local file <close> = assert(io.open "/proc/uptime")
  return file:read "n"
end

--- A server that answers one request after 0.2 s, as another process that is no child of ours.
local FOREIGN = [[
use IO::Socket::INET; use POSIX;
my $listening = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die;
exit if fork;
POSIX::setsid();
alarm 20;
print $listening->sockport, "\n";
close STDOUT; close STDERR;
my $client = $listening->accept;
while (<$client>) { last if /^\r$/ }
select undef, undef, undef, 0.2;
print $client "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
]]

describe("simulated time", function()
  local clock

  before_each(function() clock = task.simulate() end)
  after_each(function() clock:close() end)

  --- How much time fn takes on our clock, and what it returns first.
  local function timed(fn, ...)
    local began = task.monotonic()
    local result = fn(...)
    return task.monotonic() - began, result
  end

  --- The URL of a server whose handler sleeps as many seconds as the path says.
  local function sleeper()
    local listening = assert(server.listen({}, function(request)
      task.sleep(tonumber(request.path:sub(2)))
      return { status = 200 }
    end))
    return listening, "http://127.0.0.1:" .. listening.port .. "/"
  end

  describe("with everything in the process", function()
    it("jumps, by exactly what is waited for", function()
      local wall = task.now()
      assert.equal(3 * HOUR, (timed(task.sleep, 3 * HOUR)))
      assert.equal(3 * HOUR, task.now() - wall)
      assert.equal(0.25, (timed(task.sleep, 0.25)))
    end)

    it("goes on for the shortest wait, so that who waits for a moment gets there", function()
      local before = task.monotonic()
      task.sleep(1e-10)
      assert.is_true(task.monotonic() > before)
    end)

    it("stands still while something runs", function()
      assert.equal(0, (timed(function()
        local ends = uptime() + 0.02
        repeat task.yield() until uptime() > ends
      end)))
    end)

    it("begins where it is told to", function()
      assert.equal("2030-01-01T00:00:00Z", os.date("!%Y-%m-%dT%TZ", math.tointeger(task.now())))
      clock:close()
      clock = task.simulate(86400)
      assert.equal(86400, task.now())
    end)

    it("rings alarms in their order, and those of one instant in the order in which they were set", function()
      local rung = {}
      for index, seconds in ipairs { 30, 10, 20, 10, 0 } do
        task.spawn(function()
          task.sleep(seconds)
          rung[#rung + 1] = index
        end)
      end
      task.sleep(31)
      assert.same({ 5, 2, 4, 3, 1 }, rung)
    end)

    it("ends time limits", function()
      local _, _, code = task.timeout(HOUR, task.sleep, HOUR + 1)
      assert.equal("timeout", code)
      assert.equal(HOUR, (timed(function() assert.is_false(task.event():wait(HOUR)) end)))
    end)

    it("takes no time for a hundred thousand sleeps", function()
      local began = uptime()
      assert.equal(100000, (timed(function()
        for _ = 1, 100000 do task.sleep(1) end
      end)))
      assert.is_true(uptime() - began < LIMIT)
    end)

    it("lets a request run out of time while its handler sleeps", function()
      local listening <close>, url = sleeper()
      local seconds, answer = timed(function()
        return table.pack(http.request { url = url .. HOUR, timeout = 10 })
      end)
      assert.same({ 10, "timeout" }, { seconds, answer[3] })
      assert.matches("did not answer within 10 s", answer[2])
      assert.is_truthy(listening)
    end)

    it("waits for a slow handler within the limit", function()
      local listening <close>, url = sleeper()
      local seconds, answer = timed(http.request, { url = url .. HOUR, timeout = HOUR + 1 })
      assert.same({ HOUR, 200 }, { seconds, answer.status })
      assert.is_truthy(listening)
    end)

    it("takes no time for what goes over the wire, on new and on kept connections, by address and by name", function()
      local big = ("x"):rep(3 * 1024 * 1024)
      local listening <close> = assert(server.listen({ max_body = #big }, function(request)
        return { status = 200, body = request.body }
      end))
      local seconds = timed(task.map, { "127.0.0.1", "localhost", "127.0.0.1", "localhost" }, {}, function(host)
        for _ = 1, 2 do
          local answer = assert(http.request { url = ("http://%s:%d"):format(host, listening.port), body = big })
          assert.is_true(answer.body == big)
        end
      end)
      assert.equal(0, seconds)
    end)

    it("answers many who poll for hours", function()
      local listening <close> = assert(server.listen({}, function() return { status = 200 } end))
      local url = "http://127.0.0.1:" .. listening.port
      local began, answers = uptime(), 0
      assert.equal(3 * HOUR, (timed(task.map, { 1, 2, 3, 4 }, {}, function()
        for _ = 1, 3 * HOUR, 15 do
          assert(http.request { url = url })
          answers = answers + 1
          task.sleep(15)
        end
      end)))
      assert.equal(4 * 3 * HOUR // 15, answers)
      assert.is_true(uptime() - began < LIMIT)
    end)
  end)

  describe("with something outside", function()
    --- Runs fn while an alarm is set for a much later time, which must not come.
    local function measured(fn, ...)
      local early = false
      local late = task.spawn(function()
        task.sleep(HOUR)
        early = true
      end)
      task.yield()
      local real = uptime()
      local seconds = timed(fn, ...)
      real = uptime() - real
      assert.is_false(early)
      late:cancel()
      assert.is_true(seconds < real + 0.05, seconds .. " of " .. real)
      return seconds
    end

    it("goes with the real time while a child runs", function()
      assert.is_true(measured(process.run, { command = { "sleep", "0.2" } }) > 0.15)
    end)

    it("goes on while only a descendant of the child may still write", function()
      local done
      assert.is_true(measured(function()
        done = process.run { command = { "sh", "-c", "(sleep 0.1; echo late) &" } }
      end) > 0.05)
      assert.equal("late\n", done.stdout)
    end)

    it("rings an alarm for a child at its time", function()
      local child <close> = assert(process.spawn { command = { "sleep", "20" } })
      assert.near(0.1, timed(task.timeout, 0.1, child.wait, child), 1e-6)
    end)

    it("jumps again when the child has ended", function()
      process.run { command = { "true" } }
      assert.near(HOUR, (timed(task.sleep, HOUR)), 1e-6)
    end)

    it("waits for a worker thread", function()
      local repo <close> = repository.new()
      repo:commit { ["a.txt"] = "a" }
      local folder <close> = repository.folder()
      local opened <close> = assert(require("host.repository").open(repo.path))
      measured(function() assert(opened:checkout("main", folder.path .. "/tree")) end)
    end)

    it("waits for a server that is not ours", function()
      local started = assert(process.run { command = { "perl", "-e", FOREIGN } })
      local url = "http://127.0.0.1:" .. tonumber(started.stdout)
      assert.is_true(measured(function() assert(http.request { url = url, timeout = 60 }) end) > 0.15)
    end)
  end)

  describe("when it is closed", function()
    it("goes back to the real one, on which alarms keep what remains of them", function()
      local ended, real
      local other = task.spawn(function()
        task.sleep(HOUR + 0.1)
        ended = uptime()
      end)
      task.sleep(HOUR)
      local monotonic = task.monotonic()
      clock:close()
      real = uptime()
      assert.is_true(task.now() ~= 1893456000 + HOUR)
      assert.is_true(task.monotonic() >= monotonic)
      other:join()
      assert.is_true(ended - real > 0.07 and ended - real < LIMIT, ended - real)
    end)

    it("may be closed again, and begun again", function()
      clock:close()
      clock:close()
      clock = task.simulate()
      assert.equal(HOUR, (timed(task.sleep, HOUR)))
    end)

    it("keeps what remains of an alarm that was set before", function()
      clock:close()
      local began = task.monotonic()
      local real = task.spawn(task.sleep, HOUR)
      task.yield()
      clock = task.simulate()
      local left = timed(real.join, real)
      assert.is_true(left <= HOUR and left > HOUR - LIMIT, left)
      assert.is_true(task.monotonic() - began < HOUR + LIMIT)
    end)

    it("is so by the collector too", function()
      clock:close()
      clock = nil
      task.simulate()
      collectgarbage()
      clock = task.simulate()
    end)
  end)

  it("is not simulated twice", function()
    assert.error_matches(task.simulate, "time is simulated already; close that simulation first")
    assert.equal(HOUR, (timed(task.sleep, HOUR)))
  end)

  it("begins at a time", function()
    clock:close()
    for _, start in ipairs { -1, 1e300, 0 / 0, "soon", {} } do assert.error(function() task.simulate(start) end) end
    clock = task.simulate()
  end)

  describe("in a program of its own", function()
    local function run(code)
      local folder <close> = moonsail.folder()
      return moonsail.run(folder.path, { "eval", "local task = require 'host.task' " .. code })
    end

    it("finds that every task waits", function()
      local result = run "local clock <close> = task.simulate() task.sleep(3600) task.event():wait()"
      assert.equal("moonsail: the run cannot go on: every task waits for another one\n", result.stderr)
    end)

    it("ends with the program", function()
      assert.equal(0, run("clock = task.simulate() task.sleep(3600) clock = nil").code)
    end)

    it("can be interrupted", function()
      local folder <close> = moonsail.folder()
      local child <close> = assert(process.spawn {
        command = { moonsail.path, "eval", [[
          local task = require "host.task"
          local clock <close> = task.simulate()
          print "ready" io.stdout:flush()
          while true do task.sleep(3600) end]] },
        environment = { PATH = os.getenv "PATH", HOME = folder.path, MOONSAIL_LUA = os.getenv "MOONSAIL_LUA",
          ASAN_OPTIONS = os.getenv "ASAN_OPTIONS", LSAN_OPTIONS = os.getenv "LSAN_OPTIONS" },
      })
      assert.equal("ready\n", child:read())
      child:kill "SIGINT"
      local ended, status = task.timeout(LIMIT, child.wait, child)
      assert.is_true(ended)
      assert.same({ code = 130 }, status)
    end)
  end)
end)

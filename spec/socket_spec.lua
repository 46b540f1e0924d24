local http = require "host.http"
local server = require "host.server"
local socket = require "host.socket"
local task = require "host.task"

local LIMIT = 20 -- seconds that anything may take
local NO_NAME = ("x"):rep(70) -- too long for a name, so that nobody is asked

--- Runs fn within the limit.
local function soon(fn, ...)
  local results = table.pack(task.timeout(LIMIT, fn, ...))
  assert.is_true(results[1], "it took too long")
  return table.unpack(results, 2, results.n)
end

--- All that the peer sends, and how it ended.
local function read_all(stream)
  local pieces = {}
  while true do
    local piece, message, code = stream:read()
    if not piece then return table.concat(pieces), code, message end
    pieces[#pieces + 1] = piece
  end
end

describe("host.socket", function()
  local listener

  --- Listens, and returns a stream to it.
  local function connect(handler, options)
    listener = assert(socket.listen(options or {}, handler))
    return assert(socket.connect { host = "127.0.0.1", port = listener.port })
  end

  after_each(function()
    if listener then listener:close() end
    listener = nil
  end)

  describe("a stream", function()
    it("carries bytes both ways until each side has ended", function()
      local stream <close> = connect(function(peer)
        peer:write("got " .. read_all(peer))
      end)
      assert.is_true(stream:write "a\0b")
      assert.is_true(stream:write "")
      assert.is_true(stream:write "c")
      assert.is_true(stream:shutdown())
      assert.same({ "got a\0bc" }, { soon(read_all, stream) })
      assert.is_nil(stream:read())
    end)

    it("hands out no more than it is asked for, and loses nothing", function()
      local stream <close> = connect(function(peer) peer:write "abcdefg" end)
      local pieces = {}
      repeat
        local piece = soon(stream.read, stream, 3)
        pieces[#pieces + 1] = piece
      until not piece
      assert.same({ "abc", "def", "g" }, pieces)
    end)

    it("knows its peer", function()
      local seen
      local stream <close> = connect(function(peer) seen = peer.peer end)
      soon(stream.read, stream)
      assert.equal("127.0.0.1:" .. listener.port, stream.peer)
      assert.matches("^127%.0%.0%.1:%d+$", seen)
    end)

    it("lets a writer wait until the reader has made room", function()
      local size, written = 16 * 1024 * 1024, false
      local stream <close> = connect(function(peer)
        assert(peer:write(("x"):rep(size)))
        written = true
      end)
      assert.equal(1, #soon(stream.read, stream, 1))
      for _ = 1, 50 do task.yield() end
      assert.is_false(written)
      assert.equal(size - 1, #soon(read_all, stream))
      assert.is_true(written)
    end)

    it("reads and writes at the same time", function()
      local text = ("0123456789"):rep(400000)
      local stream <close> = connect(function(peer)
        for piece in function() return peer:read() end do assert(peer:write(piece)) end
      end)
      local writer = task.spawn(function()
        assert(stream:write(text))
        assert(stream:shutdown())
      end)
      assert.is_true(soon(read_all, stream) == text)
      soon(writer.join, writer)
    end)

    it("has one reader and one writer at a time", function()
      local stream <close> = connect(function(peer) peer:read() end)
      local reader = task.spawn(stream.read, stream)
      task.yield()
      assert.error_matches(function() stream:read() end, "another task is reading from the stream")
      reader:cancel()
      pcall(reader.join, reader)
      local writer = task.spawn(stream.write, stream, ("x"):rep(64 * 1024 * 1024))
      task.yield()
      assert.error_matches(function() stream:write "y" end, "another task is writing to the stream")
      assert.error_matches(function() stream:shutdown() end, "another task is writing to the stream")
      writer:cancel()
      pcall(writer.join, writer)
      assert.error_matches(function() stream:read() end, "the stream is closed")
    end)

    it("still has what came while no task was reading any more", function()
      local go = task.event()
      local stream <close> = connect(function(peer)
        go:wait(LIMIT)
        peer:write "late"
      end)
      local reader = task.spawn(stream.read, stream)
      task.yield()
      reader:cancel()
      assert.is_false(pcall(reader.join, reader))
      go:notify()
      assert.equal("late", soon(stream.read, stream))
    end)

    it("hands out what came before a reset, and then says so", function()
      local seen = task.event()
      local stream <close> = connect(function(peer)
        peer:write "before"
        seen:wait(LIMIT)
        peer:reset()
      end)
      assert.equal("bef", soon(stream.read, stream, 3))
      seen:notify()
      local text, code, message = soon(read_all, stream)
      assert.same({ "ore", "ECONNRESET" }, { text, code })
      assert.equal("cannot read from the peer: connection reset by peer", message)
      assert.equal("ECONNRESET", select(3, stream:read()))
    end)

    it("tells of a reset that came with the last bytes", function()
      local stream <close> = connect(function(peer)
        peer:write "before"
        peer:reset()
      end)
      for _ = 1, 10 do task.yield() end
      assert.same({ "before", "ECONNRESET" }, { table.unpack({ soon(read_all, stream) }, 1, 2) })
    end)

    it("fails to write to a peer that has gone", function()
      local stream <close> = connect(function(peer) peer:reset() end)
      soon(read_all, stream)
      local ok, message, code = stream:write "x"
      assert.is_nil(ok)
      assert.matches("^cannot write to the peer: ", message)
      assert.equal("EPIPE", code)
    end)

    it("wakes whoever waits for it when it is closed", function()
      local stream = connect(function(peer) peer:read() end)
      local reader = task.spawn(function() return table.pack(stream:read()) end)
      local writer = task.spawn(function() return table.pack(stream:write(("x"):rep(64 * 1024 * 1024))) end)
      task.yield()
      stream:close()
      stream:close()
      stream:reset()
      assert.same({ n = 1 }, soon(reader.join, reader))
      assert.equal("ECANCELED", soon(writer.join, writer)[3])
      assert.error_matches(function() stream:write "x" end, "the stream is closed")
    end)

    it("is closed by the collector", function()
      local over = task.event()
      connect(function(peer)
        peer:read()
        over:notify()
      end)
      collectgarbage()
      collectgarbage()
      assert.is_true(over:wait(LIMIT))
    end)

    it("refuses misuse", function()
      local stream <close> = connect(function(peer) peer:read() end)
      assert.error(function() stream:read(0) end)
      assert.error(function() stream:read "x" end)
      assert.error(function() stream:write() end)
      assert.error(function() stream.read(listener) end)
    end)
  end)

  describe(".connect", function()
    it("looks names up, and tries all their addresses", function()
      listener = assert(socket.listen({}, function(peer) peer:write "v4" end))
      local stream <close> = assert(soon(socket.connect, { host = "localhost", port = listener.port }))
      assert.equal("v4", soon(stream.read, stream))
    end)

    it("says that nobody listens", function()
      listener = assert(socket.listen({}, function() end))
      local port = listener.port
      listener:close()
      local stream, message, code = soon(socket.connect, { host = "127.0.0.1", port = port })
      assert.is_nil(stream)
      assert.equal(("cannot connect to 127.0.0.1 port %d: connection refused"):format(port), message)
      assert.equal("ECONNREFUSED", code)
    end)

    it("says that there is no such name", function()
      local stream, message, code = soon(socket.connect, { host = NO_NAME, port = 1 })
      assert.is_nil(stream)
      assert.matches("^cannot connect to x+ port 1: ", message)
      assert.matches("^EAI_", code)
    end)

    it("gives up when its time is over", function()
      -- A full backlog: the kernel drops what comes then.
      local full <close> = assert(require("host.process").spawn { command = { "perl", "-e", [[
        use IO::Socket::INET; $| = 1;
        my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die;
        my @full = map { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $s->sockport,
          Blocking => 0); $c } 1 .. 4;
        print $s->sockport, "\n"; sleep 20 ]] } })
      local port = tonumber((full:read()))
      local stream, message, code = soon(socket.connect, { host = "127.0.0.1", port = port, timeout = 0.05 })
      assert.is_nil(stream)
      assert.equal("ETIMEDOUT", code)
      assert.matches("timed out", message)
      local attempt = task.spawn(socket.connect, { host = "127.0.0.1", port = port })
      task.yield()
      attempt:cancel()
      assert.is_false(soon(pcall, attempt.join, attempt))
    end)

    it("can be cancelled while a name is looked up", function()
      local attempt = task.spawn(socket.connect, { host = NO_NAME, port = 1 })
      task.yield()
      attempt:cancel()
      assert.is_false(soon(pcall, attempt.join, attempt))
    end)

    it("refuses misuse", function()
      for _, target in ipairs { {}, { host = "", port = 1 }, { host = "a" }, { host = "a", port = 0 },
        { host = "a", port = 65536 }, { host = "a", port = 1.5 }, { host = 1, port = 1 },
        { host = "a", port = 1, timeout = 0 }, { host = "a", port = 1, timeout = 0 / 0 } } do
        assert.error(function() socket.connect(target) end)
      end
    end)
  end)

  describe(".listen", function()
    it("serves many at once", function()
      listener = assert(socket.listen({}, function(peer) peer:write(read_all(peer):upper()) end))
      local answers = soon(task.map, { "a", "b", "c", "d" }, {}, function(text)
        local stream <close> = assert(socket.connect { host = "127.0.0.1", port = listener.port })
        stream:write(text)
        stream:shutdown()
        return (read_all(stream))
      end)
      assert.same({ "A", "B", "C", "D", n = 4 }, answers)
    end)

    it("listens on IPv6 too", function()
      listener = assert(socket.listen({ address = "::1" }, function(peer) peer:write "six" end))
      local stream <close> = assert(socket.connect { host = "::1", port = listener.port })
      assert.equal("six", soon(read_all, stream))
      assert.equal("[::1]:" .. listener.port, stream.peer)
    end)

    it("says that the port is taken", function()
      listener = assert(socket.listen({}, function() end))
      local second, message, code = socket.listen({ port = listener.port }, function() end)
      assert.is_nil(second)
      assert.equal(("cannot listen on 127.0.0.1 port %d: address already in use"):format(listener.port), message)
      assert.equal("EADDRINUSE", code)
    end)

    it("tells of a handler that raises, closes its stream, and goes on", function()
      local told = {}
      local stream <close> = connect(function(peer)
        if peer:read() == "bad" then error "oh" end
        peer:write "fine"
      end, { on_error = function(message) told[#told + 1] = message end })
      stream:write "bad"
      assert.same({ "" }, { soon(read_all, stream) })
      assert.equal(1, #told)
      assert.matches("oh\nstack traceback:", told[1])
      local second <close> = assert(socket.connect { host = "127.0.0.1", port = listener.port })
      second:write "good"
      assert.equal("fine", soon(read_all, second))
    end)

    it("cancels its handlers when it is closed, and closes their streams", function()
      local unwound = task.event()
      local stream <close> = connect(function(peer)
        local _ <close> = setmetatable({}, { __close = function() unwound:notify() end })
        peer:write "here"
        peer:read()
      end)
      assert.equal("here", soon(stream.read, stream))
      local waiting = task.spawn(unwound.wait, unwound, LIMIT)
      task.yield()
      listener:close()
      listener:close()
      assert.is_true(waiting:join())
      assert.is_nil((soon(stream.read, stream)))
    end)

    it("may be closed by a handler", function()
      local stream <close> = connect(function() listener:close() end)
      assert.equal("", (soon(read_all, stream)))
    end)

    it("ends with the task that listens", function()
      local port
      task.spawn(function() port = assert(socket.listen({}, function() end)).port end):join()
      assert.equal("ECONNREFUSED", select(3, socket.connect { host = "127.0.0.1", port = port }))
    end)

    it("refuses connections in a pause, while the others go on", function()
      local stream <close> = connect(function(peer)
        for piece in function() return peer:read() end do peer:write(piece) end
      end)
      local target = { host = "127.0.0.1", port = listener.port }
      stream:write "1"
      assert.equal("1", soon(stream.read, stream))
      for _ = 1, 3 do
        assert(listener:pause())
        assert(listener:pause())
        assert.equal("ECONNREFUSED", select(3, socket.connect(target)))
        stream:write "2"
        assert.equal("2", soon(stream.read, stream))
        assert(listener:resume())
        assert(listener:resume())
        assert(socket.connect(target)):close()
      end
      listener:close()
      assert.error_matches(function() listener:pause() end, "the listener is closed")
    end)

    it("refuses misuse", function()
      for _, options in ipairs { { address = "localhost" }, { port = -1 }, { port = "x" }, { on_error = 1 } } do
        assert.error(function() socket.listen(options, function() end) end)
      end
      assert.error(function() socket.listen({}) end)
    end)
  end)

  describe("in simulated time", function()
    it("takes no time between two ends here, and gives up in no time", function()
      local clock <close> = task.simulate()
      local stream <close> = connect(function(peer)
        peer:write(peer:read())
        task.sleep(3600)
        peer:write "later"
      end)
      local began = task.monotonic()
      stream:write "x"
      assert.equal("x", stream:read())
      assert.equal(0, task.monotonic() - began)
      assert.equal("later", stream:read())
      assert.equal(3600, task.monotonic() - began)
      assert.is_truthy(clock)
    end)

    it("carries HTTP to a server here", function()
      local clock <close> = task.simulate()
      local behind <close> = assert(server.listen({}, function() return { body = ("x"):rep(100000) } end))
      listener = assert(socket.listen({}, function(peer)
        local stream <close> = assert(socket.connect { host = "127.0.0.1", port = behind.port })
        stream:write(peer:read())
        for piece in function() return stream:read() end do peer:write(piece) end
      end))
      local began = task.monotonic()
      local answer = assert(http.request { url = "http://127.0.0.1:" .. listener.port })
      assert.equal(100000, #answer.body)
      assert.equal(0, task.monotonic() - began)
      assert.is_truthy(clock)
    end)
  end)
end)

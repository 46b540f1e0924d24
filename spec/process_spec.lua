local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local task = require "host.task"

local function read_file(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

--- Whether the process runs: one that waits to be reaped by the system does not.
local function is_alive(pid)
  local file <close> = io.open("/proc/" .. pid .. "/stat")
  local stat = file and file:read "a"
  return stat ~= nil and not stat:find "%) [ZX] "
end

--- Awaits what no event tells of.
local function await(condition, what)
  local limit = task.monotonic() + 20
  while not condition() do
    assert(task.monotonic() < limit, "never happened: " .. what)
    task.sleep(0.002)
  end
end

local function await_death(pid)
  await(function() return not is_alive(pid) end, "the end of process " .. pid)
end

local function read_all(p)
  local pieces = {}
  for chunk in p.read, p do
    pieces[#pieces + 1] = chunk
  end
  return table.concat(pieces)
end

local function read_line(p)
  local text = ""
  repeat
    text = text .. assert(p:read(), "no more output")
  until text:find "\n"
  return text
end

local function shell(script, options)
  options = options or {}
  options.command = { "sh", "-c", script }
  return assert(process.spawn(options))
end

local function temporary_folder()
  local folder = assert(process.run { command = { "mktemp", "-d" } }).stdout:gsub("\n$", "")
  finally(function() process.run { command = { "rm", "-rf", folder } } end)
  return folder
end

local function write_script(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  assert(process.run { command = { "chmod", "+x", path } })
end

--- Another host, which runs the script.
local function nested(script)
  return assert(process.spawn {
    command = { moonsail.path, "eval", script },
    environment = { PATH = os.getenv "PATH", ASAN_OPTIONS = "quarantine_size_mb=1" },
  })
end

describe("process", function()
  describe(".spawn", function()
    it("runs a program and hands over its output and exit code", function()
      local p <close> = assert(process.spawn { command = { "echo", "hello" } })
      assert.is_true(math.type(p.pid) == "integer" and p.pid > 1)
      assert.same({ "hello\n", "stdout" }, { p:read() })
      assert.is_nil(p:read())
      assert.same({ code = 0 }, p:wait())
    end)

    it("passes arguments as they are", function()
      local arguments = { "", "a b", "$HOME *", "two\nlines", "-n", "ü", "\xff" }
      local p <close> = assert(process.spawn { command = { "printf", "<%s>", table.unpack(arguments) } })
      assert.equal("<" .. table.concat(arguments, "><") .. ">", read_all(p))
    end)

    it("writes the input and closes it", function()
      local input = ("0123456789abcdef"):rep(64 * 1024) .. "\0end"
      local p <close> = assert(process.spawn { command = { "cat" }, input = input })
      assert.is_true(read_all(p) == input)
    end)

    it("gives an empty input when there is none", function()
      local p <close> = assert(process.spawn { command = { "cat" } })
      assert.equal("", read_all(p))
      assert.same({ code = 0 }, p:wait())
    end)

    it("does not mind a program that leaves its input unread", function()
      local p <close> = assert(process.spawn { command = { "echo", "done" }, input = ("x"):rep(1 << 20) })
      assert.equal("done\n", read_all(p))
      assert.same({ code = 0 }, p:wait())
    end)

    it("tells standard output from standard error", function()
      local p <close> = shell "echo out; echo err >&2"
      local text = { stdout = "", stderr = "" }
      for chunk, stream in p.read, p do
        text[stream] = text[stream] .. chunk
      end
      assert.same({ stdout = "out\n", stderr = "err\n" }, text)
    end)

    it("keeps their order when they are merged", function()
      local p <close> = shell("for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done", { merge = true })
      local expected = {}
      for i = 1, 9 do
        expected[i] = ("o%d\ne%d\n"):format(i, i)
      end
      local chunk, stream = p:read()
      assert.equal("stdout", stream)
      assert.equal(table.concat(expected), chunk .. read_all(p))
    end)

    it("lets the program open /dev/stdout and /dev/stderr again", function()
      local p <close> = shell("echo out > /dev/stdout; echo err > /dev/stderr", { merge = true })
      assert.equal("out\nerr\n", read_all(p))
    end)

    it("runs it in the directory", function()
      local folder = temporary_folder()
      local p <close> = assert(process.spawn { command = { "pwd", "-P" }, directory = folder })
      assert.equal(folder .. "\n", read_all(p))
    end)

    it("gives it exactly the environment", function()
      local p <close> = assert(process.spawn { command = { "env" }, environment = { B = "x=y z", A = "", C = "\n" } })
      assert.equal("A=\nB=x=y z\nC=\n\n", read_all(p))
      local q <close> = assert(process.spawn { command = { "env" }, environment = {} })
      assert.equal("", read_all(q))
    end)

    it("gives it our own environment when there is none", function()
      local p <close> = assert(process.spawn { command = { "printenv", "PATH" } })
      assert.equal(os.getenv "PATH" .. "\n", read_all(p))
    end)

    it("looks for the program in the child's PATH", function()
      local folder = temporary_folder()
      write_script(folder .. "/only-here", "#!/bin/sh\necho found\n")
      local p <close> = assert(process.spawn { command = { "only-here" }, environment = { PATH = folder } })
      assert.equal("found\n", read_all(p))
      assert.is_nil(process.spawn { command = { "only-here" } })
    end)

    it("lends it no descriptor but the first three", function()
      local file <close> = assert(io.open "/dev/null") -- luacheck: ignore 211 (one that is not close-on-exec)
      local p <close> = assert(process.spawn { command = { "ls", "/proc/self/fd" }, input = "x" })
      assert.equal("0\n1\n2\n3\n", read_all(p), "the last is that of ls itself")
    end)

    it("starts it with no signal ignored or blocked", function()
      local p <close> = assert(process.spawn { command = { "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status" } })
      assert.equal("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n", read_all(p))
    end)

    it("makes it lead a session and a process group", function()
      local p <close> = assert(process.spawn { command = { "cat", "/proc/self/stat" } })
      local group, session = read_all(p):match "^%d+ %(cat%) %a %d+ (%d+) (%d+)"
      assert.same({ tostring(p.pid), tostring(p.pid) }, { group, session })
    end)

    it("runs 200 at once", function()
      local count, sum = 200, 0
      local numbers = {}
      for i = 1, count do
        numbers[i] = i
      end
      task.map(numbers, { limit = count }, function(i)
        local p <close> = shell("cat; echo " .. i .. "; exit " .. i % 7, { input = "x\n" })
        local number = tonumber(read_all(p):match "^x\n(%d+)\n$")
        sum = sum + number
        assert.same({ code = i % 7 }, p:wait())
      end)
      assert.equal(count * (count + 1) // 2, sum)
    end)

    it("says when there is no such program", function()
      local p, message, code = process.spawn { command = { "no-such-program" } }
      assert.is_nil(p)
      assert.matches('cannot run "no%-such%-program": no such program', message)
      assert.equal("ENOENT", code)
    end)

    it("says when there is no such directory", function()
      local p, message, code = process.spawn { command = { "true" }, directory = "/no/such/directory" }
      assert.is_nil(p)
      assert.matches("directory /no/such/directory: no such file or directory", message, 1, true)
      assert.equal("ENOENT", code)
    end)

    it("says when a program may not be run", function()
      local p, message, code = process.spawn { command = { "/dev/null" } }
      assert.is_nil(p)
      assert.matches('cannot run "/dev/null"', message, 1, true)
      assert.equal("EACCES", code)
    end)

    it("raises on misuse", function()
      local function refuses(options, reason)
        local ok, message = pcall(process.spawn, options)
        assert.is_false(ok)
        assert.matches(reason, message, 1, true)
      end
      refuses("true", "table expected")
      refuses({}, "command must be a list")
      refuses({ command = {} }, "command must be a list")
      refuses({ command = { "true", 1 } }, "number, expected a string")
      refuses({ command = { "" } }, "empty")
      refuses({ command = { "true\0" } }, "NUL")
      refuses({ command = { "true", "a\0b" } }, "NUL")
      refuses({ command = { "true" }, directory = "/\0" }, "directory contains a NUL")
      refuses({ command = { "true" }, environment = { ["A\0"] = "1" } }, "NUL")
      refuses({ command = { "true" }, environment = { A = "1\0" } }, "environment.A contains a NUL")
      refuses({ command = { "true" }, environment = { A = 1 } }, "environment.A is a number")
      refuses({ command = { "true" }, environment = { "A=1" } }, "environment")
      refuses({ command = { "true" }, environment = { ["A=B"] = "1" } }, "'A=B'")
      refuses({ command = { "true" }, input = 1 }, "input is a number")
      refuses({ command = { "true" }, enviroment = {} }, "'enviroment'")
    end)
  end)

  describe(":read", function()
    it("hands over output as it comes", function()
      local folder = temporary_folder()
      local p <close> = shell("mkfifo go; echo one; read line < go; echo $line", { directory = folder })
      assert.equal("one\n", p:read())
      assert.equal(0, process.run { command = { "sh", "-c", "echo two > go" }, directory = folder }.code)
      assert.equal("two\n", read_all(p))
    end)

    it("holds the child up when nobody reads", function()
      local p <close> = assert(process.spawn { command = { "head", "-c", "100000000", "/dev/zero" } })
      local function written()
        return tonumber(read_file("/proc/" .. p.pid .. "/io"):match "wchar: (%d+)")
      end
      await(function() return written() >= 256 * 1024 end, "256 KB of output")
      task.sleep(0.1)
      assert.is_true(written() < 1 << 20)
      assert.is_true(is_alive(p.pid))
      local total = 0
      repeat
        total = total + #p:read()
      until total > 2 << 20
    end)

    it("reads 100 MB in little memory, also slowly", function()
      local p <close> = nested [[
        local task = require "host.task"
        local function resident()
          local file <close> = io.open "/proc/self/statm"
          return tonumber(file:read "a":match "^%d+ (%d+)") * 4096
        end
        local p <close> = assert(require "host.process".spawn { command = { "head", "-c100000000", "/dev/zero" } })
        local before, total, most = resident(), 0, 0
        for chunk in p.read, p do
          total, most = total + #chunk, math.max(most, resident())
          if total % 16 == 0 then
            task.sleep(0.001)
          end
        end
        io.stdout:write(total, " ", most - before)]]
      local total, growth = read_all(p):match "(%d+) (%d+)"
      assert.equal("100000000", total)
      assert.is_true(tonumber(growth) < 16 << 20, "it grew by " .. growth)
    end)

    it("ends when the program has ended and a descendant holds the pipe in silence", function()
      local start = task.monotonic()
      local p <close> = shell "sleep 100 & echo hi"
      assert.equal("hi\n", read_all(p))
      assert.is_true(task.monotonic() - start >= 0.2)
      assert.is_true(task.monotonic() - start < 20)
      assert.is_nil(p:read())
    end)

    it("still hears a descendant that goes on writing", function()
      local p <close> = shell "(sleep 0.02; echo late; sleep 0.02; echo later; sleep 100) & echo early"
      assert.equal("early\nlate\nlater\n", read_all(p))
    end)

    it("counts no silence while nobody makes room for output", function()
      local p <close> = shell "(head -c 1000000 /dev/zero; sleep 100) &"
      p:wait()
      task.sleep(0.3)
      assert.equal(1000000, #read_all(p))
    end)

    it("raises when another task is reading", function()
      local p <close> = shell "sleep 100"
      local reader = task.spawn(function() return p:read() end)
      task.yield()
      assert.has_error(function() p:read() end)
      p:close()
      assert.is_nil(reader:join())
    end)

    it("closes the process when it is cancelled", function()
      local p <close> = shell "sleep 100 & echo $!; wait"
      local grandchild = tonumber(read_line(p))
      local reader = task.spawn(function() p:read() end)
      task.yield()
      reader:cancel()
      await_death(p.pid)
      await_death(grandchild)
      assert.has_error(function() p:read() end, "calling 'read' on bad self (the process is closed)")
    end)
  end)

  describe(":wait", function()
    it("names the signal that ended the process", function()
      local p <close> = shell "kill -KILL $$"
      assert.same({ signal = "SIGKILL" }, p:wait())
      assert.same({ signal = "SIGKILL" }, p:wait())
    end)

    it("does not wait for descendants", function()
      local p <close> = shell "sleep 100 & exit 4"
      assert.same({ code = 4 }, p:wait())
    end)

    it("tells every task that waits", function()
      local p <close> = shell "sleep 100"
      local waiters = {}
      for i = 1, 3 do
        waiters[i] = task.spawn(p.wait, p)
      end
      task.yield()
      p:kill()
      for i = 1, 3 do
        assert.same({ signal = "SIGTERM" }, waiters[i]:join())
      end
    end)

    it("may be given up without harm to the process", function()
      local p <close> = shell "sleep 100"
      assert.same({ nil, "timeout" }, { task.timeout(0.01, p.wait, p), (select(3, task.timeout(0.01, p.wait, p))) })
      assert.is_true(is_alive(p.pid))
      p:kill "SIGKILL"
      assert.same({ signal = "SIGKILL" }, p:wait())
    end)

    it("leaves no process when its task is cancelled", function()
      local pid
      local waiter = task.spawn(function()
        local p <close> = shell "sleep 100"
        pid = p.pid
        p:wait()
      end)
      await(function() return pid end, "the start")
      waiter:cancel()
      await_death(pid)
    end)
  end)

  describe(":kill", function()
    it("signals the whole group", function()
      local p <close> = shell "sleep 100 & echo $!; wait"
      local grandchild = tonumber(read_line(p))
      p:kill()
      assert.same({ signal = "SIGTERM" }, p:wait())
      await_death(grandchild)
    end)

    it("reaches descendants when the program has ended", function()
      local p <close> = shell "sleep 100 & echo $!"
      local grandchild = tonumber(read_line(p))
      p:wait()
      assert.is_true(p:kill "SIGTERM")
      await_death(grandchild)
    end)

    it("does nothing when nobody is left", function()
      local p <close> = assert(process.spawn { command = { "true" } })
      p:wait()
      assert.is_true(p:kill())
      assert.same({ code = 0 }, p:wait())
    end)

    it("raises for what is no signal", function()
      local p <close> = assert(process.spawn { command = { "true" } })
      assert.has_error(function() p:kill "TERM" end)
      assert.has_error(function() p:kill "SIGNOTHING" end)
    end)
  end)

  describe(":close", function()
    it("ends a program that ignores SIGTERM", function()
      local p <close> = shell "trap '' TERM; echo ready; while :; do sleep 1; done"
      assert.equal("ready\n", read_line(p))
      p:kill()
      task.sleep(0.05)
      assert.is_true(is_alive(p.pid))
      p:close()
      await_death(p.pid)
    end)

    it("ends the descendants of a program that has ended", function()
      local p = shell "sleep 100 & echo $!"
      local grandchild = tonumber(read_line(p))
      p:wait()
      assert.is_true(is_alive(grandchild))
      p:close()
      await_death(grandchild)
    end)

    it("leaves nothing to reap", function()
      local p = shell "sleep 100"
      p:close()
      await(function() return not io.open("/proc/" .. p.pid .. "/stat") end, "the reaping of " .. p.pid)
    end)

    it("may be called again, and forbids the rest", function()
      local p = shell "sleep 100"
      p:close()
      p:close()
      for _, method in ipairs { "read", "wait", "kill" } do
        assert.has_error(function() p[method](p) end)
      end
    end)

    it("tells a waiting task how the process ended", function()
      local p <close> = shell "sleep 100"
      local waiter = task.spawn(p.wait, p)
      task.yield()
      p:close()
      assert.same({ signal = "SIGKILL" }, waiter:join())
    end)

    it("happens by itself when the process is forgotten", function()
      local pid = shell("sleep 100").pid
      collectgarbage()
      collectgarbage()
      await_death(pid)
    end)
  end)

  describe(".run", function()
    it("returns all output and the status", function()
      local result = process.run { command = { "sh", "-c", "cat; echo err >&2; exit 3" }, input = "in" }
      assert.same({ code = 3, stdout = "in", stderr = "err\n" }, result)
    end)

    it("returns merged output in order", function()
      local result = process.run { command = { "sh", "-c", "echo a; echo b >&2; echo c" }, merge = true }
      assert.same({ code = 0, stdout = "a\nb\nc\n", stderr = "" }, result)
    end)

    it("names the signal that ended the process", function()
      assert.same({ signal = "SIGTERM", stdout = "", stderr = "" },
        process.run { command = { "sh", "-c", "kill $$" } })
    end)

    it("fails when there is no such program", function()
      assert.equal("ENOENT", (select(3, process.run { command = { "no-such-program" } })))
    end)

    it("refuses more output than max_bytes", function()
      local command = { "sh", "-c", "printf 12345; printf 67890 >&2" }
      assert.equal("12345", process.run({ command = command, max_bytes = 10 }).stdout)
      local result, message, code = process.run { command = command, max_bytes = 9 }
      assert.is_nil(result)
      assert.matches("more than 9 bytes", message, 1, true)
      assert.equal("too_large", code)
    end)

    it("ends a program that writes without end", function()
      assert.equal("too_large", (select(3, process.run { command = { "yes" } })))
    end)

    it("leaves no descendant behind", function()
      local result = process.run { command = { "sh", "-c", "sleep 100 & echo $!" } }
      await_death(tonumber(result.stdout))
    end)

    it("leaves nothing of the group behind when it is cancelled", function()
      local path = temporary_folder() .. "/pids"
      local script = "sleep 100 & echo $! $$ > " .. path .. ".new; mv " .. path .. ".new " .. path .. "; wait"
      local run = task.spawn(process.run, { command = { "sh", "-c", script } })
      await(function() return io.open(path) end, "the start")
      local grandchild, child = read_file(path):match "(%d+) (%d+)"
      assert.is_true(is_alive(child) and is_alive(grandchild))
      run:cancel()
      await_death(child)
      await_death(grandchild)
    end)
  end)

  describe("the end of the host", function()
    it("leaves no process when its program forgot one", function()
      local p <close> = nested [[
        KEPT = assert(require "host.process".spawn { command = { "sh", "-c", "trap '' TERM; sleep 100 & wait" } })
        io.stdout:write(KEPT.pid, "\n")]]
      local pid = tonumber(read_line(p))
      assert.same({ code = 0 }, p:wait())
      assert.is_false(is_alive(pid))
    end)

    it("leaves no process when it is interrupted", function()
      local p <close> = nested [[
        KEPT = assert(require "host.process".spawn { command = { "sleep", "100" } })
        io.stdout:write(KEPT.pid, "\n") io.stdout:flush()
        KEPT:wait()]]
      local pid = tonumber(read_line(p))
      p:kill "SIGINT"
      assert.is_nil(p:wait().signal)
      assert.is_false(is_alive(pid))
    end)
  end)
end)

local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local terminal = require "host.terminal"

local SIZE = 1 << 20 -- more than a pipe takes

--- Runs a shell script in which $1 is our own binary.
local function shell(script)
  return assert(process.run {
    command = { "sh", "-c", script, "sh", moonsail.path },
    environment = { PATH = os.getenv "PATH", COLUMNS = "7", LINES = "7" },
  })
end

--- The words that print what host.terminal says of the size and the three streams.
local DESCRIBE = [[
  local t = require "host.terminal"
  local function is(stream) return t.is_terminal(stream) and stream or "no" end
  local columns, rows = t.size()
  t.write("stdout", table.concat({ columns, rows, is "stdin", is "stdout", is "stderr" }, " "))]]

--- The same in a pseudo-terminal of 123 columns and 45 rows.
local function describe_in_terminal(redirections)
  return shell(([[export MOONSAIL="$1" WORDS='%s'
    script -qec 'stty cols 123 rows 45; "$MOONSAIL" eval "$WORDS" %s' /dev/null < /dev/null]])
    :format(DESCRIBE, redirections)).stdout
end

describe("terminal", function()
  describe(".is_terminal", function()
    it("knows a terminal", function()
      assert.matches("stdin stdout stderr", describe_in_terminal "")
    end)

    it("looks at each stream by itself", function()
      assert.matches("no stdout stderr", describe_in_terminal "< /dev/null")
      assert.matches("stdin stdout no", describe_in_terminal "2> /dev/null")
      assert.matches("stdin no stderr", describe_in_terminal "| cat")
    end)

    it("knows a pipe, a file and a closed stream for what they are", function()
      assert.matches("no no no$", shell(('"$1" eval \'%s\' <&- 2> /dev/null'):format(DESCRIBE)).stdout)
    end)

    it("raises for what is no stream", function()
      assert.has_error(function() terminal.is_terminal "stdlog" end)
      assert.has_error(function() terminal.is_terminal() end)
    end)
  end)

  describe(".size", function()
    it("is that of the terminal, whatever COLUMNS and LINES say", function()
      assert.matches("^123 45 ", describe_in_terminal "")
    end)

    it("is that of the terminal of another stream when the output is redirected", function()
      assert.matches("^123 45 stdin no stderr", describe_in_terminal "| cat")
    end)

    it("is 80 by 24 when nobody knows", function()
      assert.matches("^80 24 no no no", shell(('"$1" eval \'%s\' 2> /dev/null'):format(DESCRIBE)).stdout)
    end)
  end)

  describe(".write", function()
    local write_much = ('assert(require "host.terminal".write("stdout", ("x"):rep(%d)))'):format(SIZE)

    it("writes everything, to either stream", function()
      local result = shell [["$1" eval '
        local t = require "host.terminal"
        assert(t.write("stdout", "out\0\n") == true and t.write("stderr", "err") and t.write("stdout", ""))']]
      assert.same({ code = 0, stdout = "out\0\n", stderr = "err" }, result)
    end)

    it("waits until a slow reader has taken everything", function()
      assert.equal(SIZE, #shell(('"$1" eval \'%s\' | { sleep 0.1; cat; }'):format(write_much)).stdout)
    end)

    it("copes with a pipe that somebody has made non-blocking", function()
      local nonblocking = "perl -MFcntl -e 'fcntl(STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK) or die; exec @ARGV'"
      local result = shell(('%s "$1" eval \'%s\' | { sleep 0.1; cat; }'):format(nonblocking, write_much))
      assert.equal("", result.stderr)
      assert.equal(SIZE, #result.stdout)
    end)

    it("says when nobody reads any more", function()
      local result = shell [["$1" eval '
        local t = require "host.terminal"
        local ok, message, code
        repeat ok, message, code = t.write("stdout", "x") until not ok
        t.write("stderr", message .. "|" .. code)' | true]]
      assert.equal("cannot write to standard output: broken pipe|EPIPE", result.stderr)
    end)

    it("says when there is no room", function()
      local result = shell [["$1" eval '
        local t = require "host.terminal"
        local ok, message, code = t.write("stdout", "x")
        t.write("stderr", tostring(ok) .. "|" .. message .. "|" .. code)' > /dev/full]]
      assert.equal("nil|cannot write to standard output: no space left on device|ENOSPC",
        result.stderr:match "^(.-)moonsail: standard output could not be written")
    end)

    it("raises on misuse", function()
      assert.has_error(function() terminal.write("stdin", "x") end,
        "bad argument #1 to 'write' (cannot write to \"stdin\"; use \"stdout\" or \"stderr\")")
      assert.has_error(function() terminal.write("stdout") end)
      assert.has_error(function() terminal.write("stdout", {}) end)
    end)
  end)
end)

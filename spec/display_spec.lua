local display = require "moonsail.cli.display"
local task = require "host.task"

--- An execution as the library makes it, as far as the display looks.
local function execution(name, id)
  return { pipeline = { name = name }, id = id, url = "http://x/" .. id, last_status = "ENQUEUED" }
end

local function action(id, name, status, progress)
  return { id = id, name = name, status = status, progress = progress or 0 }
end

--- A display that writes into a list.
local function open(options)
  local written = {}
  options.write = function(stream, text) written[#written + 1] = { stream, text } end
  local screen = display.new(options)
  return screen, function()
    if screen.flush then screen:flush() end
    local texts = {}
    for i, entry in ipairs(written) do texts[i] = entry[2] end
    written = {}
    return table.concat(texts)
  end
end

describe("the display of a pipe", function()
  local screen, take

  before_each(function() screen, take = open { live = false } end)
  after_each(function() screen:close() end)

  it("is one plain line a change", function()
    local build = execution("build", 3)
    screen:started(build)
    build.last_status = "INPROGRESS"
    screen:changed(build, { action(1, "Compile", "INPROGRESS"), action(2, "Test", "INITIAL") })
    screen:changed(build, { action(1, "Compile", "INPROGRESS", 50), action(2, "Test", "INITIAL") })
    screen:changed(build, { action(1, "Compile", "SUCCESSFUL"), action(2, "Test", "INPROGRESS") })
    build.last_status = "FAILED"
    screen:finished(build, { action(1, "Compile", "SUCCESSFUL"), action(2, "Test", "FAILED") })
    assert.equal(table.concat({
      "build #3: sent, http://x/3",
      "build #3: INPROGRESS",
      "build #3: Compile: started",
      "build #3: Compile: SUCCESSFUL",
      "build #3: Test: started",
      "build #3: Test: FAILED",
      "build #3: FAILED after 0.0 s",
    }, "\n") .. "\n", take())
  end)

  it("names a state of waiting, and notes", function()
    local deploy = execution("deploy", 1)
    screen:started(deploy)
    take()
    deploy.last_status = "WAITING_FOR_APPLY"
    screen:changed(deploy)
    screen:changed(deploy)
    screen:note "the server answered 502; trying again"
    assert.equal("deploy #1: WAITING_FOR_APPLY, to approve it: moonsail executions approve deploy 1\n" ..
      "moonsail: the server answered 502; trying again\n", take())
  end)

  it("tells of one whose end is not known, by the name of that", function()
    local deploy = execution("deploy", 1)
    screen:finished(deploy, nil, "VANISHED")
    assert.equal("deploy #1: VANISHED\n", take())
  end)

  it("shows the lines of a log as they are, with what they come from while that is not clear", function()
    local build, deploy = execution("build", 3), execution("deploy", 1)
    local compile = action(1, "Compile", "INPROGRESS")
    screen:started(build)
    screen:changed(build, { compile, action(2, "Test", "SKIPPED") })
    take()
    screen:lines(build, compile, { "one", "\27[2J\27[31mred" })
    assert.equal("one\n\27[2J\27[31mred\n", take())
    screen:changed(build, { compile, action(2, "Test", "ENQUEUED") })
    screen:lines(build, compile, { "two", "" })
    assert.equal("Compile | two\nCompile | \n", take())
    screen:started(deploy)
    take()
    screen:lines(build, compile, { "three" })
    screen:lines(deploy, compile, { "four" })
    assert.equal("build #3 Compile | three\ndeploy #1 Compile | four\n", take())
  end)

  it("makes lines of a bar of progress", function()
    screen:lines(execution("build", 3), action(1, "Pull", "INPROGRESS"), { "10 %\r50 %\r100 %\r" })
    assert.equal("Pull | 10 %\nPull | 50 %\nPull | 100 %\n", take())
  end)

  it("tells of an execution that had finished before anybody looked", function()
    local old = execution("build", 9)
    old.last_status = "SUCCESSFUL"
    screen:finished(old)
    assert.equal("build #9: SUCCESSFUL\n", take())
  end)
end)

describe("the display of a terminal", function()
  local screen, take

  before_each(function() screen, take = open { live = true, colors = false } end)
  after_each(function() screen:close() end)

  it("shows an execution with its actions, and goes back to redraw them in place", function()
    local build = execution("build", 3)
    build.last_status = "INPROGRESS"
    screen:changed(build, { action(1, "Compile", "INPROGRESS", 40), action(2, "Test", "INITIAL") })
    local first = take()
    assert.equal("● build #3  INPROGRESS  0.0 s  http://x/3\n" ..
      "    ● Compile                                 0.0 s  40%\n    · Test\n", first)
    screen:changed(build, { action(1, "Compile", "SUCCESSFUL"), action(2, "Test", "INPROGRESS") })
    local second = take()
    assert.equal("\r\27[3A\27[J", second:sub(1, 8))
    assert.matches("✓ Compile", second, 1, true)
  end)

  it("writes the lines of logs above what it redraws", function()
    local build = execution("build", 3)
    screen:started(build)
    take()
    screen:lines(build, action(1, "Compile", "INPROGRESS"), { "one", "two" })
    assert.equal("\r\27[1A\27[JCompile | one\nCompile | two\n· build #3  ENQUEUED  0.0 s  http://x/3\n", take())
  end)

  it("writes above what a person is to do, once", function()
    local deploy = execution("deploy", 1)
    screen:started(deploy)
    take()
    deploy.last_status = "WAITING_FOR_VARIABLES"
    screen:changed(deploy)
    assert.matches("deploy #1: WAITING_FOR_VARIABLES, to give it its variables: moonsail executions approve deploy 1",
      take(), 1, true)
    screen:changed(deploy)
    assert.not_matches("to give it", take(), 1, true)
  end)

  it("draws what changes at once in one frame", function()
    local build = execution("build", 3)
    for _ = 1, 100 do screen:changed(build) end
    task.yield()
    local _, frames = take():gsub("build #3", "")
    assert.equal(1, frames)
  end)

  it("leaves the last state standing, with the actions of what failed", function()
    local build = execution("build", 3)
    screen:started(build)
    take()
    build.last_status = "FAILED"
    screen:finished(build, { action(1, "Compile", "FAILED") })
    assert.equal("\r\27[1A\27[J✗ build #3  FAILED  0.0 s  http://x/3\n    ✗ Compile\n", take())
    screen:print "next\n"
    assert.equal("next\n", take())
  end)

  it("makes room for what the recipe prints", function()
    screen:started(execution("build", 3))
    take()
    screen:print "hello\n"
    local text = take()
    assert.equal("\r\27[1A\27[Jhello\n", text:sub(1, 14))
    assert.matches("build #3", text, 15, true)
  end)

  it("goes on showing the time between two changes", function()
    screen:started(execution("build", 3))
    take()
    local deadline = task.monotonic() + 5
    local text
    repeat
      task.sleep(0.05)
      text = take()
    until text ~= "" or task.monotonic() > deadline
    assert.matches("build #3", text, 1, true)
  end)

  it("shows no more lines than fit", function()
    for id = 1, 100 do screen:started(execution("train", id)) end
    local last = take()
    local _, lines = last:gsub("\n", "\n")
    assert.is_true(lines < 24)
    assert.matches("and %d+ more", last)
  end)

  it("uses colors unless NO_COLOR asks for none", function()
    local colored, taken = open { live = true, colors = true }
    colored:started(execution("build", 1))
    assert.matches("\27[90m", taken(), 1, true)
    colored:close()
    screen:started(execution("build", 1))
    assert.not_matches("\27[90m", take(), 1, true)
  end)
end)

describe("the line of a log", function()
  local text = require "moonsail.cli.display.text"

  -- What a terminal gets, and what it gets with colors.
  local cases = {
    ["plain"] = { "plain", "plain" },
    ["a\tb"] = { "a\tb", "a\tb" },
    ["\27[31mred\27[0m"] = { "red", "\27[31mred\27[0m\27[0m" },
    ["\27[38:5:1mred"] = { "red", "\27[38:5:1mred\27[0m" },
    ["\27[2Jgone\27[10;20Hthere"] = { "gonethere", "gonethere" },
    ["\27[?25lhidden"] = { "hidden", "hidden" },
    ["\27[6n"] = { "", "" },
    ["\27]0;title\7text"] = { "text", "text" },
    ["\27]8;;http://x\27\\link\27]8;;\27\\"] = { "link", "link" },
    ["\27]0;never ends"] = { "0;never ends", "0;never ends" },
    ["\27Pq#0\27\\sixel"] = { "sixel", "sixel" },
    ["\27(B\27[mreset"] = { "reset", "\27[mreset\27[0m" },
    ["\27cfull reset"] = { "full reset", "full reset" },
    ["\27[12"] = { "12", "12" },
    ["end\27"] = { "end", "end" },
    ["\27\27[2Jtwice"] = { "twice", "twice" },
    ["\0[2Jnul"] = { "[2Jnul", "[2Jnul" },
    ["\7bell\8\127"] = { "bell", "bell" },
    ["\xC2\x9B2Jeight bits"] = { "2Jeight bits", "2Jeight bits" },
    ["Grüße ✓"] = { "Grüße ✓", "Grüße ✓" },
  }

  for line, expected in pairs(cases) do
    it(("does no harm to a terminal: %q"):format(line), function()
      assert.same({ expected[1] }, text.log_lines(line, "terminal"))
      assert.same({ expected[2] }, text.log_lines(line, "colors"))
      assert.same({ line }, text.log_lines(line, "pipe"))
    end)
  end

  it("is empty where it is", function()
    assert.same({ "" }, text.log_lines("", "pipe"))
    assert.same({ "" }, text.log_lines("\r", "terminal"))
  end)
end)

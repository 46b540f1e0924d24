local moonsail = require "spec.support.moonsail"

--- A thousand tasks that sleep, request, run commands and wait for each other, half of them cancelled at random. It is
--- a process of its own, so that what is left at its end shows: the host looks for open handles when it closes, and the
--- sanitizers for memory.
local storm = [[
  local http, process = require "host.http", require "host.process"
  local server, task = require "host.server", require "host.task"
  math.randomseed(%d)
  local listening <close> = assert(server.listen({}, function(request)
    if request.path == "/slow" then task.sleep(math.random() / 50) end
    return { body = ("x"):rep(math.random(1, 20000)) }
  end))
  local url = "http://127.0.0.1:" .. listening.port
  local event = task.event()
  local deeds = {
    function() task.sleep(math.random() / 20) end,
    function() http.request { url = url .. "/fast" } end,
    function() http.request { url = url .. "/slow", on_data = function() task.yield() end } end,
    function() http.request { url = url .. "/slow", timeout = 0.005 } end,
    function() http.request { method = "POST", url = url .. "/slow", body = "y" } end,
    function() event:wait(math.random() / 20) end,
    function() event:notify(math.random()) end,
    function() task.timeout(math.random() / 50, http.request, { url = url .. "/slow" }) end,
    function() coroutine.wrap(function() task.sleep(math.random() / 50) end)() end,
    function() task.spawn(task.sleep, math.random() / 50):join() end,
    function() task.shield(task.sleep, math.random() / 100) end,
    function() task.race { function() task.sleep(math.random() / 50) end, function() task.sleep(0.01) end } end,
  }
  local commands = 0
  local function command()
    commands = commands + 1
    if commands < 40 then process.run { command = { "sh", "-c", "sleep 0.02 & echo hi; sleep 5" } } end
  end
  local tasks = {}
  for i = 1, 1000 do
    tasks[i] = task.spawn(function()
      for _ = 1, math.random(1, 4) do
        if math.random(20) == 1 then command() else deeds[math.random(#deeds)]() end
      end
    end)
  end
  task.sleep(0.05)
  local ended, cancelled = 0, 0
  for i, each in ipairs(tasks) do
    if i %% 2 == 0 then each:cancel() end
    if i %% 100 == 0 then task.sleep(math.random() / 100) end
  end
  local deadline = task.monotonic() + 3
  for i = 1, #tasks do
    if task.monotonic() > deadline then tasks[i]:cancel() end
    local left = math.max(0, deadline - task.monotonic())
    local ok = task.timeout(left, function() return pcall(tasks[i].join, tasks[i]) end)
    if not ok then tasks[i]:cancel() end
  end
  for i = 1, #tasks do
    local ok, problem = pcall(tasks[i].join, tasks[i])
    if ok then ended = ended + 1
    elseif tostring(problem):find "cancelled" then cancelled = cancelled + 1
    else error(problem, 0) end
  end
  assert(ended + cancelled == 1000 and ended > 100 and cancelled > 100, ended .. "+" .. cancelled)
  print "all accounted for"
]]

describe("a thousand tasks at random", function()
  for seed = 1, 3 do
    it("leave no handle, no process and no byte behind, seed " .. seed, function()
      local folder <close> = moonsail.folder()
      local mark = ("MOONSAIL_STORM_%d_%d"):format(seed, math.floor(require("host.task").now() * 1000))
      local result = moonsail.run(folder.path, { "eval", storm:format(seed) }, { environment = { [mark] = "1" } })
      assert.same({ code = 0, stdout = "all accounted for\n", stderr = "" },
        { code = result.code, stdout = result.stdout, stderr = result.stderr })
      local left = io.popen(("grep -lsz '^%s=' /proc/[0-9]*/environ"):format(mark)):read "a"
      assert.equal("", left)
    end)
  end
end)

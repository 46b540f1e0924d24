local isolation = require "moonsail.engine.isolation"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

-- A pipeline whose one command is a variable of the request.
local BUDDY = [[
- pipeline: run
  actions:
  - action: Build
    type: BUILD
    docker_image_name: node
    docker_image_tag: 20
    execute_commands: ["eval \"$COMMAND\""]
]]

-- An engine of its own process.
local CHILD = [[
local e = assert(require "moonsail.engine".start { repository = %q, project = "site", state = %q, isolation = "on" })
print(e.endpoint, e.token)
io.stdout:flush()
require "host.task".sleep(60)
]]

-- The processes whose command line has this text.
local function processes(text)
  local list = assert(process.run { command = { "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'" } })
  local count = 0
  for line in list.stdout:gmatch "[^\n]+" do
    if line == text then count = count + 1 end
  end
  return count
end

-- Containers often forbid namespaces; there the engine runs without, and this file has nothing to show.
local function works()
  local folder <close> = repository.folder()
  return isolation.open { state = folder.path, mode = "auto" }.active
end

describe("isolation", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY, ["a.txt"] = "one\n" }
  end)
  teardown(function() repo:close() end)

  local function run(engine, command)
    local done = engine:finished(engine:run("run", { variables = { { key = "COMMAND", value = command } } }))
    local lines = engine:log(done, "Build")
    return done.status, table.concat(lines, "\n", 3), lines[1]
  end

  if works() then
    describe("by bubblewrap", function()
      setup(function() e = support.start(repo, { isolation = "on", kill_after = 0.2 }) end)
      teardown(function() e:close() end)

      it("is what the log begins with", function()
        local _, _, first = run(e, "true")
        assert.equal("Running on this machine, isolated by bubblewrap; the network is shared; not in the image node:20",
          first)
      end)

      it("hides the user's home, the repository and the engine's state", function()
        for _, path in ipairs { os.getenv "HOME", repo.path .. "/.git", e.state .. "/engine.db", e.state .. "/token",
          e.state .. "/key" } do
          assert.is_truthy(process.run { command = { "test", "-e", path } }.code == 0, path)
          assert.equal("FAILED", (run(e, ("ls -A '%s' | grep ."):format(path))), path)
        end
      end)

      it("has a system that nobody can change", function()
        for _, folder in ipairs { "/usr", "/etc", "/bin", "/" } do
          local status, output = run(e, ("touch %s/moonsail-was-here"):format(folder))
          assert.equal("FAILED", status)
          assert.matches("Read%-only file system", output)
        end
      end)

      it("lets commands write to the checkout, the home of actions and a /tmp of their own", function()
        assert.equal("SUCCESSFUL", (run(e, "echo made > made && echo kept > ~/kept && echo gone > /tmp/gone")))
        local status, output = run(e, "cat made ~/kept; ls /tmp/gone || true")
        assert.equal("SUCCESSFUL", status)
        assert.matches("made\nkept\nls: cannot access '/tmp/gone'", output)
      end)

      it("shows commands their own processes only", function()
        local own = io.open "/proc/self/stat":read "n"
        local _, output = run(e, "ls -d /proc/[0-9]* | wc -l; kill -0 " .. own)
        assert.is_true(tonumber(output:match "%d+") < 8, output)
        assert.matches("No such process", output)
      end)

      it("passes environment, standard input and exit status on", function()
        local status, output = run(e, "cat; echo \"$COMMAND\" | head -c 3; echo \" $HOME $0\"; (exit 42)")
        assert.equal("FAILED", status)
        assert.matches("cat " .. e.state:gsub("%p", "%%%0") .. "/home sh\n", output)
        assert.matches("exit status 42", output)
      end)

      it("starts bubblewrap itself without the action's variables", function()
        local done = e:finished(e:run("run", { variables = { { key = "COMMAND", value = "echo \"$LD_PRELOAD\"" },
          { key = "LD_PRELOAD", value = "/nowhere.so" }, { key = "PATH", value = "/usr/bin:/nowhere" } } }))
        assert.equal("SUCCESSFUL", done.status)
        local output = table.concat(e:log(done, "Build"), "\n")
        assert.matches("\n/nowhere.so\n", output)
        -- The loader complains of each program that runs under the variable: the shell, and what starts it.
        assert.is_nil(output:find("bwrap", 1, true))
      end)

      it("lets a cancelled command clean up", function()
        local running = e:run("run", { variables = { { key = "COMMAND",
          value = "trap 'sleep .1; echo cleaned > ~/cleaned; exit 1' TERM; echo go; while :; do sleep 0.02; done" } } })
        e:eventually(function() return #e:log(e:until_status(running, "INPROGRESS"), "Build") >= 3 end)
        assert.equal(200, (e:call("PATCH", e:path(running), { operation = "CANCEL" })))
        assert.equal("TERMINATED", e:finished(running).status)
        assert.equal("cleaned", assert(io.open(e.state .. "/home/cleaned")):read "l")
      end)

      it("ends what a command has left in the background, in whatever session", function()
        local sleep = ("sleep 60.%d"):format(math.random(1e9))
        assert.equal("SUCCESSFUL", (run(e, ("setsid %s & %s & echo"):format(sleep, sleep))))
        e:eventually(function() return processes(sleep:match "%S+$") == 0 end)
      end)

      it("shows more when the user of the machine says so", function()
        local folder <close> = repository.folder()
        local other <close> = support.start(repo, { isolation = "on", writable = { folder.path } })
        assert.equal("SUCCESSFUL", (run(other, ("echo here > %s/file"):format(folder.path))))
        assert.equal("here", assert(io.open(folder.path .. "/file")):read "l")
      end)
    end)

    it("leaves no process when the engine is killed", function()
      local folder <close> = repository.folder()
      local child <close> = assert(process.spawn {
        command = { moonsail.path, "eval", CHILD:format(repo.path, folder.path .. "/state") },
      })
      local output = ""
      while not output:find "\n" do output = output .. assert(child:read()) end
      local client = support.client(output:match "^(%S+)\t(%S+)")
      local seconds = ("60.%d"):format(math.random(1e9))
      client:run("run", { variables = { { key = "COMMAND", value = ("setsid sleep %s & sleep %s"):format(seconds,
        seconds) } } })
      client:eventually(function() return processes(seconds) >= 2 end)
      assert(process.run { command = { "kill", "-s", "KILL", tostring(child.pid) } })
      child:wait()
      client:eventually(function() return processes(seconds) == 0 end)
    end)
  end

  it("is off when it is not wanted, and the log says so", function()
    local plain <close> = support.start(repo, { isolation = "off" })
    local status, output, first = run(plain, "ls -d " .. repo.path)
    assert.equal("SUCCESSFUL", status)
    assert.equal(repo.path, output:match "^[^\n]+")
    assert.equal("Running on this machine, without isolation; not in the image node:20", first)
  end)

  it("is refused in another mode, and for a path that is not absolute", function()
    assert.same({ false, "isolation is auto, on or off, not \"yes\"" },
      { pcall(support.start, repo, { isolation = "yes" }) })
    local ok, message = pcall(support.start, repo, { writable = { "here" } })
    assert.is_false(ok)
    assert.matches("only as an absolute path", message)
  end)
end)

local engine = require "spec.support.engine"
local library = require "moonsail.library"
local raised = require("spec.support.buddy").raised
local repository = require "spec.support.repository"
local sessions = require "moonsail.client.session"
local task = require "host.task"

local PIPELINES = [[
- pipeline: build
  refs: [ "refs/heads/main" ]
  actions:
    - action: Compile
      type: BUILD
      execute_commands: [ "for i in $(seq 1 40); do echo compile-$i; sleep 0.005; done" ]
    - action: Test
      type: BUILD
      execute_commands: [ "for i in $(seq 1 3000); do echo test-$i; done" ]
- pipeline: flaky
  refs: [ "refs/heads/main" ]
  actions:
    - action: Try
      type: BUILD
      execute_commands: [ "echo try-1", 'test -e "$MARK" || { touch "$MARK"; exit 1; }', "echo try-2" ]
]]

describe("following the engine", function()
  local repo, running, folder, told

  setup(function()
    repo, folder = repository.new(), repository.folder()
    repo:commit { ["buddy.yml"] = PIPELINES }
    running = engine.start(repo, { kill_after = 0.1, isolation = "off" })
  end)
  teardown(function()
    running:close()
    folder:close()
    repo:close()
  end)

  local function project()
    told = {}
    local progress = {
      lines = function(_, execution, action, lines)
        for _, line in ipairs(lines) do
          local word = line:match "^%a+%-%d+$"
          if word then table.insert(told, ("%d %s %s"):format(execution.id, action.name, word)) end
        end
      end,
    }
    return library.new(sessions.new {
      settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
      timing = { poll = 0.01 }, progress = progress, getenv = function() end,
    }).project()
  end

  it("tells every line of every action once, in order", function()
    local build = project():pipeline "build"
    local executions = { build:run { branch = "main" }, build:run { branch = "main" } }
    task.map(executions, {}, function(execution) execution:wait { logs = true, timeout = engine.LIMIT } end)
    local next_line, count = {}, 0
    for _, line in ipairs(told) do
      local place, number = line:match "^(.*%D)(%d+)$"
      assert.equal((next_line[place] or 0) + 1, tonumber(number), line)
      next_line[place], count = tonumber(number), count + 1
    end
    assert.equal(2 * (40 + 3000), count)
  end)

  it("begins again when the execution is tried again", function()
    local execution = project():pipeline("flaky"):run {
      branch = "main", variables = { MARK = folder.path .. "/mark" },
    }
    assert.equal("FAILED", raised(execution.wait, execution, { logs = true, timeout = engine.LIMIT }).status)
    assert.equal(200, (running:call("PATCH", ("%s/%d"):format(running:executions "flaky", execution.id),
      { operation = "RETRY" })))
    execution:wait { logs = true, timeout = engine.LIMIT }
    assert.same({ "1 Try try-1", "1 Try try-1", "1 Try try-2" }, told)
  end)
end)

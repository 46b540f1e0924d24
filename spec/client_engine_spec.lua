local engine = require "spec.support.engine"
local library = require "moonsail.library"
local moonsail = require "spec.support.moonsail"
local raised = require("spec.support.buddy").raised
local repository = require "spec.support.repository"
local sessions = require "moonsail.client.session"
local task = require "host.task"

local PIPELINES = [[
- pipeline: build
  name: Build it
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Compile, type: BUILD, execute_commands: [ 'echo "compiled $VERSION at $BUDDY_EXECUTION_REVISION"' ] }
    - { action: Test, type: BUILD, execute_commands: [ "echo tested" ] }
- pipeline: broken
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Good, type: BUILD, execute_commands: [ "true" ] }
    - { action: Bad, type: BUILD, execute_commands: [ "echo oh no", "exit 3" ] }
- pipeline: slow
  refs: [ "refs/heads/main" ]
  actions: [ { action: Wait, type: SLEEP, sleep_in_sec: 1000 } ]
]]

describe("the client and the engine", function()
  local repo, running, revision, sail, project

  setup(function()
    repo = repository.new()
    revision = repo:commit { ["buddy.yml"] = PIPELINES }
    running = engine.start(repo, { kill_after = 0.1 })
  end)
  teardown(function()
    running:close()
    repo:close()
  end)

  before_each(function()
    local session = sessions.new {
      settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
      timing = { poll = 0.01 }, directory = repo.path, getenv = function() end,
    }
    sail = library.new(session)
    project = sail.project()
  end)

  local function in_time(fn, ...)
    return sail.timeout(engine.LIMIT, fn, ...)
  end

  it("run a pipeline to its end, with its logs", function()
    local execution = project:pipeline("build"):run { branch = "main", variables = { VERSION = "1.2.0" } }
    assert.equal(revision, execution.revision)
    assert.equal("main", execution.branch)
    in_time(execution.wait, execution)
    assert.same({ true, true }, { execution:finished(), execution:ok() })
    local names = {}
    for i, action in ipairs(execution:actions()) do names[i] = action.name .. " " .. action.status end
    assert.same({ "Compile SUCCESSFUL", "Test SUCCESSFUL" }, names)
    local text = table.concat(execution:logs "Compile", "\n")
    assert.matches("compiled 1.2.0 at " .. revision, text, 1, true)
    assert.matches("tested", table.concat(execution:logs(), "\n"), 1, true)
  end)

  it("run the chosen actions only", function()
    local execution = project:pipeline("build"):run {
      branch = "main", actions = function(action) return action.name ~= "Compile" end,
    }
    in_time(execution.wait, execution)
    assert.same({ "NOT_EXECUTED", "SUCCESSFUL" }, { execution:actions()[1].status, execution:actions()[2].status })
  end)

  it("tell which action has failed", function()
    local execution = project:pipeline("broken"):run { branch = "main" }
    local err = raised(in_time, execution.wait, execution)
    assert.same({ "execution", "FAILED" }, { err.kind, err.status })
    assert.matches("action 'Bad' failed", err.message, 1, true)
    assert.matches("oh no", table.concat(execution:logs "Bad", "\n"), 1, true)
  end)

  it("cancel what runs", function()
    local execution = project:pipeline("slow"):run { branch = "main" }
    assert.is_false(execution:finished())
    execution:cancel()
    assert.equal("TERMINATED", raised(in_time, execution.wait, execution).status)
  end)

  it("find pipelines by every name, and what ran in them", function()
    local listed = project:pipelines()
    assert.equal(3, #listed)
    for _, name in ipairs { "build", "Build it", listed[1].id } do
      local build = project:pipeline(name)
      assert.equal("Compile", build:actions()[1].name)
      assert.equal(listed[1].id, build.id)
    end
    local execution = project:pipeline("build"):run { branch = "main" }
    in_time(execution.wait, execution)
    local build = project:pipeline "build"
    assert.equal(execution.id, build:executions({ limit = 1 })[1].id)
    assert.equal(execution.id, build:last_successful().id)
    assert.equal(revision, build:execution(execution.id).revision)
    assert.is_nil(project:pipeline("broken"):last_successful())
  end)

  it("run one pipeline for many at once", function()
    local build = project:pipeline "build"
    local numbers = {}
    for i = 1, 8 do numbers[i] = i end
    local done = in_time(sail.map, numbers, { limit = 4 }, function(number)
      return build:run({ branch = "main", variables = { VERSION = tostring(number) } }):wait()
    end)
    for number, execution in ipairs(done) do
      assert.matches("compiled " .. number, table.concat(execution:logs "Compile", "\n"), 1, true)
    end
  end)

  it("tell what is wrong with a name", function()
    local function message(name, pipeline)
      local wrong = sail.project(name):pipeline(pipeline)
      local err = raised(wrong.run, wrong, { branch = "main" })
      assert.same({ "api", 404 }, { err.kind, err.status })
      return tostring(err)
    end
    assert.equal("there is no pipeline 'biuld' in local/site\n  Did you mean 'build'?", message("local/site", "biuld"))
    assert.matches("^there is no pipeline '99' in local/site\n  There are: ", message("local/site", 99))
    assert.matches("there is no project 'siet'", message("local/siet", "build"), 1, true)
    assert.matches("there is no workspace 'lokal'", message("lokal/site", "build"), 1, true)
  end)

  it("refuse a wrong token", function()
    local session = sessions.new {
      settings = { endpoint = running.engine.endpoint, token = "wrong", project = "local/site" },
      getenv = function() end,
    }
    local build = library.new(session).project():pipeline "build"
    local err = raised(build.run, build)
    assert.same({ "api", 401 }, { err.kind, err.status })
  end)

  it("refuse a branch that is not there, in the API's own words", function()
    local build = project:pipeline "build"
    local err = raised(build.run, build, { branch = "nowhere" })
    assert.same({ "api", 400 }, { err.kind, err.status })
    assert.matches("nowhere", err.message, 1, true)
  end)

  describe("sail.git", function()
    it("reads the repository", function()
      assert.equal(revision, sail.git.head().revision)
      assert.equal("main", sail.git.branches()[1].name)
      assert.same({}, sail.git.tags())
      assert.same({}, sail.git.pull_requests())
      assert.equal(revision, sail.git.resolve "main")
      assert.equal("Change", sail.git.commit("HEAD").subject)
      assert.equal(1, #sail.git.commits())
      assert.same({ "buddy.yml" }, sail.git.changed_paths().added)
      assert.equal(PIPELINES, sail.git.read("HEAD", "buddy.yml"))
    end)

    it("raises for what is not in it", function()
      assert.equal("recipe", raised(sail.git.resolve, "nowhere").kind)
      assert.equal("recipe", raised(sail.git.read, "HEAD", "nothing.txt").kind)
    end)

    it("needs a repository", function()
      local folder <close> = repository.folder()
      local bare = library.new(sessions.new { directory = folder.path })
      local err = raised(bare.git.head)
      assert.equal("usage", err.kind)
      assert.matches("there is no git repository in " .. folder.path, err.message, 1, true)
    end)
  end)

  it("work together in one process, with nothing configured", function()
    local folder <close> = repository.folder()
    local other <close> = repository.new()
    other:commit { ["buddy.yml"] = PIPELINES }
    moonsail.write(folder.path .. "/recipe.lua", [[
      local sail = require "moonsail"
      local execution = sail.project "acme/website":pipeline "build":run { branch = "main" }
      print(execution:wait())
    ]])
    local result = moonsail.run(folder.path, { "run", folder.path .. "/recipe.lua" }, { directory = other.path })
    assert.same({ 0, "acme/website/build #1\n" }, { result.code, result.stdout })
  end)

  it("let what a recipe started and did not wait for come to its end", function()
    local folder <close> = repository.folder()
    local other <close> = repository.new()
    other:commit { ["buddy.yml"] = repository.pipeline {
      name = "late", extra = '  refs: [ "refs/heads/main" ]\n',
      commands = { "sleep 0.2", "touch " .. folder.path .. "/done" },
    } }
    moonsail.write(folder.path .. "/recipe.lua", [[
      require("moonsail").project():pipeline("late"):run { branch = "main" }
    ]])
    local began = task.monotonic()
    local result = moonsail.run(folder.path, { "run", folder.path .. "/recipe.lua" }, { directory = other.path,
      environment = { MOONSAIL_WRITABLE = folder.path } })
    assert.equal(0, result.code)
    assert.is_true(task.monotonic() - began >= 0.2)
    assert.is_truthy(io.open(folder.path .. "/done"))
  end)
end)

local buddy = require "spec.support.buddy"
local engine = require "spec.support.engine"
local json = require "host.json"
local library = require "moonsail.library"
local raised = buddy.raised
local repository = require "spec.support.repository"
local sessions = require "moonsail.client.session"
local task = require "host.task"

local SHA = ("a1"):rep(20)
local COMMIT = { revision = SHA, short_revision = "a1a1a1a", message = "Fix\n", author_date = "2030-01-01T00:00:00Z",
  commit_date = "2030-01-02T00:00:00Z", tags = { "v1" }, html_url = "http://app/c",
  author = { name = "Ada", email = "ada@example.com" }, committer = json.null }

describe("what a project has", function()
  local api, sail, project

  before_each(function()
    local R = "GET " .. buddy.PROJECT .. "/repository"
    api = buddy.serve {
      ["GET " .. buddy.PROJECT] = { name = "website", default_branch = "main", ssh_repository = json.null },
      [R .. "/branches"] = { branches = { { name = "main", default = true, commit = COMMIT }, { name = "dev" } } },
      [R .. "/branches/main"] = { name = "main", default = true, commit = COMMIT, html_url = "http://app/b" },
      [R .. "/tags"] = { tags = { { name = "v1", message = "one", commit = COMMIT }, { name = "v2" } } },
      [R .. "/tags/v1"] = { name = "v1", message = json.null },
      [R .. "/pulls"] = { pull_requests = { { name = "pull/1", number = 1, html_url = "http://app/p" } } },
      [R .. "/pulls/1"] = { name = "pull/1", number = 1 },
      [R .. "/commits"] = { commits = { COMMIT } },
      [R .. "/commits/" .. SHA] = COMMIT,
      ["GET /workspaces"] = { workspaces = { { domain = "acme", name = "ACME", id = 1, html_url = "http://app/w" } } },
      ["GET /workspaces/acme/projects"] = { projects = {
        { name = "website", display_name = "Web site", status = "ACTIVE" }, { name = "shop" },
      } },
      ["GET /workspaces/acme/identifiers"] = { domain = "acme", project_identifier = "website", pipeline_id = 2,
        environment_id = json.null },
    }
    sail = api:sail()
    project = sail.project()
  end)
  after_each(function() api.server:close() end)

  it("are branches", function()
    assert.same({ { name = "main", default = true, revision = SHA }, { name = "dev", default = false } },
      project:branches())
    assert.same({ name = "main", default = true, revision = SHA, url = "http://app/b" }, project:branch "main")
  end)

  it("are tags", function()
    assert.same({ { name = "v1", message = "one", revision = SHA }, { name = "v2" } }, project:tags())
    assert.same({ name = "v1" }, project:tag "v1")
  end)

  it("are pull requests", function()
    assert.same({ { name = "pull/1", number = 1, url = "http://app/p" } }, project:pull_requests())
    for _, name in ipairs { 1, "1", "pull/1" } do assert.equal("pull/1", project:pull_request(name).name) end
  end)

  it("are commits", function()
    local expected = { revision = SHA, short_revision = "a1a1a1a", message = "Fix\n",
      author_date = "2030-01-01T00:00:00Z", commit_date = "2030-01-02T00:00:00Z", tags = { "v1" },
      url = "http://app/c", author = { name = "Ada", email = "ada@example.com" } }
    assert.same({ expected }, project:commits())
    assert.same(expected, project:commit(SHA))
  end)

  it("are filtered commits", function()
    project:commits { branch = "a/b", path = "src", author = "Ada", since = 0, before = "2030-01-01T00:00:00Z",
      limit = 3 }
    assert.same({ branch = "a/b", path = "src", author = "Ada", since = "1970-01-01T00:00:00Z",
      ["until"] = "2030-01-01T00:00:00Z", page = "1", per_page = "3" }, api.requests[#api.requests].query)
  end)

  it("are facts", function()
    assert.same({ name = "website", default_branch = "main" }, project:facts())
  end)

  it("tells which names there are, when one is not there", function()
    assert.equal("there is no branch 'mian' in acme/website\n  Did you mean 'main'?",
      tostring(raised(project.branch, project, "mian")))
    assert.equal("there is no tag 'v7' in acme/website\n  Did you mean 'v1'?",
      tostring(raised(project.tag, project, "v7")))
    for text, call in pairs {
      ["there is no pull request 9 in acme/website"] = { project.pull_request, project, 9 },
      ["there is no commit abcd in acme/website"] = { project.commit, project, "abcd" },
    } do
      local err = raised(table.unpack(call))
      assert.same({ text, 404, "api" }, { err.message, err.status, err.kind })
    end
    local other = sail.project "acme/webiste"
    assert.equal("there is no project 'webiste' in the workspace acme\n  Did you mean 'website'?",
      tostring(raised(other.branch, other, "main")))
    assert.equal("there is no project 'webiste' in the workspace acme\n  Did you mean 'website'?",
      tostring(raised(other.tags, other)))
  end)

  it("refuses what makes no sense, and asks nothing", function()
    for _, call in ipairs {
      { project.branch }, { project.branch, "" }, { project.tag, 1 }, { project.commit, {} },
      { project.pull_request, "one" }, { project.pull_request, 0 }, { project.pull_request },
      { project.commits, { brnach = "main" } }, { project.commits, { limit = 0 } }, { project.commits, { since = {} } },
      { project.commits, { author = 1 } }, { project.commits, { before = 0 / 0 } },
    } do
      assert.equal("usage", raised(call[1], project, call[2]).kind)
    end
    assert.equal(0, #api.requests)
  end)

  describe("around it", function()
    it("are workspaces and their projects", function()
      local workspace = sail.workspaces()[1]
      assert.same({ "acme", "ACME", 1, "http://app/w" }, { workspace.domain, workspace.name, workspace.id,
        workspace.url })
      local list = workspace:projects()
      assert.same({ "acme/website", "Web site", "ACTIVE" }, { tostring(list[1]), list[1].display_name, list[1].status })
      assert.equal("main", list[1]:facts().default_branch)
    end)

    it("is the workspace of the settings, or one that is named", function()
      assert.equal(2, #sail.workspace():projects())
      assert.equal(2, #sail.workspace("acme"):projects())
      local wrong = sail.workspace "amce"
      assert.equal("there is no workspace 'amce' that the token may enter\n  Did you mean 'acme'?",
        tostring(raised(wrong.projects, wrong)))
      for _, name in ipairs { "", "a/b", "..", 3 } do assert.equal("usage", raised(sail.workspace, name).kind) end
    end)

    it("are ids of identifiers", function()
      local found = sail.workspace():identify { project = "website", pipeline = "b d" }
      assert.same({ workspace = "acme", project = "website", pipeline_id = 2 }, found)
      assert.same({ project = "website", pipeline = "b d" }, api.requests[#api.requests].query)
      local workspace = sail.workspace()
      for _, wanted in ipairs { {}, { pipelin = "x" }, { project = 3 }, "website" } do
        assert.equal("usage", raised(workspace.identify, workspace, wanted).kind)
      end
      api.routes["GET /workspaces/acme/identifiers"] = nil
      assert.equal(404, raised(workspace.identify, workspace, { project = "nope" }).status)
    end)
  end)

  describe("of pipelines", function()
    local ACTIONS = "GET " .. buddy.BUILD .. "/actions"

    before_each(function()
      api.routes[ACTIONS] = { actions = {
        { id = 1, name = "Test", type = "BUILD", trigger_time = "ON_EVERY_EXECUTION", disabled = false },
        { id = 2, name = "Alarm", trigger_time = "ON_FAILURE", disabled = true, timeout = json.null },
        { id = 3, name = "Old" },
      } }
    end)

    it("are actions, with their trigger times and whether they are disabled", function()
      local build, found = project:pipeline(2), {}
      for i, action in ipairs(build:actions()) do
        found[i] = ("%s %s %s"):format(action.name, action.trigger_time, action.disabled)
      end
      assert.same({ "Test ON_EVERY_EXECUTION false", "Alarm ON_FAILURE true", "Old ON_EVERY_EXECUTION false" }, found)
      assert.is_nil(build:actions()[2].timeout)
    end)

    it("are actions of one kind", function()
      local build = project:pipeline(2)
      local function names(filter)
        local list = build:actions(filter)
        for i, action in ipairs(list) do list[i] = action.name end
        return table.concat(list, " ")
      end
      assert.equal("Alarm", names { trigger_time = "ON_FAILURE" })
      assert.equal("ON_FAILURE", api.requests[#api.requests].query.trigger_time)
      assert.equal("Test Old", names { disabled = false })
      assert.equal("Alarm", names { disabled = true })
      assert.equal("", names { disabled = true, trigger_time = "ON_SUCCESS" })
      local asked = #api.requests
      for _, filter in ipairs { { trigger_time = "ON_FAILLURE" }, { disable = true }, "ON_FAILURE" } do
        assert.equal("usage", raised(build.actions, build, filter).kind)
      end
      assert.equal(asked, #api.requests)
    end)

    it("are facts, and a cache that can be thrown away", function()
      api.routes["GET " .. buddy.BUILD] = { id = 2, name = "Build it", refs = { "main" }, disabled_reason = json.null }
      api.routes["PATCH " .. buddy.BUILD] = { id = 2 }
      local build = project:pipeline(2)
      assert.same({ id = 2, name = "Build it", refs = { "main" } }, build:facts())
      assert.equal("Build it", build.name)
      assert.equal(build, build:clear_cache())
      assert.same({ clear_cache = true }, api:sent())
    end)

    describe("are executions, one by one", function()
      local LIST = "GET " .. buddy.BUILD .. "/executions"

      local function ids_of(build, enough)
        local ids = {}
        for execution in build:each_execution() do
          ids[#ids + 1] = execution.id
          if #ids == enough then break end
        end
        return ids
      end

      local function history(count)
        local list = {}
        for id = count, 1, -1 do list[#list + 1] = buddy.execution(id, "FAILED") end
        return list
      end

      it("that are asked for when it comes to them", function()
        local list = history(120)
        api.routes[LIST] = function(request) return buddy.page(request, list) end
        local build = project:pipeline(2)
        assert.equal(50, #ids_of(build, 50))
        assert.equal(1, api.count[LIST])
        local ids = ids_of(build)
        assert.same({ 120, 120, 1 }, { #ids, ids[1], ids[120] })
        assert.equal(4, api.count[LIST])
      end)

      it("each once, also when new ones push them down the list", function()
        local list = history(120)
        api.routes[LIST] = function(request, count)
          table.insert(list, 1, buddy.execution(120 + count, "ENQUEUED"))
          return buddy.page(request, list)
        end
        local ids = ids_of(project:pipeline(2))
        for i = 2, #ids do assert.equal(ids[i - 1] - 1, ids[i]) end
        assert.equal(1, ids[#ids])
      end)

      it("and none where there are none", function()
        api.routes[LIST] = { executions = json.list {} }
        assert.same({}, ids_of(project:pipeline(2)))
      end)
    end)
  end)
end)

describe("what the engine has", function()
  local repo, running, sail, project, first

  setup(function()
    repo = repository.new()
    first = repo:commit { ["buddy.yml"] = [[
- pipeline: ask
  name: Ask somebody
  actions:
  - { action: Ask, type: WAIT_FOR_APPLY, comment: "Ship it?" }
  - action: Values
    type: WAIT_FOR_VARIABLES
    variables: [ { key: REGION, defaults: "eu\nus" }, { key: PASSWORD, encrypted: true } ]
  - { action: Use, type: BUILD, execute_commands: [ 'echo "$REGION $PASSWORD"' ] }
  - { action: Alarm, type: SLEEP, sleep_in_sec: 0, trigger_time: ON_FAILURE, disabled: true }
- pipeline: once
  actions:
  - { action: Try, type: BUILD, execute_commands: [ '[ -e again ] || { touch again; exit 1; }' ] }
]] }
    repo:commit({ ["a.txt"] = "a" }, { branch = "dev/x", message = "Add a", from = first })
    repo:tag("v1.0", first)
    repo:pull_request(1, first)
    running = engine.start(repo, { kill_after = 0.1 })
  end)
  teardown(function()
    running:close()
    repo:close()
  end)

  before_each(function()
    sail = library.new(sessions.new {
      settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
      timing = { poll = 0.01 }, getenv = function() end,
    })
    project = sail.project()
  end)

  it("can be read", function()
    assert.equal("local", sail.workspaces()[1].domain)
    assert.equal("local/site", tostring(sail.workspace():projects()[1]))
    assert.equal("main", project:facts().default_branch)
    assert.equal(first, project:branch("main").revision)
    assert.equal("dev/x", project:branch("dev/x").name)
    assert.equal("v1.0", project:tags()[1].name)
    assert.equal("pull/1", project:pull_request(1).name)
    assert.equal("Add a", project:commits({ branch = "dev/x", limit = 1 })[1].message:match "[^\n]+")
    assert.equal("Ada Lovelace", project:commit(first).author.name)
    local found = sail.workspace():identify { project = "site", pipeline = "ask" }
    assert.equal(project:pipelines()[1].id, found.pipeline_id)
    assert.equal("Ask somebody", project:pipeline("ask"):clear_cache():facts().name)
    assert.same({ true, "ON_FAILURE" }, { project:pipeline("ask"):actions({ disabled = true })[1].disabled,
      project:pipeline("ask"):actions()[4].trigger_time })
  end)

  it("can be approved, step by step", function()
    local execution = project:pipeline("ask"):run { branch = "main" }
    local function until_status(status)
      local ends = task.monotonic() + engine.LIMIT
      while execution:status() ~= status do
        assert(task.monotonic() < ends, execution.last_status)
        task.sleep(0.005)
      end
    end
    until_status "WAITING_FOR_APPLY"
    local waiting = execution:waiting()
    assert.same({ 1, "Ask", "APPLY", "Ship it?" }, { #waiting, waiting[1].name, waiting[1].kind, waiting[1].comment })
    execution:approve()
    until_status "WAITING_FOR_VARIABLES"
    assert.same({ "eu", "us" }, execution:waiting()[1].variables[1].options)
    assert.equal("api", raised(execution.approve, execution, { variables = { REGION = "mars" } }).kind)
    execution:approve { action = "Values", variables = { REGION = "us", PASSWORD = sail.secret "PATH" } }
    sail.timeout(engine.LIMIT, execution.wait, execution)
    assert.equal("us ••••", execution:logs("Use")[3])
    local details = execution:action "Values"
    assert.same({ REGION = "us", PASSWORD = "••••" }, details.passed_variables)
    assert.is_number(details.approver_id)
  end)

  it("can be run again, and at once", function()
    local execution = project:pipeline("once"):run { branch = "main" }
    assert.equal("execution", raised(sail.timeout, engine.LIMIT, execution.wait, execution).kind)
    local again = execution:retry()
    sail.timeout(engine.LIMIT, again.wait, again)
    local later = project:pipeline("once"):run { branch = "main", delay_until = "2d" }
    assert.is_string(later.delay_until)
    later:run_now()
    sail.timeout(engine.LIMIT, later.wait, later)
    local off = project:pipeline("once"):run { branch = "main", delay_until = "1h" }
    assert.equal("TERMINATED", off:cancel():status())
  end)
end)

local engine = require "moonsail.engine"
local json = require "host.json"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [[
- pipeline: build
  name: Build the site
  refs: [refs/heads/main]
  priority: HIGH
  variables:
  - key: PLAIN
    value: "1"
  - key: HIDDEN
    value: hidden
    encrypted: true
  actions:
  - action: Compile
    type: BUILD
    docker_image_name: node
    execute_commands: ["true"]
  - action: Wait
    type: SLEEP
    sleep_in_sec: 0
- pipeline: any
  refs: ["*", "refs/pull/*"]
  actions:
  - action: Nothing
    type: SLEEP
    sleep_in_sec: 0
  - action: Off
    type: SLEEP
    sleep_in_sec: 0
    disabled: true
- pipeline: strict
  description_required: true
  actions:
  - action: Nothing
    type: SLEEP
    sleep_in_sec: 0
- pipeline: off
  disabled: true
  disabled_reason: until Monday
  actions:
  - action: Nothing
    type: SLEEP
    sleep_in_sec: 0
]]

describe("engine", function()
  local repo, e, first, second, on_dev

  setup(function()
    repo = repository.new()
    first = repo:commit({ ["buddy.yml"] = BUDDY, ["a.txt"] = "a" }, { message = "First\n" })
    on_dev = repo:commit({ ["b.txt"] = "b" }, { branch = "dev/x", from = first })
    second = repo:commit({ ["a.txt"] = "aa" }, { message = "Second\n\nWith a body\n" })
    repo:tag("v1.0", first)
    repo:tag("v1.1", second, "annotated")
    repo:pull_request(1, on_dev)
    e = support.start(repo)
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  describe("for everybody", function()
    it("answers 401 without a token that it knows", function()
      for _, headers in ipairs { {}, { Authorization = "Bearer nonsense" }, { Authorization = e.token },
        { Authorization = "Basic " .. e.token } } do
        assert.matches("token is missing or wrong", e:refusal(401, "GET", e.project .. "/pipelines", nil, headers))
      end
    end)

    it("takes the token from the query, too", function()
      assert.equal(200, (e:call("GET", "/user/token?access_token=" .. e.token, nil, {})))
      assert.equal(200, (e:call("GET", "/user/token", nil, { Authorization = "bearer " .. e.token })))
    end)

    it("answers 404 for what is not there", function()
      for _, path in ipairs { "/", "//", "/nothing", e.project .. "/", e.project .. "/pipelines/99",
        e.project .. "/pipelines/x", e.project .. "/pipelines/1/executions/99", e.project .. "/pipelines/01",
        e.project .. "/pipelines/1/executions/0x1", e.project .. "/pipelines/1/executions/1e0",
        e.project .. "/pipelines/99999999999999999999", "/workspaces/other", "/workspaces/local/projects/other",
        e.project .. "/repository/branches/none", e.project .. "/repository/commits/" .. ("0"):rep(40) } do
        assert.is_not.equal("", e:refusal(404, "GET", path))
      end
    end)

    it("answers 405 for a method that is not possible", function()
      local _, _, response = e:call("DELETE", e.project .. "/pipelines")
      assert.equal(405, response.status)
      assert.equal("GET, POST", response.headers.allow)
      assert.matches("only GET, POST", e:refusal(405, "PUT", e.project .. "/pipelines/1/executions"))
    end)

    it("answers 400 for a path that cannot be decoded", function()
      for _, path in ipairs { "/workspaces/%", "/workspaces/%2", "/workspaces/%zz", "/workspaces/a%00b",
        "/workspaces/%ff" } do
        assert.matches("The path", e:refusal(400, "GET", path))
      end
    end)

    it("answers 413 for a body that is too large, before it is sent", function()
      local answer = process.run { command = { "bash", "-c", [[
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n' "$2" >&3
        timeout 10 cat <&3
      ]], "bash", e.engine.endpoint:match "%d+$", e:executions "build" } }.stdout
      assert.matches("^HTTP/1.1 413 ", answer)
      assert.matches("X%-Rate%-Limit%-Limit: 5000", answer)
      assert.matches("{\"errors\":%[{\"message\":", answer)
    end)

    it("sends the rate limit and the scopes with every answer", function()
      local _, _, before = e:call("GET", "/user")
      local _, _, after = e:call("GET", e.project .. "/pipelines")
      assert.equal("5000", after.headers["x-rate-limit-limit"])
      assert.equal(tonumber(before.headers["x-rate-limit-remaining"]) - 1,
        tonumber(after.headers["x-rate-limit-remaining"]))
      local reset = tonumber(after.headers["x-rate-limit-reset"])
      assert.is_true(reset > task.now() and reset <= task.now() + 61)
      assert.matches("EXECUTION_RUN", after.headers["x-oauth-scopes"])
      assert.equal("EXECUTION_INFO", after.headers["x-accepted-oauth-scopes"])
      assert.equal("application/json", after.headers["content-type"])
      local _, _, refused = e:call("GET", "/user", nil, {})
      assert.equal("5000", refused.headers["x-rate-limit-limit"])
    end)

    it("answers 429 beyond the rate limit, and does nothing", function()
      local small <close> = support.start(repo, { rate_limit = 3 })
      local path = small:executions "build"
      assert.equal(200, (small:call("POST", path, "{}")))
      assert.equal(200, (small:call("GET", path)))
      local status, body, response = small:call("POST", path, "{}")
      assert.equal(429, status)
      assert.equal("Rate limit exceeded.", body.errors[1].message)
      assert.equal("0", response.headers["x-rate-limit-remaining"])
      assert.is_true(small.engine:busy() <= 1)
    end)
  end)

  describe("of a token with few scopes", function()
    it("answers 403 for what it may not do", function()
      local folder <close> = repository.folder()
      support.start(repo, { state = folder.path }):close()
      local file = assert(io.open(folder.path .. "/tokens", "w"))
      file:write "reader EXECUTION_INFO\nrunner EXECUTION_RUN\n"
      file:close()
      local mine <close> = support.start(repo, { state = folder.path })
      local path = mine:executions "build"
      local reader, runner = { Authorization = "Bearer reader" }, { Authorization = "Bearer runner" }
      assert.equal(200, (mine:call("GET", path, nil, reader)))
      assert.equal("This token lacks the scope EXECUTION_RUN", mine:refusal(403, "POST", path, "{}", reader))
      assert.equal("This token lacks the scope WORKSPACE", mine:refusal(403, "GET", "/workspaces/local", nil, reader))
      assert.equal(200, (mine:call("GET", path, nil, runner)))
      assert.equal(200, (mine:call("POST", path, "{}", runner)))
      local _, token, response = mine:call("GET", "/user/token", nil, reader)
      assert.same({ "EXECUTION_INFO" }, token.scopes)
      assert.equal("EXECUTION_INFO", response.headers["x-oauth-scopes"])
    end)
  end)

  describe("pipelines", function()
    it("are listed as buddy.yml of the default branch has them", function()
      local list = e:get(e.project .. "/pipelines")
      local names = {}
      for index, pipeline in ipairs(list.pipelines) do names[index] = pipeline.identifier end
      assert.same({ "build", "any", "strict", "off" }, names)
      local build = list.pipelines[1]
      assert.equal("Build the site", build.name)
      assert.equal("CLICK", build.on)
      assert.same({ "refs/heads/main" }, build.refs)
      assert.equal("HIGH", build.priority)
      assert.matches("/pipelines/" .. build.id .. "$", build.url)
    end)

    it("are listed in pages", function()
      local page = e:get(e.project .. "/pipelines?page=2&per_page=3").pipelines
      assert.equal(1, #page)
      assert.equal("off", page[1].identifier)
      assert.same({}, e:get(e.project .. "/pipelines?page=9").pipelines)
      assert.matches("per_page: found \"x\"", e:refusal(400, "GET", e.project .. "/pipelines?per_page=x"))
      assert.matches("page: found \"0\"", e:refusal(400, "GET", e.project .. "/pipelines?page=0"))
    end)

    it("are shown whole, without their encrypted values", function()
      local id = e:get(e.project .. "/pipelines").pipelines[1].id
      local pipeline = e:get(e.project .. "/pipelines/" .. id)
      assert.equal("Compile", pipeline.actions[1].name)
      assert.equal("site", pipeline.project.name)
      assert.equal("1", pipeline.variables[1].value)
      assert.equal(json.null, pipeline.variables[2].value)
      local actions = e:get(e.project .. "/pipelines/" .. id .. "/actions").actions
      assert.equal(2, #actions)
      local action = e:get(e:path(actions[1]))
      assert.same({ "true" }, action.execute_commands)
      assert.equal("node", action.docker_image_name)
      assert.equal("build", action.pipeline.identifier)
      assert.equal(404, (e:call("GET", e.project .. "/pipelines/" .. id .. "/actions/999")))
    end)

    it("are found by their text id", function()
      local found = e:get "/workspaces/local/identifiers?project=site&pipeline=any"
      assert.equal("local", found.domain)
      assert.equal("site", found.project_identifier)
      assert.equal("any", e:get(e.project .. "/pipelines/" .. found.pipeline_id).identifier)
      assert.matches("no pipeline \"none\"",
        e:refusal(404, "GET", "/workspaces/local/identifiers?project=site&pipeline=none"))
      assert.matches("no project \"none\"", e:refusal(404, "GET", "/workspaces/local/identifiers?project=none"))
    end)
  end)

  describe("the repository", function()
    it("has branches, tags, commits and pull requests", function()
      local P = e.project .. "/repository"
      local branches = e:get(P .. "/branches").branches
      assert.equal("dev/x", branches[1].name)
      assert.is_false(branches[1].default)
      assert.equal("main", branches[2].name)
      assert.is_true(branches[2].default)
      assert.equal(second, branches[2].commit.revision)
      assert.equal("dev/x", e:get(P .. "/branches/dev%2Fx").name)
      assert.equal("dev/x", e:get(e:path(branches[1])).name)
      assert.equal("annotated", (e:get(P .. "/tags/v1.1").message:gsub("\n", "")))
      assert.equal(2, #e:get(P .. "/tags").tags)
      assert.equal("pull/1", e:get(P .. "/pulls").pull_requests[1].name)
      assert.equal(1, e:get(P .. "/pulls/1").number)
    end)

    it("shows commits with their people, dates and tags", function()
      local P = e.project .. "/repository"
      local commits = e:get(P .. "/commits").commits
      assert.equal(second, commits[1].revision)
      assert.equal(first, commits[2].revision)
      assert.equal(first, e:get(P .. "/commits?page=2&per_page=1").commits[1].revision)
      assert.equal(on_dev, e:get(P .. "/commits?branch=dev%2Fx").commits[1].revision)
      local commit = e:get(P .. "/commits/" .. second)
      assert.equal("Second\n\nWith a body\n", commit.message)
      assert.equal(second:sub(1, 7), commit.short_revision)
      assert.matches("^%d+-%d+-%d+T%d+:%d+:%d+Z$", commit.author_date)
      assert.equal("Ada Lovelace", commit.author.name)
      assert.equal("grace@example.com", commit.committer.email)
      assert.same({ "v1.1" }, commit.tags)
      assert.equal("Ada Lovelace", e:get(e:path(commit.author)).name)
    end)
  end)

  describe("the account", function()
    it("is that of the one who runs the engine", function()
      assert.equal("local", e:get("/workspaces").workspaces[1].domain)
      assert.equal("local", e:get("/workspaces/local").name)
      assert.equal("site", e:get("/workspaces/local/projects").projects[1].name)
      assert.equal("main", e:get(e.project).default_branch)
      assert.equal(1, e:get("/user").id)
      assert.is_true(#e:get("/user/token").scopes > 3)
    end)
  end)

  describe("POST of an execution", function()
    local function post(identifier, body) return e:run(identifier, body) end
    local function refused(identifier, body) return e:refusal(400, "POST", e:executions(identifier), body) end

    it("answers with every key of the API's answer", function()
      local answer = post("build", { to_revision = { revision = "HEAD" }, comment = "hot\u{66}ix", priority = "HIGH",
        variables = { { key = "A", value = "1" } } })
      for name, kind in pairs { url = "string", html_url = "string", id = "number", start_date = "null",
        finish_date = "null", triggeredOn = "string", triggered_on = "string", priority = "string",
        refresh = "boolean", clear_cache = "boolean", status = "string", comment = "string", delay_until = "null",
        logs_removed = "boolean", branch = "table", to_revision = "table", creator = "table", pipeline = "table",
        action_executions = "table" } do
        local found = answer[name] == json.null and "null" or type(answer[name])
        assert.equal(kind, found, name)
      end
      assert.is_not_nil(answer.from_revision)
      assert.is_nil(answer.tag)
      assert.is_nil(answer.pull_request)
      assert.equal("hotfix", answer.comment)
      assert.equal("CLICK", answer.triggeredOn)
      assert.equal("ENQUEUED", answer.status)
      for _, name in ipairs { "url", "html_url", "revision", "short_revision", "author_date", "commit_date", "message",
        "tags", "committer", "author" } do
        assert.is_not_nil(answer.to_revision[name], name)
      end
      for _, name in ipairs { "url", "html_url", "id", "name", "on", "refs", "last_execution_status",
        "last_execution_revision" } do
        assert.is_not_nil(answer.pipeline[name], name)
      end
      local action = answer.action_executions[1]
      assert.equal("INITIAL", action.status)
      assert.equal(0, action.progress)
      assert.equal(24, #action.action_execution_id)
      for _, name in ipairs { "url", "html_url", "id", "name", "type", "trigger_time", "last_execution_status" } do
        assert.is_not_nil(action.action[name], name)
      end
      assert.matches("/execution/%x+$", answer.html_url)
      assert.equal(answer.id, e:get(e:path(answer)).id)
    end)

    it("runs the HEAD of the only ref when nothing is said", function()
      local answer = post("build", {})
      assert.equal("main", answer.branch.name)
      assert.equal(second, answer.to_revision.revision)
    end)

    it("runs branches, tags and pull requests", function()
      local branch = post("any", { branch = { name = "dev/x" } })
      assert.equal(on_dev, branch.to_revision.revision)
      assert.is_false(branch.branch.default)
      local tag = post("any", { tag = { name = "v1.1" } })
      assert.equal("v1.1", tag.tag.name)
      assert.equal(json.null, tag.branch)
      assert.equal(second, tag.to_revision.revision)
      local pull = post("any", { pull_request = { name = "pull/1" } })
      assert.equal(1, pull.pull_request.number)
      assert.equal(on_dev, pull.to_revision.revision)
    end)

    it("counts executions within the pipeline and remembers the revision before", function()
      local a = post("any", { tag = { name = "v1.0" } })
      local b = post("any", { branch = { name = "main" } })
      assert.equal(a.id + 1, b.id)
      assert.equal(first, b.from_revision.revision)
      local c = post("any", { branch = { name = "main" }, from_revision = { revision = on_dev } })
      assert.equal(on_dev, c.from_revision.revision)
    end)

    it("takes a revision that is on the ref, and no other", function()
      assert.equal(first, post("build", { to_revision = { revision = first } }).to_revision.revision)
      assert.matches("is not on the chosen ref", refused("build", { to_revision = { revision = on_dev } }))
      assert.matches("has no commit", refused("build", { to_revision = { revision = ("0"):rep(40) } }))
      assert.matches("to_revision.revision: found", refused("build", { to_revision = { revision = "main" } }))
    end)

    it("ignores fields that it does not know, and nulls", function()
      local answer = e:run("build", [[{"nonsense":1,"comment":null,"branch":{"name":"main","x":[]},
        "variables":[{"key":"A","value":"1","type":"VAR","settable":true,"encrypted":null}]}]])
      assert.equal("", answer.comment)
    end)

    it("runs at once what was delayed until an instant that is past", function()
      local answer = post("build", { delay_until = "2016-11-18T12:38:16.000Z" })
      assert.equal(json.null, answer.delay_until)
    end)

    it("refuses what is not a JSON object", function()
      for _, body in ipairs { "", "{", "[]", "1", "null", "\"x\"", "{\"a\":\xff}" } do
        assert.matches("^The body", refused("build", body))
      end
    end)

    it("refuses with one entry for each fault", function()
      local messages = refused("build", { priority = "URGENT", actions_to_run = { "x" }, refresh = "yes" })
      assert.matches("priority: found .*URGENT.*expected", messages)
      assert.matches("actions_to_run%[1%]: found", messages)
      assert.matches("refresh: found", messages)
      local _, answer = e:call("POST", e:executions "build", { priority = "URGENT", refresh = "yes" })
      assert.equal(2, #answer.errors)
    end)

    it("refuses refs that the pipeline does not run on, or that do not exist", function()
      assert.matches("%S", refused("any", { branch = { name = "main" }, tag = { name = "v1.0" } }))
      assert.matches("\"dev/x\" is not one of the refs of pipeline \"Build the site\": refs/heads/main",
        refused("build", { branch = { name = "dev/x" } }))
      assert.matches("say which with branch", refused("any", {}))
      for _, name in ipairs { "none", "main~1", "HEAD", first, "../main", "a\0b", "main^{tree}" } do
        assert.is_not.equal("", refused("any", { branch = { name = name } }))
      end
      assert.matches("no pull request", refused("any", { pull_request = { name = "pull/9" } }))
    end)

    it("refuses actions that are not there or are disabled", function()
      local id = e:executions "any":match "%d+"
      local actions = e:get(e.project .. "/pipelines/" .. id .. "/actions").actions
      local messages = refused("any", { branch = { name = "main" }, actions_to_run = { 9999, actions[2].id } })
      assert.matches("actions_to_run%[1%]: 9999 is not an action of pipeline \"any\"; it has %d+ Nothing", messages)
      assert.matches("actions_to_run%[2%]: action \"Off\" is disabled", messages)
    end)

    it("refuses what the pipeline does not allow", function()
      assert.matches("comment: pipeline \"strict\" wants one", refused("strict", {}))
      assert.equal("why", post("strict", { comment = "why" }).comment)
      assert.matches("Pipeline \"off\" is disabled: until Monday", refused("off", {}))
    end)

    it("refuses variables that no process could have", function()
      assert.is_not.equal("", refused("build", { variables = { { key = "A=B", value = "1" } } }))
      assert.is_not.equal("", refused("build", { variables = { { key = "A", value = "1\0" } } }))
    end)
  end)

  describe("lists of executions", function()
    it("are paged, newest first, with counters", function()
      local mine <close> = support.start(repo)
      local path = mine:executions "build"
      for _ = 1, 5 do mine:run "build" end
      local page = mine:get(path .. "?page=2&per_page=2")
      assert.equal(3, page.executions[1].id)
      assert.equal(2, page.executions[2].id)
      assert.same({ 2, 2, 3, 2, 5 }, { page.page, page.page_size, page.total_page_count, page.element_count,
        page.total_element_count })
      assert.is_nil(page.executions[1].action_executions)
      assert.equal(0, mine:get(path .. "?page=4&per_page=2").element_count)
      assert.equal(100, mine:get(path .. "?per_page=5000").page_size)
      local empty = mine:get(mine:executions "any")
      assert.same({}, empty.executions)
      assert.equal(0, empty.total_page_count)
    end)
  end)

  describe("PATCH of an execution", function()
    it("names the operations that there are", function()
      local path = e:path(e:run "build")
      assert.matches("operation: found nothing, expected CANCEL, RETRY", e:refusal(400, "PATCH", path, {}))
    end)
  end)

  describe(".start", function()
    it("refuses what is not a repository, and any address but the loopback", function()
      local folder <close> = repository.folder()
      local started, message = engine.start { repository = folder.path, state = folder.path .. "/s" }
      assert.is_nil(started)
      assert.is_string(message)
      local _, refused, code = engine.start { repository = repo.path, address = "0.0.0.0", state = folder.path }
      assert.matches("loopback only", refused)
      assert.equal("EADDRNOTAVAIL", code)
    end)

    it("refuses a state folder that another engine uses, and says where that one is", function()
      local _, message, code = engine.start { repository = repo.path, state = e.state }
      assert.truthy(message:find(e.engine.endpoint, 1, true), message)
      assert.is_string(code)
      assert.equal(200, (e:call("GET", "/user")))
    end)

    it("raises for names that cannot stand in a URL", function()
      assert.has_error(function() engine.start { repository = repo.path, workspace = "a/b" } end)
    end)

    it("keeps its token, in a file for its owner only", function()
      local folder <close> = repository.folder()
      local before = support.start(repo, { state = folder.path .. "/x" })
      before:close()
      local after <close> = support.start(repo, { state = folder.path .. "/x" })
      assert.equal(before.token, after.token)
      assert.matches("^%x+-%x+-4%x+-[89ab]%x+-%x+$", before.token)
      local modes = process.run { command = { "stat", "-c", "%a", folder.path .. "/x", after.engine.token_file,
        folder.path .. "/x/engine.db" } }.stdout
      assert.equal("700\n600\n600\n", modes)
    end)
  end)

  describe("over a repository that cannot be run", function()
    it("has no pipelines before the first commit, and says so", function()
      local none <close> = repository.new()
      local mine <close> = support.start(none)
      assert.same({}, mine:get(mine.project .. "/pipelines").pipelines)
      assert.same({}, mine:get(mine.project .. "/repository/branches").branches)
      assert.same({}, mine:get(mine.project .. "/repository/commits").commits)
      assert.matches("no commit yet", mine:refusal(400, "POST", mine.project .. "/pipelines/1/executions", "{}"))
      local revision = none:commit { ["buddy.yml"] = BUDDY }
      assert.equal(4, #mine:get(mine.project .. "/pipelines").pipelines)
      assert.equal(revision, mine:run("build").to_revision.revision)
    end)

    it("has no pipelines without a buddy.yml", function()
      local bare <close> = repository.new()
      bare:commit { ["a.txt"] = "a" }
      local mine <close> = support.start(bare)
      assert.same({}, mine:get(mine.project .. "/pipelines").pipelines)
    end)

    it("says what is wrong with buddy.yml in every answer that needs it, until it is right", function()
      local broken <close> = repository.new()
      broken:commit { ["buddy.yml"] = "a: [b\n c: }" }
      local mine <close> = support.start(broken)
      assert.matches("buddy.yml:2: is not YAML", mine:refusal(400, "GET", mine.project .. "/pipelines"))
      assert.matches("not YAML", mine:refusal(400, "GET", mine.project .. "/pipelines/1"))
      assert.matches("not YAML", mine:refusal(400, "POST", mine.project .. "/pipelines/1/executions", "{}"))
      assert.matches("not YAML",
        mine:refusal(400, "GET", "/workspaces/local/identifiers?project=site&pipeline=build"))
      assert.equal(1, #mine:get(mine.project .. "/repository/branches").branches)
      broken:commit { ["buddy.yml"] = BUDDY:gsub("SLEEP", "TELEPORT") }
      assert.matches("cannot run actions of type \"TELEPORT\"",
        mine:refusal(400, "GET", mine.project .. "/pipelines"))
      broken:commit { ["buddy.yml"] = BUDDY .. BUDDY }
      assert.matches("\"build\" is also the name of", mine:refusal(400, "GET", mine.project .. "/pipelines"))
      broken:commit { ["buddy.yml"] = BUDDY }
      assert.equal(4, #mine:get(mine.project .. "/pipelines").pipelines)
    end)

    it("refuses a revision whose buddy.yml does not define the pipeline", function()
      local moved <close> = repository.new()
      local old = moved:commit { ["a.txt"] = "a" }
      moved:commit { ["buddy.yml"] = BUDDY }
      moved:branch("old", old)
      local mine <close> = support.start(moved)
      assert.matches("does not define pipeline \"any\"",
        mine:refusal(400, "POST", mine:executions "any", { branch = { name = "old" } }))
    end)
  end)
end)

local json = require "host.json"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local FIRST = [[
- pipeline: zeta
  actions:
  - { action: Nap, type: SLEEP, sleep_in_sec: 0 }
  - { action: Mourn, type: SLEEP, sleep_in_sec: 0, trigger_time: ON_FAILURE, disabled: true }
]]

local SECOND = [[
-
  # the dash stands alone
  pipeline: alpha
  variables: [ { key: HIDDEN, value: hidden, encrypted: true } ]
  actions:
  - action: Fill
    type: BUILD
    cached_dirs: [kept]
    docker_image_name: alpine
    setup_commands: ["echo set up"]
    execute_commands: ["ls left kept || true", "touch left kept/file"]
]]

local BUDDY = "# all of them\n" .. FIRST .. "\n# a comment between\n" .. SECOND

-- The date of the n-th commit, as spec.support.repository gives it.
local function date(n) return os.date("!%Y-%m-%dT%H:%M:%SZ", 1700000000 + 60 * n) end

describe("engine, what can be looked up:", function()
  local repo, e, commits, pipelines

  setup(function()
    repo = repository.new()
    commits = {
      repo:commit({ ["buddy.yml"] = BUDDY, ["docs/a.md"] = "1" }, { message = "One\n" }),
      repo:commit({ ["docs/a.md"] = "2", ["src/x.c"] = "1" }, { message = "Two\n" }),
      repo:commit({ ["documents"] = "not in docs" }, { message = "Three\n" }),
      repo:commit({ ["docs/a.md"] = false }, { message = "Four\n" }),
    }
    repo:commit({ ["b"] = "b" }, { branch = "dev", from = commits[2], message = "Dev\n" })
    repo:pull_request(7, commits[2])
    e = support.start(repo)
    pipelines = {}
    for _, pipeline in ipairs(e:get(e.project .. "/pipelines").pipelines) do
      pipelines[pipeline.identifier] = pipeline
    end
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  local function listed(query)
    local subjects = {}
    for index, commit in ipairs(e:get(e.project .. "/repository/commits" .. query).commits) do
      subjects[index] = commit.message:match "%w+"
    end
    return table.concat(subjects, " ")
  end

  describe("commits", function()
    for query, expected in pairs {
      [""] = "Four Three Two One",
      ["?branch=dev"] = "Dev Two One",
      ["?path=docs"] = "Four Two One",
      ["?path=docs/"] = "Four Two One",
      ["?path=docs/a.md"] = "Four Two One",
      ["?path=src/x.c"] = "Two",
      ["?path=doc"] = "",
      ["?path=../docs"] = "",
      ["?author=ada"] = "Four Three Two One",
      ["?author=LOVELACE"] = "Four Three Two One",
      ["?author=ada%40example.com"] = "Four Three Two One",
      ["?author=grace"] = "",
      ["?since=" .. date(3)] = "Four Three",
      ["?until=" .. date(2)] = "Two One",
      ["?since=2023-11-14&until=" .. date(1)] = "One",
      ["?since=2999-01-01"] = "",
      ["?path=docs&page=2&per_page=2"] = "One",
      ["?path=docs&branch=dev&until=" .. date(1)] = "One",
    } do
      it("of " .. (query == "" and "the default branch" or query:sub(2)), function()
        assert.equal(expected, listed(query))
      end)
    end

    it("from a revision on", function()
      assert.equal("Two One", listed("?revision=" .. commits[2]))
      assert.equal("Three Two One", listed("?revision=" .. commits[3]:sub(1, 10)))
    end)

    it("not of what is not there, or no date", function()
      local path = e.project .. "/repository/commits"
      e:refusal(404, "GET", path .. "?branch=none")
      e:refusal(404, "GET", path .. "?revision=" .. ("0"):rep(40))
      e:refusal(404, "GET", path .. "?revision=HEAD")
      for _, text in ipairs { "yesterday", "2023-02-30", "2023-13-01", "2023-01-01T25:00:00Z", "2023-01-01T10:00" } do
        assert.matches("since: found", e:refusal(400, "GET", path .. "?since=" .. text))
      end
    end)
  end)

  it("pull requests, under their own address", function()
    local list = e:get(e.project .. "/repository/pulls")
    assert.equal(e.project .. "/repository/pulls", e:path(list))
    assert.equal("pull/7", e:get(e:path(list.pull_requests[1])).name)
  end)

  it("pipelines in the order that is asked for", function()
    local function names(query)
      local list = {}
      for index, pipeline in ipairs(e:get(e.project .. "/pipelines" .. query).pipelines) do
        list[index] = pipeline.name
      end
      return table.concat(list, " ")
    end
    assert.equal("zeta alpha", names "")
    assert.equal("alpha zeta", names "?sort_by=name")
    assert.equal("zeta alpha", names "?sort_by=name&sort_direction=DESC")
    assert.equal("alpha", names "?sort_by=id&sort_direction=DESC&per_page=1")
    assert.matches("sort_by: found \"size\", expected name, id",
      e:refusal(400, "GET", e.project .. "/pipelines?sort_by=size"))
  end)

  it("actions by their trigger time", function()
    local path = e:path(pipelines.zeta) .. "/actions"
    local on_failure = e:get(path .. "?trigger_time=ON_FAILURE").actions
    assert.same({ "Mourn", true }, { on_failure[1].name, on_failure[1].disabled })
    assert.equal("Nap", e:get(path .. "?trigger_time=ON_EVERY_EXECUTION").actions[1].name)
    assert.same({}, e:get(path .. "?trigger_time=ON_WARNING").actions)
    assert.matches("trigger_time: found \"NEVER\"", e:refusal(400, "GET", path .. "?trigger_time=NEVER"))
  end)

  it("the text of a pipeline, cut out of its file", function()
    assert.equal(FIRST, e:get(e:path(pipelines.zeta) .. "/yaml").yaml)
    assert.equal(SECOND, e:get(e:path(pipelines.alpha) .. "/yaml").yaml)
  end)

  it("the whole file where a pipeline cannot be cut out", function()
    local mine <close> = repository.new()
    local text = "- { pipeline: a, actions: [ &nap { action: Nap, type: SLEEP, sleep_in_sec: 0 } ] }\n"
      .. "- { pipeline: b, actions: [ *nap ] }\n"
    mine:commit { ["buddy.yml"] = text }
    local one <close> = support.start(mine)
    local list = one:get(one.project .. "/pipelines").pipelines
    assert.equal(text:match "^[^\n]*\n", one:get(one:path(list[1]) .. "/yaml").yaml)
    assert.equal(text, one:get(one:path(list[2]) .. "/yaml").yaml)
  end)

  it("workspaces and projects, in pages", function()
    assert.equal(1, #e:get("/workspaces").workspaces)
    assert.same({}, e:get("/workspaces?page=2").workspaces)
    local projects = "/workspaces/local/projects"
    assert.equal("site", e:get(projects .. "?status=ACTIVE&membership=true").projects[1].name)
    assert.same({}, e:get(projects .. "?status=CLOSED").projects)
    assert.same({}, e:get(projects .. "?page=2").projects)
    assert.matches("status: found \"GONE\"", e:refusal(400, "GET", projects .. "?status=GONE"))
  end)

  it("identifiers, of which the engine has those of a workspace, a project and a pipeline", function()
    local path = "/workspaces/local/identifiers"
    local found = e:get(path)
    assert.same({ "local", json.null, json.null }, { found.domain, found.project_identifier, found.pipeline_id })
    assert.equal("site", e:get(path .. "?project=site").project_identifier)
    assert.equal(pipelines.alpha.id, e:get(path .. "?project=site&pipeline=alpha").pipeline_id)
    assert.matches("project: is missing", e:refusal(400, "GET", path .. "?pipeline=alpha"))
    for _, name in ipairs { "environment", "package", "package_version" } do
      assert.matches(name .. ": the engine has no", e:refusal(404, "GET", path .. "?project=site&" .. name .. "=x"))
    end
  end)

  describe("of a pipeline", function()
    local function log() return table.concat(e:log(e:finished(e:run "alpha"), "Fill"), "\n") end

    it("only the cache can be changed, which is to clear it", function()
      local path = e:path(pipelines.alpha)
      assert.matches("set up", log())
      assert.matches("\nleft", log())
      local status, answer = e:call("PATCH", path, { clear_cache = true })
      assert.equal(200, status)
      assert.equal(json.null, answer.variables[1].value)
      local cleared = log()
      assert.matches("\nset up", cleared)
      assert.is_nil(cleared:find "\nleft")
      assert.is_nil(cleared:find "\nfile")
      assert.equal(200, (e:call("PATCH", path, { clear_cache = false })))
      assert.matches("clear_cache: expected", e:refusal(400, "PATCH", path, { clear_cache = "yes" }))
    end)

    it("nothing else: the answer says where it comes from", function()
      local path = e:path(pipelines.alpha)
      local action = e:path(e:get(path .. "/actions").actions[1])
      for _, case in ipairs { { "POST", e.project .. "/pipelines" }, { "PATCH", path }, { "DELETE", path },
        { "PATCH", path .. "/yaml" }, { "POST", path .. "/actions" }, { "PATCH", action }, { "DELETE", action } } do
        assert.matches("buddy.yml", e:refusal(403, case[1], case[2], { name = "other" }))
      end
    end)
  end)
end)

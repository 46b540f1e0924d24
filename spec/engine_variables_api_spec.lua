local json = require "host.json"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local W = "/workspaces/local/variables"
local NEEDLE = ("stored-%d"):format(314159):rep(2)

local BUDDY = [[
- pipeline: show
  variables: [ { key: LEVEL, value: buddy.yml } ]
  actions:
  - { action: Show, type: BUILD, execute_commands: [ 'echo "level $LEVEL, pass $PASS"' ] }
  - { action: Other, type: BUILD, execute_commands: [ 'echo "level $LEVEL"' ] }
- pipeline: count
  actions:
  - { action: Add, type: BUILD, execute_commands: [ 'export KEPT=$((KEPT + 1)) RUN=$((RUN + 1)) FIXED=9' ] }
  - { action: Show, type: BUILD, execute_commands: [ 'echo "kept $KEPT, run $RUN, fixed $FIXED"' ] }
]]

describe("engine variables of the API", function()
  local repo, folder, e

  local function start() return support.start(repo, { state = folder.path .. "/state", kill_after = 0.1 }) end

  before_each(function()
    repo, folder = repository.new(), repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
    e = start()
  end)

  after_each(function()
    e:close()
    repo:close()
    folder:close()
  end)

  local function create(fields)
    local status, variable, response = e:call("POST", W, fields)
    assert.equal(201, status, response.body)
    return variable
  end

  local function pipeline(identifier)
    local found = e:get("/workspaces/local/identifiers?project=site&pipeline=" .. identifier)
    return e:get(("%s/pipelines/%d"):format(e.project, found.pipeline_id))
  end

  local function keys(query)
    local names = {}
    for index, variable in ipairs(e:get(W .. query).variables) do names[index] = variable.key end
    return table.concat(names, " ")
  end

  it("are made, shown, listed, changed and removed", function()
    local made = create { key = "A", value = "1", settable = true, description = "first", nonsense = 1 }
    assert.same({ "A", "1", "VAR", false, true, false, "first" }, { made.key, made.value, made.type, made.encrypted,
      made.settable, made.run_only_settable, made.description })
    assert.same(made, e:get(e:path(made)))
    assert.same({ made }, e:get(W).variables)
    local status, changed = e:call("PATCH", e:path(made), { value = "2", description = json.null })
    assert.equal(200, status)
    assert.same({ "A", "2", true, "first" }, { changed.key, changed.value, changed.settable, changed.description })
    assert.equal(204, (e:call("DELETE", e:path(made))))
    assert.matches("no variable " .. made.id, e:refusal(404, "GET", e:path(made)))
    assert.equal(404, (e:call("DELETE", e:path(made))))
    assert.same({}, e:get(W).variables)
    assert.not_equal(made.id, create({ key = "A", value = "1" }).id)
  end)

  it("belong to the one scope that a request names, in either form of the query", function()
    local show = pipeline "show"
    create { key = "OF_WORKSPACE", value = "" }
    create { key = "OF_PROJECT", value = "", project = { name = "site" } }
    local of_pipeline = create { key = "OF_PIPELINE", value = "", pipeline = { id = show.id } }
    local of_action = create { key = "OF_ACTION", value = "", action = { id = show.actions[1].id } }
    assert.equal("show", of_pipeline.pipeline.name)
    assert.equal("Show", of_action.action.name)
    assert.equal("OF_WORKSPACE", keys "")
    assert.equal("OF_PROJECT", keys "?project_name=site")
    assert.equal("OF_PROJECT", keys "?projectName=site")
    assert.equal("OF_PIPELINE", keys("?project_name=site&pipeline_id=" .. show.id))
    assert.equal("OF_PIPELINE", keys("?pipelineId=" .. show.id))
    assert.equal("OF_ACTION", keys("?action_id=" .. show.actions[1].id))
    assert.equal("OF_ACTION", keys("?actionId=" .. show.actions[1].id))
    assert.equal("", keys("?action_id=" .. show.actions[2].id))
  end)

  it("may be listed in pages", function()
    for index = 1, 25 do create { key = ("V%02d"):format(index), value = "" } end
    assert.equal(25, #e:get(W).variables)
    assert.equal("V04 V05 V06", keys "?page=2&per_page=3")
    assert.equal("", keys "?page=3")
  end)

  it("of a narrower scope win, and those of the API before those of buddy.yml", function()
    local show = pipeline "show"
    local function level(execution, action)
      return table.concat(e:log(execution, action), "\n"):match "\nlevel ([%w.]+)"
    end
    local function levels()
      local done = e:finished(e:run "show")
      return level(done, "Show"), level(done, "Other")
    end
    create { key = "LEVEL", value = "workspace" }
    create { key = "LEVEL", value = "project", project = { name = "site" } }
    assert.same({ "buddy.yml", "buddy.yml" }, { levels() })
    create { key = "LEVEL", value = "pipeline", pipeline = { id = show.id } }
    create { key = "LEVEL", value = "action", action = { id = show.actions[1].id } }
    assert.same({ "action", "pipeline" }, { levels() })
  end)

  it("that are encrypted are shown and logged masked, and are on disk in no file", function()
    local made = create { key = "PASS", value = NEEDLE, encrypted = true }
    assert.equal("!encrypted ••••", made.value)
    assert.equal("!encrypted ••••", e:get(W).variables[1].value)
    assert.matches("pass ••••", table.concat(e:log(e:finished(e:run "show"), "Show"), "\n"), 1, true)
    e:close()
    local found = process.run { command = { "grep", "-raF", "--", NEEDLE, folder.path } }
    assert.equal("", found.stdout)
    e = start()
    assert.equal("!encrypted ••••", e:get(e:path(made)).value)
    local done = e:finished(e:run "show")
    assert.matches("pass ••••", table.concat(e:log(done, "Show"), "\n"), 1, true)
  end)

  it("that become encrypted leave their plain value on disk in no file", function()
    local made = create { key = "PASS", value = NEEDLE }
    assert.equal(200, (e:call("PATCH", e:path(made), { encrypted = true })))
    local found = process.run { command = { "grep", "-raF", "--", NEEDLE, folder.path } }
    assert.equal("", found.stdout)
  end)

  it("that were encrypted do not become plain without another value", function()
    local made = create { key = "PASS", value = NEEDLE, encrypted = true }
    local path = e:path(made)
    assert.matches("encrypted: send a value", e:refusal(400, "PATCH", path, { encrypted = false }))
    assert.matches("value: is encrypted already", e:refusal(400, "PATCH", path, { value = made.value }))
    assert.equal("open", select(2, e:call("PATCH", path, { encrypted = false, value = "open" })).value)
    assert.equal("!encrypted ••••", select(2, e:call("PATCH", path, { encrypted = true })).value)
  end)

  it("that are settable keep what an action exports, or for its execution only", function()
    create { key = "KEPT", value = "1", settable = true, encrypted = false }
    create { key = "RUN", value = "1", run_only_settable = true }
    create { key = "FIXED", value = "1" }
    for turn = 1, 2 do
      local log = e:log(e:finished(e:run "count"), "Show")
      assert.matches(("kept %d, run 2, fixed 1"):format(turn + 1), table.concat(log, "\n"))
    end
    assert.equal("3", e:get(W .. "?per_page=9").variables[2].value)
  end)

  it("need the scopes for variables", function()
    e:close()
    local file = assert(io.open(folder.path .. "/state/tokens", "w"))
    file:write "reader VARIABLE_INFO\nadder VARIABLE_ADD\n"
    file:close()
    e = start()
    local made = create { key = "A", value = "1" }
    local reader, adder = { Authorization = "Bearer reader" }, { Authorization = "Bearer adder" }
    assert.equal(200, (e:call("GET", W, nil, reader)))
    assert.matches("VARIABLE_ADD", e:refusal(403, "POST", W, { key = "B", value = "" }, reader))
    assert.equal(201, (e:call("POST", W, { key = "B", value = "" }, adder)))
    assert.equal(200, (e:call("GET", e:path(made), nil, adder)))
    assert.matches("VARIABLE_MANAGE", e:refusal(403, "DELETE", e:path(made), nil, adder))
  end)

  describe("are refused", function()
    for name, case in pairs {
      ["without a key and a value"] = { {}, "key: is missing\nvalue: is missing" },
      ["with a key that no shell has"] = { { key = "1A", value = "" }, "key: found \"1A\", expected a name" },
      ["with a value that is none"] = { { key = "A", value = 5 }, "value: found 5, expected a text" },
      ["with NUL"] = { { key = "A", value = "a\0b" }, "value: found" },
      ["of a type that is a file"] = { { key = "A", value = "", type = "SSH_KEY" }, "type: found \"SSH_KEY\"" },
      ["with every fault at once"] = { { key = {}, value = json.list {}, encrypted = 1, settable = "yes" },
        "encrypted: found 1, expected true or false\nkey: found an object.*\nsettable: .*\nvalue: found a list" },
      ["of two scopes"] = { { key = "A", value = "", project = { name = "site" }, pipeline = { id = 1 } },
        "Only one scope is allowed" },
      ["of a pipeline that is not there"] = { { key = "A", value = "", pipeline = { id = 99 } }, "no pipeline 99" },
      ["of a scope that is none"] = { { key = "A", value = "", action = { id = "x" } }, "action.id: found \"x\"" },
      ["of a sandbox"] = { { key = "A", value = "", sandbox = { id = 1 } }, "no sandboxes" },
      ["when Buddy has encrypted them"] = { { key = "A", value = "secure!abc" }, "send the value itself" },
    } do
      it(name, function()
        assert.matches(case[2], e:refusal(400, "POST", W, case[1]))
        assert.same({}, e:get(W).variables)
      end)
    end

    it("when the scope has the name already", function()
      local made = create { key = "A", value = "1" }
      create { key = "A", value = "1", project = { name = "site" } }
      local other = create { key = "B", value = "1" }
      assert.matches(("variable %d of this scope has the name A"):format(made.id),
        e:refusal(400, "POST", W, { key = "A", value = "2" }))
      assert.equal(400, (e:call("PATCH", e:path(other), { key = "A" })))
      assert.equal(200, (e:call("PATCH", e:path(made), { key = "A" })))
    end)

    it("when they would change their scope", function()
      local made = create { key = "A", value = "1", project = { name = "site" } }
      assert.equal(200, (e:call("PATCH", e:path(made), { project = { name = "site" } })))
      assert.matches("stays in its scope", e:refusal(400, "PATCH", e:path(made), { pipeline = { id = 1 } }))
    end)

    it("for a query about what is not there", function()
      for _, query in ipairs { "?project_name=other", "?pipeline_id=99", "?actionId=99", "?environment_id=1" } do
        e:refusal(404, "GET", W .. query)
      end
      assert.matches("pipeline_id: found \"x\"", e:refusal(400, "GET", W .. "?pipeline_id=x"))
    end)
  end)
end)

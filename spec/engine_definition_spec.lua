local definition = require "moonsail.engine.definition"

local function pipelines(text)
  local list, faults = definition.read { { name = "buddy.yml", text = text } }
  assert.is_nil(faults)
  return list
end

local function faults(text)
  local list, found = definition.read { { name = "buddy.yml", text = text } }
  assert.is_nil(list)
  return table.concat(found, "\n")
end

local SMALL = [[
- pipeline: build
  actions:
  - action: Compile
    type: BUILD
    execute_commands:
    - make
]]

describe("engine.definition", function()
  describe("of a good buddy.yml", function()
    it("fills in what is not said", function()
      local pipeline = pipelines(SMALL)[1]
      assert.equal("build", pipeline.identifier)
      assert.equal("build", pipeline.name)
      assert.equal("CLICK", pipeline.on)
      assert.equal("NORMAL", pipeline.priority)
      assert.same({}, pipeline.refs)
      local action = pipeline.actions[1]
      assert.equal("Compile", action.name)
      assert.equal("ON_EVERY_EXECUTION", action.trigger_time)
      assert.equal("SH", action.shell)
      assert.same({ "make" }, action.execute_commands)
    end)

    it("keeps numbers and words as they are written", function()
      local pipeline = pipelines [[
- pipeline: build
  on: EVENT
  variables:
  - key: VERSION
    value: 1.10
  - key: FLAG
    value: yes
  actions:
  - action: Compile
    type: BUILD
    docker_image_name: node
    docker_image_tag: 20
    execute_commands: [make]
]][1]
      assert.equal("EVENT", pipeline.on)
      assert.equal("1.10", pipeline.variables[1].value)
      assert.equal("yes", pipeline.variables[2].value)
      assert.equal("20", pipeline.actions[1].docker_image_tag)
    end)

    it("takes the refs of its events when it names none", function()
      local pipeline = pipelines([[
- pipeline: build
  events:
  - type: PUSH
    refs: [refs/heads/main, refs/heads/dev]
  - type: CREATE_REF
    refs: [refs/heads/main]
]] .. SMALL:gsub("^[^\n]*\n", ""))[1]
      assert.same({ "refs/heads/main", "refs/heads/dev" }, pipeline.refs)
      assert.equal("EVENT", pipeline.on)
    end)

    it("may be empty", function()
      assert.same({}, pipelines "")
      assert.same({}, pipelines "# nothing\n")
      assert.same({}, pipelines "[]")
    end)

    it("follows anchors", function()
      local list = pipelines(SMALL:gsub("  actions:", "  actions: &a") .. "- pipeline: again\n  actions: *a\n")
      assert.equal("Compile", list[2].actions[1].name)
    end)
  end)

  describe("names every fault with its line and path", function()
    it("when it is not YAML", function()
      assert.matches("^buddy.yml:2: is not YAML", faults "a: [b\n c: }")
      assert.matches("^buddy.yml: is not YAML", faults "a: \xff")
    end)

    it("when it is not a list", function()
      assert.matches("buddy.yml:1: found a map, expected a list", faults "pipeline: build")
      assert.matches("buddy.yml:1: found \"build\", expected a list", faults "build")
    end)

    it("of a type that the engine does not run", function()
      assert.matches("^buddy.yml:4: %[1%].actions%[1%].type: the engine cannot run actions of type \"DOCKERFILE\"; it "
        .. "runs BUILD, .*SLEEP", faults((SMALL:gsub("BUILD", "DOCKERFILE"))))
    end)

    it("of an unknown key, with the nearest right one", function()
      assert.equal("buddy.yml:3: [1].actions[1].execute_commands: is missing\n"
        .. "buddy.yml:5: [1].actions[1].execute_comands: the engine does not know this key, did you mean "
        .. "\"execute_commands\"?", faults((SMALL:gsub("execute_commands", "execute_comands"))))
      assert.matches("volumes: the engine does not know this key", faults(SMALL .. "    volumes: [/x]\n"))
    end)

    it("of two pipelines and of two actions of one name", function()
      assert.equal("buddy.yml:7: [2].pipeline: \"build\" is also the name of buddy.yml [1]", faults(SMALL .. SMALL))
      assert.equal("buddy.yml:7: [1].actions[2].action: \"Compile\" is also the name of [1].actions[1]",
        faults(SMALL .. SMALL:gsub("^.-\n.-\n", "")))
    end)

    it("of wrong types, all at once", function()
      local text = faults [[
- pipeline: [x]
  priority: URGENT
  disabled: maybe
  refs: main
  actions:
  - action: A
    type: SLEEP
    sleep_in_sec: 5000
  - B
]]
      for _, line in ipairs { "1: [1].pipeline: found a list, expected a name", "2: [1].priority: found \"URGENT\"",
        "3: [1].disabled: found \"maybe\", expected true or false", "4: [1].refs: found \"main\", expected a list",
        "8: [1].actions[1].sleep_in_sec: found \"5000\", expected a whole number from 0 to 1200",
        "9: [1].actions[2]: found \"B\", expected a map" } do
        assert.truthy(text:find("buddy.yml:" .. line, 1, true), line .. "\nis not in\n" .. text)
      end
    end)

    it("of what is missing", function()
      assert.equal("buddy.yml:1: [1].actions: is missing\nbuddy.yml:1: [1].pipeline: is missing",
        faults "- name: x\n")
      assert.matches("expected a list that is not empty", faults "- pipeline: x\n  actions: []\n")
    end)

    it("of what only Buddy can do", function()
      assert.matches("only Buddy itself can decrypt", faults("- pipeline: a\n  variables:\n  - key: A\n"
        .. "    value: secure!abc\n    encrypted: true\n" .. SMALL:gsub("^[^\n]*\n", "")))
      assert.matches("the tag !encrypted is not supported", faults "- pipeline: !encrypted x\n")
    end)

    it("of a name given twice, several documents, and endless nesting", function()
      assert.matches("buddy.yml:2: .*the key \"pipeline\" stands here twice", faults "- pipeline: a\n  pipeline: b\n")
      assert.matches("more than one document", faults "[]\n---\n[]\n")
      assert.matches("nested more than 64 deep", faults(("["):rep(70) .. ("]"):rep(70)))
      assert.matches("is larger than", faults((" "):rep(1024 * 1024 + 1)))
    end)

    it("of a variable that no process could have", function()
      assert.matches("a variable's name consists of letters", faults("- pipeline: a\n  variables:\n  - key: A-B\n"
        .. "    value: x\n" .. SMALL:gsub("^[^\n]*\n", "")))
    end)

    it("of a working directory outside of the checkout", function()
      assert.matches("must not lead out of the checkout", faults(SMALL .. "    working_directory: a/../../b\n"))
    end)
  end)

  describe("of several files", function()
    local function read(...)
      local files = {}
      for index, text in ipairs { ... } do files[index] = { name = (".buddy/%d.yml"):format(index), text = text } end
      return definition.read(files)
    end

    it("has the pipelines of all", function()
      local list = assert(read(SMALL, "", (SMALL:gsub("build", "deploy"))))
      assert.equal("build deploy", list[1].identifier .. " " .. list[2].identifier)
    end)

    it("has the faults of all, each with its file", function()
      local list, found = read("a", (SMALL:gsub("BUILD", "X")))
      assert.is_nil(list)
      assert.matches("^%.buddy/1%.yml:1: found \"a\"", found[1])
      assert.matches("^%.buddy/2%.yml:4: %[1%]%.actions%[1%]%.type: ", found[2])
    end)

    it("refuses a pipeline that another file has", function()
      assert.same({ ".buddy/2.yml:1: [1].pipeline: \"build\" is also the name of .buddy/1.yml [1]" },
        select(2, read(SMALL, SMALL)))
    end)
  end)

  -- A pipeline or an action with some more keys.
  local function with_pipeline(keys) return (SMALL:gsub("\n", "\n" .. keys:gsub("%%", "%%%%") .. "\n", 1)) end
  local function with_action(keys) return SMALL .. "    " .. keys:gsub("\n", "\n    ") .. "\n" end

  describe("of the keys of a pipeline", function()
    it("keeps what they say", function()
      for keys, expected in pairs {
        ["  auto_clear_cache: true"] = { "auto_clear_cache", true },
        ["  folder: web"] = { "folder", "web" },
        ["  target_site_url: https://a.example"] = { "target_site_url", "https://a.example" },
        ["  trigger_mode: ON_EVERY_PUSH"] = { "on", "EVENT" },
        ["  trigger_mode: MANUAL"] = { "on", "CLICK" },
        ["  on: SCHEDULE\n  cron: 0 1 * * *"] = { "on", "SCHEDULE" },
        ["  ref_name: main\n  ref_type: BRANCH"] = { "refs", { "refs/heads/main" } },
        ["  ref_name: v*\n  ref_type: TAG"] = { "refs", { "refs/tags/v*" } },
        ["  ref_name: pull/*\n  ref_type: PULL_REQUEST"] = { "refs", { "refs/pull/*" } },
        ["  ref_name: dev/*\n  ref_type: WILDCARD"] = { "refs", { "dev/*" } },
        ["  refs: ['(refs/heads/(?!main).*)']"] = { "refs", { "(refs/heads/(?!main).*)" } },
        ["  events: [{ type: SCHEDULE, cron: 0 1 * * * }]"] = { "events",
          { { type = "SCHEDULE", cron = "0 1 * * *" } } },
        ["  events: [{ type: PULL_REQUEST, branches: [main], events: [opened] }]"] = { "on", "EVENT" },
        ["  events: [{ type: WEBHOOK, totp: true }]"] = { "events", { { type = "WEBHOOK", totp = true } } },
        ["  no_skip_to_most_recent: true"] = { "no_skip_to_most_recent", true },
        ["  git_changeset_base: LATEST_RUN"] = { "git_changeset_base", "LATEST_RUN" },
      } do
        assert.same(expected[2], pipelines(with_pipeline(keys))[1][expected[1]], keys)
      end
    end)

    it("refuses each that the engine cannot honour, with its name, line and reason", function()
      for keys, message in pairs {
        ["  fetch_all_refs: true"] = "[1].fetch_all_refs: the engine does not support this key: a checkout holds",
        ["  strict_context: true"] = "[1].strict_context: the engine does not support this key: its meaning",
        ["  permissions: { others: DENIED }"] = "[1].permissions: the engine does not support this key: whoever",
        ["  loop: [A]"] = "[1].loop: the engine does not support this key: a request starts",
        ["  remote_path: x"] = "[1].remote_path: the engine does not support this key: the definition",
        ["  definition_source: REMOTE"] = "[1].definition_source: found \"REMOTE\", expected LOCAL",
        ["  git_changeset_base: PULL_REQUEST"] = "[1].git_changeset_base: found \"PULL_REQUEST\", expected LATEST_RUN",
        ["  cache_scope: WORKSPACE"] = "[1].cache_scope: found \"WORKSPACE\", expected PIPELINE",
        ["  prioritty: LOW"] = "[1].prioritty: the engine does not know this key, did you mean \"priority\"?",
        ["  refs: ['(refs/heads/()']"] = "[1].refs[1]: is not a regular expression",
        ["  events: [{ type: PUSHED }]"] = "[1].events[1].type: the engine knows no event \"PUSHED\"; it",
        ["  events: [{ type: PUSH }]"] = "[1].events[1].refs: is missing",
        ["  events: [{ type: WEBHOOK, refs: [a] }]"] = "[1].events[1].refs: the engine does not know this key",
        ["  variables: [{ key: A, value: b, type: FILE }]"] = "[1].variables[1].type: found \"FILE\", expected VAR",
        ["  variables: [{ key: A, value: b, file_path: /a }]"] =
          "[1].variables[1].file_path: the engine does not support",
        ["  trigger_conditions: [{ trigger_condition: ACTION_STATUS_IS }]"] =
          "[1].trigger_conditions[1].trigger_condition: the engine knows no condition \"ACTION_STATUS_IS\" here",
      } do
        local text = faults(with_pipeline(keys))
        assert.truthy(text:find("buddy.yml:2: " .. message, 1, true), message .. "\nis not\n" .. text)
      end
    end)
  end)

  describe("of the keys of an action", function()
    it("keeps what they say", function()
      for keys, expected in pairs {
        ["retry_count: 2"] = { "retry_count", 2 },
        ["retry_interval: 5"] = { "retry_interval", 5 },
        ["run_next: IN_HARD_PARALLEL"] = { "run_next", "IN_HARD_PARALLEL" },
        ["run_next: ON_EVERY_EXECUTION"] = { "run_next", "WAIT_ON_SUCCESS" },
        ["run_next_parallel: true"] = { "run_next", "IN_SOFT_PARALLEL" },
        ["run_next_parallel: false"] = { "run_next", "WAIT_ON_SUCCESS" },
        ["trigger_time: ON_FAILURE\nrun_only_on_first_failure: true"] = { "run_only_on_first_failure", true },
        ["variables: [{ key: A, value: b, settable: disabled }]"] = { "variables",
          { { key = "A", value = "b", settable = false, type = "VAR" } } },
      } do
        assert.same(expected[2], pipelines(with_action(keys))[1].actions[1][expected[1]], keys)
      end
      for _, time in ipairs { "ON_EVERY_EXECUTION", "ON_SUCCESS", "ON_FAILURE", "ON_BACK_TO_SUCCESS", "ON_WARNING",
        "ON_WAIT_FOR_APPROVE", "ON_TERMINATE" } do
        assert.equal(time, pipelines(with_action("trigger_time: " .. time))[1].actions[1].trigger_time)
      end
    end)

    it("refuses what is wrong, with its name and line", function()
      for keys, message in pairs {
        ["loop: [A]"] = "loop: the engine does not support this key: an action runs once",
        ["trigger_time: NEVER"] = "trigger_time: found \"NEVER\", expected ON_EVERY_EXECUTION, ON_SUCCESS",
        ["run_next: SOMETIMES"] = "run_next: found \"SOMETIMES\", expected WAIT_ON_SUCCESS, IN_SOFT_PARALLEL",
        ["retry_count: -1"] = "retry_count: found \"-1\", expected a whole number",
        ["trigger_conditions: [{ trigger_condition: VAR_IS, trigger_variable_key: A }]"] =
          "trigger_conditions[1].trigger_variable_value: is missing",
        ["trigger_conditions: [{ trigger_condition: DAY, trigger_days: [8] }]"] =
          "trigger_conditions[1].trigger_days[1]: found \"8\", expected a whole number from 1 to 7",
        ["trigger_conditions: [{ trigger_condition: HOUR, trigger_hours: [1], timezone: Europe/Warsaw }]"] =
          "trigger_conditions[1].timezone: found \"Europe/Warsaw\", expected UTC",
        ["trigger_conditions: [{ trigger_condition: SUCCESS_PIPELINE }]"] =
          "trigger_conditions[1]: trigger_pipeline_name is missing",
        ["trigger_conditions: [{ trigger_condition: OR, trigger_operands: [] }]"] =
          "trigger_conditions[1].trigger_operands: found a list, expected a list that is not empty",
        ["trigger_conditions: [{ trigger_condition: OR, trigger_operands: [{ trigger_condition: MOON }] }]"] =
          "trigger_conditions[1].trigger_operands[1].trigger_condition: the engine knows no condition \"MOON\" here",
      } do
        local text = faults(with_action(keys))
        assert.truthy(text:find("buddy.yml:7: [1].actions[1]." .. message, 1, true), message .. "\nis not\n" .. text)
      end
    end)

    it("refuses to do something on the first failure at another time than that of a failure", function()
      assert.matches("run_only_on_first_failure: goes with trigger_time ON_FAILURE only",
        faults(with_action "run_only_on_first_failure: true"))
    end)

    it("refuses conditions on an action that the pipeline does not have", function()
      local status = "trigger_condition: ACTION_STATUS_IS, trigger_status: SUPRESSED, trigger_action_name: "
      assert.equal("SUPPRESSED", pipelines(with_action("trigger_conditions: [{ " .. status .. "Compile }]"))[1]
        .actions[1].trigger_conditions[1].trigger_status)
      assert.matches("buddy.yml:7: .*trigger_conditions: the pipeline has no action \"Gone\"",
        faults(with_action("trigger_conditions: [{ trigger_condition: OR, trigger_operands: [{ " .. status
          .. "Gone }] }]")))
    end)
  end)
end)

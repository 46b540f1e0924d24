local definition = require "moonsail.engine.definition"

local function pipelines(text)
  local list, faults = definition.read(text)
  assert.is_nil(faults)
  return list
end

local function faults(text)
  local list, found = definition.read(text)
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
      assert.equal("buddy.yml:4: [1].actions[1].type: the engine cannot run actions of type \"DOCKERFILE\"; it runs "
        .. "BUILD, SLEEP", faults((SMALL:gsub("BUILD", "DOCKERFILE"))))
    end)

    it("of an unknown key, with the nearest right one", function()
      assert.equal("buddy.yml:3: [1].actions[1].execute_commands: is missing\n"
        .. "buddy.yml:5: [1].actions[1].execute_comands: the engine does not know this key, did you mean "
        .. "\"execute_commands\"?", faults((SMALL:gsub("execute_commands", "execute_comands"))))
      assert.matches("cached_dirs: the engine does not know this key", faults(SMALL .. "    cached_dirs: [/x]\n"))
    end)

    it("of two pipelines and of two actions of one name", function()
      assert.equal("buddy.yml:7: [2].pipeline: \"build\" is also the name of [1]", faults(SMALL .. SMALL))
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
        "9: [1].actions[2]: expected a map" } do
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
      assert.matches("regular expressions are not supported", faults("- pipeline: a\n  refs: ['(refs/heads/.*)']\n"
        .. SMALL:gsub("^[^\n]*\n", "")))
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
end)

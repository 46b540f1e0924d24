local coverage = require "moonsail.engine.coverage"
local json = require "host.json"
local language = require "moonsail.engine.language"
local moonsail = require "spec.support.moonsail"

local function section(title)
  for _, item in ipairs(coverage.sections()) do
    if item.title == title then return item end
  end
  error("no section " .. title)
end

local function by_name(items)
  local found = {}
  for _, item in ipairs(items) do found[item.name] = item end
  return found
end

describe("engine.coverage", function()
  for title, keys in pairs {
    ["Keys of a pipeline"] = language.pipeline,
    ["Keys of a variable"] = language.variable,
    ["Keys of every action"] = language.action,
    ["Events"] = language.events,
    ["Trigger conditions"] = language.conditions,
    ["Types of action"] = language.action_types,
  } do
    it("tells of all " .. title:lower(), function()
      local items = by_name(section(title).items)
      for name in pairs(keys) do assert.truthy(items[name], name) end
    end)
  end

  it("tells what a key takes, or why it is refused", function()
    local items = by_name(section "Keys of a pipeline".items)
    assert.same({ name = "priority", takes = "LOW, NORMAL, HIGH", required = false }, items.priority)
    assert.is_true(items.actions.required)
    assert.is_nil(items.loop.takes)
    assert.matches("one execution", items.loop.refused)
  end)

  it("tells of the keys of a type and of the methods of the API", function()
    assert.truthy(by_name(by_name(section "Types of action".items).SLEEP.keys).sleep_in_sec)
    assert.truthy(by_name(by_name(section "Trigger conditions".items).OR.keys).trigger_operands)
    assert.truthy(by_name(section "Methods of the API".items)[
      "POST /workspaces/:workspace/projects/:project/pipelines/:pipeline/executions"])
  end)

  it("takes no map for a text", function()
    local types = by_name(section "Types of action".items)
    local takes = by_name(types.RUN_NEXT_PIPELINE.keys).next_pipeline.takes
    assert.equal("a map with the key id", takes)
    assert.matches("variables: key, ", by_name(types.WAIT_FOR_VARIABLES.keys).variables.takes)
  end)

  it("is printed by a command, for people and for programs", function()
    local folder <close> = moonsail.folder()
    local text = moonsail.run(folder.path, { "engine", "coverage" })
    assert.equal(0, text.code)
    assert.matches("\n  loop +REFUSED: ", text.stdout)
    assert.matches("\n  ON_BACK_TO_SUCCESS\n", text.stdout)
    local data = moonsail.run(folder.path, { "engine", "coverage", "--json" })
    assert.equal(#coverage.sections(), #json.decode(data.stdout))
  end)
end)

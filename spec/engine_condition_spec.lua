local condition = require "moonsail.engine.condition"
local facts_of = require("moonsail.engine.facts").of

local MONDAY = 1704067200 -- 2024-01-01T00:00:00Z

-- What is so in every case below.
local function facts(more)
  local known = {
    now = MONDAY + 9 * 3600 + 1800,
    user = "ada@example.com",
    variables = function() return { NAME = "release-1", COUNT = "10", EMPTY = "" } end,
    changed = function() return { "docs/guide/a.md", "src/main.c" } end,
    last_status = function(project, name)
      if project and project ~= "site" then return nil end
      return ({ good = "SUCCESSFUL", bad = "FAILED" })[name]
    end,
    action_status = function(name) return ({ Build = "SUCCESSFUL", Lint = "SUPPRESSED" })[name] end,
  }
  for key, value in pairs(more or {}) do known[key] = value end
  return known
end

local function holds(item, more)
  return condition.unmet({ item }, facts(more)) == nil
end

local function var(kind, key, value)
  return { trigger_condition = kind, trigger_variable_key = key, trigger_variable_value = value }
end

local function at(...)
  return { trigger_condition = "ON_CHANGE_AT_PATH", trigger_condition_paths = { ... } }
end

local CASES = {
  { true, { trigger_condition = "ALWAYS" } },
  { true, { trigger_condition = "ON_CHANGE" } },
  { true, at "docs" }, { true, at "/docs/" }, { true, at "docs/*" }, { true, at "/src/main.c" }, { true, at "*.md" },
  { true, at "/" }, { true, at("web", "src") }, { false, at "doc" }, { false, at "guide" }, { false, at "src/main" },
  { true, at "docs/*/a.md" }, { false, at "docs/*/b.md" },
  { true, var("VAR_IS", "NAME", "release-1") }, { false, var("VAR_IS", "NAME", "release") },
  { true, var("VAR_IS", "UNSET", "") }, { true, var("VAR_IS", "EMPTY", "") },
  { true, var("VAR_IS_NOT", "NAME", "x") }, { false, var("VAR_IS_NOT", "NAME", "release-1") },
  { true, var("VAR_CONTAINS", "NAME", "lease-") }, { false, var("VAR_CONTAINS", "NAME", "l.ase") },
  { true, var("VAR_NOT_CONTAINS", "NAME", "l.ase") }, { false, var("VAR_NOT_CONTAINS", "NAME", "1") },
  { true, var("VAR_LESS_THAN", "COUNT", "10.5") }, { false, var("VAR_LESS_THAN", "COUNT", "10") },
  { false, var("VAR_LESS_THAN", "COUNT", "9") }, { false, var("VAR_LESS_THAN", "NAME", "9") },
  { true, var("VAR_LESS_THAN_OR_EQUAL", "COUNT", "10") }, { false, var("VAR_LESS_THAN_OR_EQUAL", "COUNT", "9") },
  { true, var("VAR_GREATER_THAN", "COUNT", "9") }, { false, var("VAR_GREATER_THAN", "COUNT", "10") },
  { true, var("VAR_GREATER_THAN_OR_EQUAL", "COUNT", "10") },
  { false, var("VAR_GREATER_THAN_OR_EQUAL", "UNSET", "0") },
  { true, { trigger_condition = "DAY", trigger_days = { 1 } } },
  { false, { trigger_condition = "DAY", trigger_days = { 2, 7 } } },
  { true, { trigger_condition = "HOUR", trigger_hours = { 8, 9 } } },
  { false, { trigger_condition = "HOUR", trigger_hours = { 10 } } },
  { true, { trigger_condition = "DATETIME", trigger_days = { 1 }, trigger_hours = { 9 } } },
  { false, { trigger_condition = "DATETIME", trigger_days = { 2 }, trigger_hours = { 9 } } },
  { false, { trigger_condition = "DATETIME", trigger_days = { 1 }, trigger_hours = { 8 } } },
  { true, { trigger_condition = "SUCCESS_PIPELINE", trigger_pipeline_name = "good" } },
  { true, { trigger_condition = "SUCCESS_PIPELINE", project = "site", pipeline = "good" } },
  { false, { trigger_condition = "SUCCESS_PIPELINE", trigger_project_name = "other", trigger_pipeline_name = "good" } },
  { false, { trigger_condition = "SUCCESS_PIPELINE", trigger_pipeline_name = "bad" } },
  { false, { trigger_condition = "SUCCESS_PIPELINE", trigger_pipeline_name = "never run" } },
  { true, { trigger_condition = "TRIGGERING_USER_IS", trigger_user = "Ada@example.com" } },
  { false, { trigger_condition = "TRIGGERING_USER_IS", trigger_user = "grace@example.com" } },
  { true, { trigger_condition = "TRIGGERING_USER_IS_NOT", trigger_user = "grace@example.com" } },
  { false, { trigger_condition = "TRIGGERING_USER_IS_NOT", trigger_user = "ada@example.com" } },
  { false, { trigger_condition = "TRIGGERING_USER_IS_IN_GROUP", trigger_group = "admins" } },
  { true, { trigger_condition = "TRIGGERING_USER_IS_NOT_IN_GROUP", trigger_group = "admins" } },
  { true, { trigger_condition = "ACTION_STATUS_IS", trigger_action_name = "Lint", trigger_status = "SUPPRESSED" } },
  { false, { trigger_condition = "ACTION_STATUS_IS", trigger_action_name = "Lint", trigger_status = "FAILED" } },
  { true, { trigger_condition = "ACTION_STATUS_IS_NOT", trigger_action_name = "Build", trigger_status = "FAILED" } },
  { false, { trigger_condition = "ACTION_STATUS_IS_NOT", trigger_action_name = "Build",
    trigger_status = "SUCCESSFUL" } },
  { true, { trigger_condition = "OR", trigger_operands = { var("VAR_IS", "NAME", "x"), at "src" } } },
  { false, { trigger_condition = "OR", trigger_operands = { var("VAR_IS", "NAME", "x"), at "web" } } },
}

describe("engine.condition", function()
  for _, case in ipairs(CASES) do
    local expected, item = table.unpack(case)
    it((expected and "holds: " or "does not hold: ") .. condition.describe(item), function()
      assert.equal(expected, holds(item))
    end)
  end

  it("has a case for every kind that holds, and but for two one that does not", function()
    local seen = { [true] = {}, [false] = { ALWAYS = true, ON_CHANGE = true, TRIGGERING_USER_IS_NOT_IN_GROUP = true } }
    seen[true].TRIGGERING_USER_IS_IN_GROUP = true -- the engine has no groups
    for _, case in ipairs(CASES) do seen[case[1]][case[2].trigger_condition] = true end
    for name in pairs(condition.kinds) do
      assert.is_true(seen[true][name], name)
      assert.is_true(seen[false][name], name)
    end
  end)

  it("of a change does not hold when nothing has changed", function()
    local none = { changed = function() return {} end }
    assert.is_false(holds({ trigger_condition = "ON_CHANGE" }, none))
    assert.is_false(holds(at "/", none))
  end)

  it("counts days from Monday and hours to 24, which is midnight", function()
    for day = 1, 7 do
      local noon = { now = MONDAY + (day - 1) * 86400 + 43200 }
      for other = 1, 7 do
        assert.equal(day == other, holds({ trigger_condition = "DAY", trigger_days = { other } }, noon))
      end
    end
    for hour = 0, 23 do
      local during = { now = MONDAY + hour * 3600 + 3599.5 }
      for other = 1, 24 do
        assert.equal(hour == other % 24, holds({ trigger_condition = "HOUR", trigger_hours = { other } }, during))
      end
    end
  end)

  it("must hold for each of a list", function()
    local list = { var("VAR_IS", "NAME", "release-1"), at "web", at "nothing" }
    assert.equal(list[2], condition.unmet(list, facts()))
    assert.is_nil(condition.unmet({ list[1] }, facts()))
    assert.is_nil(condition.unmet({}, facts()))
  end)

  it("asks for no more than it needs", function()
    local function never() error "asked" end
    local unasked = { variables = never, changed = never, last_status = never, action_status = never }
    assert.is_true(holds({ trigger_condition = "DAY", trigger_days = { 1 } }, unasked))
  end)

  it("says in a line what it is", function()
    assert.equal("VAR_IS trigger_variable_key=A trigger_variable_value=1", condition.describe(var("VAR_IS", "A", "1")))
    assert.equal("OR trigger_operands=[ON_CHANGE_AT_PATH trigger_condition_paths=[a, b], ALWAYS]", condition.describe {
      trigger_condition = "OR", trigger_operands = { at("a", "b"), { trigger_condition = "ALWAYS" } } })
  end)
end)

describe("engine.facts", function()
  -- A repository that has two commits, and what an execution between them finds changed.
  local function changed(from, refresh)
    local git = { changed_paths = function(_, old)
      if old == nil then return { added = { "a", "b" }, changed = {}, deleted = {} } end
      if old == "old" then return { added = { "b" }, changed = { "a" }, deleted = { "c" } } end
    end }
    local paths = facts_of({ owner = {}, project = { repository = git },
      execution = { from_revision = from, revision = "new", refresh = refresh or 0 } }).changed()
    table.sort(paths)
    return table.concat(paths, " ")
  end

  it("has as changed what differs from the execution before, whatever became of it", function()
    assert.equal("a b c", changed "old")
  end)

  it("has everything as changed without such a commit, and when all is to be done anew", function()
    assert.equal("a b", changed())
    assert.equal("a b", changed "gone")
    assert.equal("a b", changed("old", 1))
  end)
end)

local environment = require "moonsail.engine.environment"
local variables = require "moonsail.engine.variables"

local ACTION = { id = 7, variables = {} }

-- A store, and a key, that only remember.
local function fake_engine(levels)
  local kept, changed = {}, {}
  local function place(level, owner, key) return level .. owner .. key end
  return {
    sql = {
      kept_variable = { row = function(_, ...) return kept[place(...)] end },
      keep_variable = { run = function(_, level, owner, key, value, sealed)
        kept[place(level, owner, key)] = { value = value, sealed = sealed }
      end },
    },
    key = { seal = function(_, text) return "sealed " .. text end, open = function(_, text) return text:sub(8) end },
    stored = {
      levels = function() return levels or {} end,
      change = function(_, variable, value) changed[variable.key] = value end,
    },
    kept = kept, changed = changed,
  }
end

local function one(value, more)
  local variable = { key = "A", value = value }
  for name, item in pairs(more or {}) do variable[name] = item end
  return { variable }
end

-- Where a variable may be, from wide to narrow; each puts a list there.
local PLACES = {
  { "the workspace", function(to, list) to.stored.workspace = list end },
  { "the project", function(to, list) to.stored.project = list end },
  { "the pipeline in buddy.yml", function(to, list) to.pipeline.variables = list end },
  { "the pipeline in the API", function(to, list) to.stored.pipeline = list end },
  { "the action in buddy.yml", function(to, list) to.action.variables = list end },
  { "the action in the API", function(to, list) to.stored.action = list end },
  { "the request", function(to, list) to.request = list end },
  { "what was passed meanwhile", function(to, list) to.passed = list end },
}

local function with(...)
  local to = { stored = {}, pipeline = { id = 3, variables = {} }, action = { id = 7, variables = {} }, passed = {} }
  for _, place in ipairs { ... } do PLACES[place][2](to, one(PLACES[place][1], { encrypted = true })) end
  local made = variables.new(fake_engine(to.stored), to.pipeline, to.request)
  table.move(to.passed, 1, #to.passed, 1, made.passed)
  return made, to.action
end

describe("engine.variables", function()
  for wide = 1, #PLACES do
    for narrow = wide + 1, #PLACES do
      it(("has the value of %s before that of %s"):format(PLACES[narrow][1], PLACES[wide][1]), function()
        local made, action = with(wide, narrow)
        assert.equal(PLACES[narrow][1], made:of(action).A.value)
      end)
    end
  end

  it("masks encrypted values of all places, also those that do not win", function()
    local made, action = with(1, 2, 3, 4, 5, 6, 7, 8)
    local secrets = made:secrets(action)
    for index, place in ipairs(PLACES) do assert.equal(place[1], secrets[index]) end
  end)

  it("has no variables of actions for the pipeline alone", function()
    assert.is_nil(with(5):of().A)
    assert.equal(PLACES[3][1], with(3, 5):of().A.value)
  end)

  describe("that an action exports", function()
    -- The variables of a pipeline before and after an export of A=new.
    local function exported(list, request, engine)
      engine = engine or fake_engine()
      local pipeline = { id = 3, variables = list }
      local made = variables.new(engine, pipeline, request)
      made:export(ACTION, { A = "new" })
      local again = variables.new(engine, pipeline)
      return made:of(ACTION).A, again:of(ACTION).A, engine
    end

    it("are kept for the rest of the execution and for later ones when they are settable", function()
      local now, later = exported(one("old", { settable = true }))
      assert.equal("new", now.value)
      assert.equal("new", later.value)
    end)

    it("are ignored when they are not settable, or not defined", function()
      local now, later = exported(one "old")
      assert.equal("old", now.value)
      assert.equal("old", later.value)
      assert.is_nil((exported {}))
    end)

    it("are kept for the rest of the execution alone when they say so", function()
      local now, later = exported(one("old", { run_only_settable = true }))
      assert.equal("new", now.value)
      assert.equal("old", later.value)
    end)

    it("are changed although the request had another value", function()
      local now, later = exported(one("old", { settable = true }), one "request")
      assert.equal("new", now.value)
      assert.equal("new", later.value)
    end)

    it("are not changed behind a variable of the action that is not settable", function()
      local made = variables.new(fake_engine(), { id = 3, variables = one("wide", { settable = true }) })
      made:export({ id = 7, variables = one "narrow" }, { A = "new" })
      assert.equal("wide", made:of().A.value)
    end)

    it("may become empty", function()
      local made = variables.new(fake_engine(), { id = 3, variables = one("old", { settable = true }) })
      made:export(ACTION, { A = "" })
      assert.equal("", made:of(ACTION).A.value)
    end)

    it("are never kept in the clear when they are encrypted", function()
      local now, later, engine = exported(one("old", { settable = true, encrypted = true }))
      assert.equal("new", now.value)
      assert.equal("new", later.value)
      assert.same({ value = nil, sealed = "sealed new" }, engine.kept.pipeline3A)
    end)

    it("are masked from then on", function()
      local made = variables.new(fake_engine(), { id = 3, variables = one("old", { settable = true,
        encrypted = true }) }, one "request")
      made:export(ACTION, { A = "new" })
      assert.same({ "new", "new" }, made:secrets(ACTION))
    end)

    it("are changed in the API when they are defined there", function()
      local engine = fake_engine { project = one("old", { settable = true }) }
      exported({}, nil, engine)
      assert.equal("new", engine.changed.A)
    end)

    it("go to later actions when their names begin with OUTPUT_", function()
      local made = variables.new(fake_engine(), { id = 3, variables = {} })
      made:export(ACTION, { OUTPUT_URL = "https://a.example", OTHER = "x" })
      assert.equal("https://a.example", made:of({ id = 8, variables = {} }).OUTPUT_URL.value)
      assert.is_nil(made:of(ACTION).OTHER)
    end)
  end)
end)

describe("engine.environment", function()
  it("puts variables into a text", function()
    local known = { A = "1", B_2 = "$A", EMPTY = "" }
    for text, expected in pairs {
      ["$A ${A} x${A}y $Ax ${A}x"] = "1 1 x1y $Ax 1x",
      ["$B_2"] = "$A",
      ["[$EMPTY]"] = "[]",
      ["$NO ${NO} ${A $ ${} $1 5$"] = "$NO ${NO} ${A $ ${} $1 5$",
      ['{"a":$A}'] = '{"a":1}',
    } do
      assert.equal(expected, environment.expand(text, known))
    end
  end)
end)

local library = require "moonsail.library"
local raised = require("spec.support.buddy").raised
local session = require "moonsail.client.session"

describe("sail.parameters", function()
  local function read(declared, values, on_parameters)
    local sail = library.new(session.new { parameters = values or {}, on_parameters = on_parameters })
    return sail.parameters(declared)
  end

  --- The hint of the error that a value of a type gives, or the value.
  local function value_of(kind, text, more)
    local declared = { type = kind }
    for name, value in pairs(more or {}) do declared[name] = value end
    local ok, result = pcall(read, { x = declared }, { x = text })
    return ok and result.x or result.hint
  end

  it("returns what was given, and defaults", function()
    local found = read({
      version = { type = "version", required = true },
      regions = { type = "list", default = { "eu", "us" } },
      note = {},
    }, { version = "1.2.0" })
    assert.same({ version = "1.2.0", regions = { "eu", "us" } }, found)
  end)

  it("takes a name with a dash for one with an underscore", function()
    assert.is_true(read({ dry_run = { type = "boolean" } }, { ["dry-run"] = true }).dry_run)
  end)

  it("takes no number that is not finite", function()
    for _, text in ipairs { "1e400", "-1e400", "inf", "nan" } do
      assert.matches("expected a number", value_of("number", text), 1, true)
    end
  end)

  it("converts by type", function()
    assert.equal("42", value_of("string", "42"))
    assert.equal(-42, value_of("integer", "-42"))
    assert.equal(1.5, value_of("number", "1.5"))
    assert.equal("main", value_of("choice", "main", { choices = { "main", "next" } }))
    assert.equal("feature/x", value_of("ref", "feature/x"))
    assert.same({ "eu", "us", "ap" }, value_of("list", { "eu, us", "ap" }))
    for _, text in ipairs { true, "true", "yes", "ON", "1" } do assert.is_true(value_of("boolean", text)) end
    for _, text in ipairs { "false", "no", "off", "0" } do
      assert.is_false(read({ x = { type = "boolean" } }, { x = text }).x)
    end
  end)

  it("takes the last one of a repeated value", function()
    assert.equal("b", value_of("string", { "a", "b" }))
  end)

  it("takes a version with or without v, and gives it without", function()
    assert.equal("1.2.0", value_of("version", "v1.2.0"))
    assert.equal("2", value_of("version", "2"))
    assert.equal("1.0.0-rc.1+build.5", value_of("version", "1.0.0-rc.1+build.5"))
    for _, text in ipairs { "", "one", "1..2", "1.", "1.2 ", "v", "1.2-", "-1" } do
      assert.equal(("x: found '%s', expected a version such as 1.2.0"):format(text), value_of("version", text))
    end
  end)

  it("takes for a ref what git does", function()
    for _, text in ipairs {
      "", "-x", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b", "a.lock",
      ".a", "a/.b", "a@{1}", "a.",
    } do
      assert.equal(("x: found '%s', expected a branch or a tag"):format(text), value_of("ref", text))
    end
  end)

  it("refuses a value of another type", function()
    assert.equal("x: found '1.5', expected an integer", value_of("integer", "1.5"))
    assert.equal("x: found '0x10', expected an integer", value_of("integer", "0x10"))
    assert.equal("x: found 'nan', expected a number", value_of("number", "nan"))
    assert.equal("x: found 'maybe', expected true or false", value_of("boolean", "maybe"))
    assert.equal("x: a value is missing", value_of("integer", true))
  end)

  it("refuses what is not among the choices, in a list too", function()
    local choices = { choices = { "staging", "production" } }
    assert.equal("x: found 'prodution', expected one of staging, production; did you mean production?",
      value_of("choice", "prodution", choices))
    assert.equal("x: found 'q', expected one of staging, production", value_of("list", "staging,q", choices))
  end)

  it("tells of everything that is wrong at once", function()
    local err = raised(read, {
      version = { type = "version", required = true, help = "what to ship" },
      count = { type = "integer" },
    }, { count = "x", cuont = "3" })
    assert.equal("usage", err.kind)
    assert.equal("3 parameters are wrong\n  count: found 'x', expected an integer\n" ..
      "  version: is required (what to ship)\n  cuont: the recipe has no such parameter; did you mean count?",
      tostring(err))
  end)

  it("shows the runner what is declared, in the order of names", function()
    local seen
    read({ b = { help = "second" }, a = { type = "integer" } }, {}, function(list) seen = list end)
    assert.same({ { name = "a", type = "integer" }, { name = "b", type = "string", help = "second" } }, seen)
  end)

  it("refuses a declaration that makes no sense", function()
    for _, declared in ipairs {
      { x = 3 }, { x = { type = "int" } }, { x = { type = "choice" } }, { ["a b"] = {} }, { {} },
    } do
      assert.equal("recipe", raised(read, declared).kind)
    end
  end)
end)

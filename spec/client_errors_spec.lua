local errors = require "moonsail.errors"
local task = require "host.task"

describe("errors", function()
  it("print as what happened and what to do next", function()
    local err = errors.new("api", "the API refused (404)", "Check the name.", { status = 404 })
    assert.equal("the API refused (404)\n  Check the name.", tostring(err))
    assert.equal(404, err.status)
  end)

  it("take a primitive's message apart", function()
    assert.same({ "no such file", "Make it first." }, { errors.split "no such file; make it first" })
    assert.same({ "a; b", "C, or d." }, { errors.split "a; b; c, or d." })
    assert.same({ "plain" }, { errors.split "plain" })
  end)

  it("indent every line of a longer hint", function()
    assert.equal("two faults\n  first\n  second", tostring(errors.new("usage", "two faults", "first\nsecond")))
  end)

  it("print as one line without a hint", function()
    assert.equal("so it is", tostring(errors.new("recipe", "so it is")))
  end)

  it("pass whole through pcall", function()
    local ok, err = pcall(errors.raise, "network", "unreachable", nil, { code = "connect" })
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.same({ "network", "connect" }, { err.kind, err.code })
  end)

  it("pass whole through a task", function()
    local child = task.spawn(errors.raise, "execution", "it failed")
    local _, err = pcall(child.join, child)
    assert.equal("execution", err.kind)
  end)

  it("do not let facts replace what they are", function()
    assert.equal("usage", errors.new("usage", "m", "h", { kind = "api", message = "x" }).kind)
  end)

  it("have an exit code for each kind", function()
    local codes = {
      recipe = 1, usage = 2, execution = 3, uncertain = 4, permission = 5, api = 6, network = 7, interrupted = 130,
    }
    for kind, code in pairs(codes) do assert.equal(code, errors.exit_code(errors.new(kind, "m"))) end
  end)

  it("have exit code 1 for whatever a recipe raises", function()
    for _, value in ipairs { "text", 3, {}, io.stdout } do assert.equal(1, errors.exit_code(value)) end
    assert.equal(1, errors.exit_code(nil))
  end)

  it("have exit code 130 for a cancelled task", function()
    local caught
    local child = task.spawn(function()
      local _ <close> = setmetatable({}, { __close = function(_, err) caught = err end })
      task.event():wait()
    end)
    task.yield()
    child:cancel()
    pcall(child.join, child)
    assert.equal(130, errors.exit_code(caught))
  end)
end)

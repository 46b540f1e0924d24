local moonsail = require "spec.support.moonsail"
local process = require "host.process"

local root = assert(io.popen "pwd"):read "l"

--- The demo's repository: version 1.0.0 is good, version 1.1.0 greets nobody and fails its verification.
describe("release.lua over the demo's repository", function()
  local folder

  setup(function()
    folder = moonsail.folder()
    local made = assert(process.run { command = { "sh", "-euc",
      '. scripts/lib/demo_repository.sh; mkdir "$1/public"; make_demo_repository "$1/hello" "$1/public"', "sh",
      folder.path } })
    assert.equal("", made.code ~= 0 and made.stderr or "")
  end)

  teardown(function() getmetatable(folder).__close(folder) end)

  local function release(version)
    return moonsail.run(folder.path, { "run", root .. "/scripts/recipes/release.lua", "--version", version },
      { directory = folder.path .. "/hello", environment = { MOONSAIL_WRITABLE = folder.path .. "/public" } })
  end

  local function published()
    return assert(process.run { command = { folder.path .. "/public/current/hello" } }).stdout
  end

  it("builds, deploys and verifies a good version", function()
    local result = release "1.0.0"
    assert.equal("", result.code ~= 0 and result.stderr or "")
    assert.matches("^Released 1.0.0, built from %x%x%x%x%x%x%x%.\n$", result.stdout)
    assert.matches("build #1: Compile: SUCCESSFUL\n", result.stderr)
    assert.equal("Hello from 1.0.0\n", published())
  end)

  it("puts it back when the next one fails its verification, and says so with 3", function()
    local result = release "1.1.0"
    assert.equal(3, result.code)
    assert.equal("The verification failed: back to v1.0.0\n", result.stdout)
    assert.matches("the log of 'Greets':\n", result.stderr)
    assert.matches("verify #2 is FAILED: action 'Greets' failed\n", result.stderr)
    assert.equal("Hello from 1.0.0\n", published())
  end)

  it("sends nothing for a version that has no tag", function()
    local result = release "9.9.9"
    assert.equal(6, result.code)
    assert.matches("v9.9.9", result.stderr)
    assert.equal("Hello from 1.0.0\n", published())
  end)
end)

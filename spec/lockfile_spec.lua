local lockfile = require "host.lockfile"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local task = require "host.task"

describe("lockfile", function()
  local folder, path

  before_each(function()
    folder = moonsail.folder()
    path = folder.path .. "/shared"
  end)

  after_each(function()
    local _ <close> = folder
  end)

  local function text_of(file)
    local found
    assert(file:update(function(text) found = text end))
    return found
  end

  it("keeps what the function returns, shorter texts too", function()
    local file <close> = assert(lockfile.open(path))
    assert.equal("", text_of(file))
    for _, text in ipairs { "a longer text", "short", "" } do
      assert(file:update(function() return text end))
      assert.equal(text, text_of(file))
    end
  end)

  it("is for this user alone", function()
    lockfile.open(path):close()
    local mode = assert(process.run { command = { "stat", "-c", "%a", path } }).stdout
    assert.equal("600\n", mode)
    assert(process.run { command = { "chmod", "644", path } })
    local file, message, code = lockfile.open(path)
    assert.same({ nil, path .. " is not a file of this user alone; remove it", "EACCES" }, { file, message, code })
  end)

  it("does not follow a link", function()
    assert(process.run { command = { "ln", "-s", folder.path .. "/elsewhere", path } })
    assert.equal("ELOOP", select(3, lockfile.open(path)))
    assert.equal("ENOENT", select(3, lockfile.open(folder.path .. "/none/shared")))
  end)

  it("gives the lock back when the function raises, or wants to wait", function()
    local file <close> = assert(lockfile.open(path))
    assert.error_matches(function() file:update(function() error "no" end) end, "no")
    assert.error_matches(function() file:update(function() task.sleep(0) end) end, "cannot wait here")
    local other <close> = assert(lockfile.open(path))
    assert.equal("", text_of(other))
  end)

  it("says so when another has it for too long", function()
    local file <close> = assert(lockfile.open(path))
    local other <close> = assert(lockfile.open(path))
    file:update(function()
      assert.equal("EBUSY", select(3, other:update(function() end)))
    end)
  end)

  it("refuses a text that is too long, and keeps the one before", function()
    local file <close> = assert(lockfile.open(path))
    assert(file:update(function() return "before" end))
    assert.equal("EFBIG", select(3, file:update(function() return ("x"):rep(4097) end)))
    assert.equal("before", text_of(file))
  end)

  it("counts right over several processes", function()
    local words = ([[
      local file = require("host.lockfile").open %q
      for _ = 1, 200 do
        while not file:update(function(text) return tostring((tonumber(text) or 0) + 1) end) do end
      end]]):format(path)
    task.map({ 1, 2, 3, 4 }, {}, function()
      assert.equal(0, moonsail.run(folder.path, { "eval", words }).code)
    end)
    local file <close> = assert(lockfile.open(path))
    assert.equal("800", text_of(file))
  end)

  it("raises when it is closed", function()
    local file = assert(lockfile.open(path))
    file:close()
    file:close()
    assert.error_matches(function() file:update(function() end) end, "it is closed")
  end)
end)

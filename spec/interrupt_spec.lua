local moonsail = require "spec.support.moonsail"
local plain_api = require "spec.support.api"
local process = require "host.process"
local task = require "host.task"

local LIMIT = 20 -- seconds that anything may take

describe("an interrupt", function()
  local folder

  before_each(function() folder = moonsail.folder() end)
  after_each(function() getmetatable(folder).__close(folder) end)

  local function environment(more)
    local all = {
      PATH = os.getenv "PATH", HOME = folder.path, XDG_STATE_HOME = folder.path .. "/state",
      XDG_CONFIG_HOME = folder.path .. "/config", ASAN_OPTIONS = os.getenv "ASAN_OPTIONS",
    }
    for name, value in pairs(more or {}) do all[name] = value end
    return all
  end

  local function spawn(arguments, options)
    options = options or {}
    return assert(process.spawn {
      command = { moonsail.path, table.unpack(arguments) }, environment = environment(options.environment),
      directory = options.directory or folder.path, merge = true,
    })
  end

  --- Reads until the output has the text.
  local function read_until(child, text)
    local output = ""
    assert(task.timeout(LIMIT, function()
      while not output:find(text, 1, true) do output = output .. assert(child:read(), output) end
    end))
    return output
  end

  local function read_rest(child)
    local output = ""
    for chunk in child.read, child do output = output .. chunk end
    return output
  end

  it("ends a wait with 130", function()
    local child <close> = spawn { "eval", "print 'ready' io.stdout:flush() require('host.task').sleep(1e6)" }
    read_until(child, "ready")
    child:kill "SIGTERM"
    assert.same({ code = 130 }, child:wait())
  end)

  it("twice ends a recipe that never waits", function()
    local child <close> = spawn { "eval", "print 'ready' io.stdout:flush() while true do end" }
    read_until(child, "ready")
    child:kill "SIGINT"
    child:kill "SIGTERM" -- two of one kind could be taken for one
    assert.same({ code = 130 }, child:wait())
  end)

  it("leaves signals alone that were ignored at the start", function()
    local child <close> = assert(process.spawn {
      command = { "sh", "-c", 'trap "" HUP; exec "$0" eval "$1"', moonsail.path,
        "print 'ready' io.stdout:flush() require('host.task').sleep(0.2) print 'went on'" },
      environment = environment(), merge = true,
    })
    read_until(child, "ready")
    child:kill "SIGHUP"
    assert.matches("went on\n", read_rest(child))
    assert.same({ code = 0 }, child:wait())
  end)

  it("says what goes on elsewhere", function()
    local api <close> = plain_api.serve { status = "INPROGRESS" }
    moonsail.write(folder.path .. "/recipe.lua", "require('moonsail').project():pipeline(7):run {}:wait()")
    local child <close> = spawn({ "run", "recipe.lua" }, { environment = {
      BUDDY_TOKEN = "token", BUDDY_API_ENDPOINT = api.url, BUDDY_PROJECT = "acme/website",
    } })
    read_until(child, "sent, ")
    child:kill "SIGINT"
    assert.matches("moonsail: interrupted\n  7 #1 goes on: http://app/1\n$", read_rest(child))
    assert.same({ code = 130 }, child:wait())
  end)

  it("lets an action of the embedded engine clean up", function()
    local repository <close> = require("spec.support.repository").new()
    repository:commit { ["buddy.yml"] = ([[
- pipeline: slow
  refs: [ "refs/heads/main" ]
  actions:
  - action: Work
    type: BUILD
    execute_commands:
    - trap 'touch %s/cleaned; exit 1' TERM; touch %s/working; while :; do sleep 0.05 || true; done
]]):format(folder.path, folder.path) }
    moonsail.write(folder.path .. "/recipe.lua", "require('moonsail').project():pipeline('slow'):run {}:wait()")
    local child <close> = spawn({ "run", folder.path .. "/recipe.lua" }, { directory = repository.path,
      environment = { MOONSAIL_WRITABLE = folder.path } })
    assert(task.timeout(LIMIT, function()
      while not io.open(folder.path .. "/working") do task.sleep(0.02) end
    end))
    child:kill "SIGINT"
    assert.matches("moonsail: interrupted\n$", read_rest(child))
    assert.same({ code = 130 }, child:wait())
    assert.is_truthy(io.open(folder.path .. "/cleaned"))
  end)
end)

local buddy = require "spec.support.buddy"
local library = require "moonsail.library"
local raised = buddy.raised
local sessions = require "moonsail.client.session"
local task = require "host.task"

describe("a session with nothing configured", function()
  local real, api, log, starting

  --- An engine that writes down what happens to it, and serves what `api` does.
  local function fake_engine(options)
    log[#log + 1] = ("start %s/%s"):format(options.workspace, options.project)
    if starting then starting() end
    local engine = {
      endpoint = api.url, token = buddy.TOKEN, workspace = options.workspace or "local",
      project = options.project or "here",
    }
    function engine.drain() log[#log + 1] = "drain" end
    function engine.close() log[#log + 1] = "close" end
    return setmetatable(engine, { __close = engine.close })
  end

  before_each(function()
    real, log, starting = package.loaded["moonsail.engine"], {}, nil
    package.loaded["moonsail.engine"] = { start = fake_engine }
    local pipelines = { pipelines = { { id = 2, name = "Build" } } }
    api = buddy.serve {
      ["GET /workspaces/local/projects/here/pipelines"] = pipelines,
      ["GET " .. buddy.PROJECT .. "/pipelines"] = pipelines,
    }
  end)
  after_each(function()
    package.loaded["moonsail.engine"] = real
    api.server:close()
  end)

  local function open(settings)
    return sessions.new { embedded = true, settings = settings, getenv = function() end }
  end

  it("starts the engine when it is first needed, once, and closes it at its end", function()
    do
      local session <close> = open()
      local sail = library.new(session)
      local project = sail.project()
      task.yield()
      assert.same({}, log)
      task.map({ 1, 2, 3 }, {}, function() assert.equal("Build", project:pipelines()[1].name) end)
      assert.equal("Build", sail.project():pipelines()[1].name)
      assert.equal("local/here", tostring(project))
      assert.same({ "start nil/nil" }, log)
    end
    assert.same({ "start nil/nil", "drain", "close" }, log)
  end)

  it("starts nothing when nothing needs it", function()
    do
      local _ <close> = open() -- luacheck: ignore 211
    end
    assert.same({}, log)
  end)

  it("serves the first project that is named", function()
    local session <close> = open()
    assert.equal("Build", library.new(session).project("acme/website"):pipelines()[1].name)
    assert.same({ "start acme/website" }, log)
  end)

  it("serves the project of the settings", function()
    local session <close> = open { workspace = "acme", project = "website" }
    assert.equal("Build", library.new(session).project():pipelines()[1].name)
    assert.same({ "start acme/website" }, log)
  end)

  it("outlives the task that first needed the engine", function()
    local session <close> = open()
    local project = library.new(session).project()
    local first = task.spawn(function()
      project:pipelines()
      error("over", 0)
    end)
    pcall(first.join, first)
    assert.same({ "start nil/nil" }, log)
    assert.equal("Build", project:pipelines()[1].name)
  end)

  it("closes the engine without waiting for it when it is cancelled", function()
    local running = task.spawn(function()
      local session <close> = open()
      library.new(session).project():pipelines()
      task.event():wait()
    end)
    local deadline = task.monotonic() + 10
    while #api.requests == 0 and task.monotonic() < deadline do task.sleep(0.001) end
    running:cancel()
    pcall(running.join, running)
    assert.same({ "start nil/nil", "close" }, log)
  end)

  it("tells why the engine does not start, to each who needs it", function()
    starting = function() error("there is no git repository", 0) end
    local session <close> = open()
    local project = library.new(session).project()
    for _ = 1, 2 do
      local err = raised(project.pipelines, project)
      assert.same({ "usage",
        "nothing is configured, and the embedded engine cannot start: there is no git repository" },
        { err.kind, err.message })
      assert.matches("BUDDY_TOKEN", err.hint)
    end
    assert.same({ "start nil/nil" }, log)
  end)

  it("may be closed twice", function()
    local session = open()
    library.new(session).project():pipelines()
    session:close()
    session:close()
    assert.same({ "start nil/nil", "drain", "close" }, log)
  end)
end)

describe("once", function()
  local once = require "moonsail.client.once"

  it("lets one do the work and the others wait for it", function()
    local calls = 0
    local get = once.new(function()
      calls = calls + 1
      task.yield()
      return "value"
    end)
    assert.same({ "value", "value", "value", n = 3 }, task.map({ 1, 2, 3 }, {}, function() return get() end))
    assert.same({ "value", 1 }, { get(), calls })
  end)

  it("lets the next one try when the first is cancelled", function()
    local gate, calls = task.event(), 0
    local get = once.new(function()
      calls = calls + 1
      if calls == 1 then gate:wait() end
      return calls
    end)
    local first, second = task.spawn(get), task.spawn(get)
    task.yield()
    first:cancel()
    assert.equal(2, second:join())
  end)
end)

local buddy = require "spec.support.buddy"
local raised = buddy.raised
local task = require "host.task"

local PIPELINES = buddy.PROJECT .. "/pipelines"
local IDENTIFIERS = "/workspaces/acme/identifiers"

local function pipeline(id, identifier, name)
  return { id = id, identifier = identifier, name = name, html_url = "http://app/" .. id,
    last_execution_status = "SUCCESSFUL", last_execution_revision = "abc" }
end

describe("sail.project", function()
  local api, sail

  before_each(function()
    api = buddy.serve {
      ["GET /workspaces"] = { workspaces = { { domain = "acme" }, { domain = "other" } } },
      ["GET /workspaces/acme/projects"] = { projects = { { name = "website" }, { name = "shop" } } },
      ["GET " .. PIPELINES] = { pipelines = {
        pipeline(2, "build", "Build it"), pipeline(3, "deploy", "Ship it"), pipeline(4, "again", "Ship it"),
      } },
      ["GET " .. IDENTIFIERS] = function(request)
        local ids = { build = 2, deploy = 3 }
        local id = request.query.project == "website" and ids[request.query.pipeline]
        return id and { pipeline_id = id } or nil
      end,
      ["GET " .. buddy.BUILD .. "/actions"] = { actions = { { id = 5, name = "Test" } } },
      ["GET " .. PIPELINES .. "/3/actions"] = { actions = {} },
    }
    sail = api:sail()
  end)
  after_each(function() api.server:close() end)

  local function lookups()
    return api.count["GET " .. IDENTIFIERS] or 0
  end

  describe("names", function()
    it("may come from the settings, in part or whole", function()
      for _, name in ipairs { false, "website", "acme/website" } do
        assert.equal("Test", sail.project(name or nil):pipeline(2):actions()[1].name)
      end
    end)

    it("are asked for when nobody gave them", function()
      local session = api:session { settings = { workspace = "acme" } }
      session.settings().project = nil
      local bare = require("moonsail.library").new(session)
      local project = bare.project()
      local err = raised(project.pipelines, project)
      assert.same({ "usage", "it is not known which project is meant" }, { err.kind, err.message })
      assert.matches("BUDDY_PROJECT", err.hint)
    end)

    it("are percent-encoded", function()
      api.routes["GET /workspaces/a%25b/projects/%C3%A9%3F/pipelines"] = { pipelines = {} }
      assert.same({}, sail.project("a%b/é?"):pipelines())
    end)

    it("must be names", function()
      for _, name in ipairs { "", "a/b/c", "/", "a/", "/b", "a b", "..", "../..", "acme/..", 3 } do
        assert.equal("usage", raised(sail.project, name).kind)
      end
    end)
  end)

  describe(":pipeline", function()
    it("asks for nothing until it is used", function()
      sail.project():pipeline "build"
      assert.equal(0, #api.requests)
    end)

    it("takes an id without looking it up", function()
      for _, id in ipairs { 2, "2" } do sail.project():pipeline(id):actions() end
      assert.equal(0, lookups())
    end)

    it("refuses an id that none can have", function()
      for _, id in ipairs { 0, -1, 1.5 } do
        local project = sail.project()
        assert.equal("usage", raised(project.pipeline, project, id).kind)
      end
    end)

    it("looks an identifier up once, however many ask at once", function()
      local build = sail.project():pipeline "build"
      task.map({ 1, 2, 3, 4, 5 }, {}, function() build:actions() end)
      build:actions()
      assert.equal(1, lookups())
      assert.equal(2, build.id)
    end)

    it("looks it up again when that failed for one of them", function()
      api.routes["GET " .. IDENTIFIERS] = function(_, count)
        return count == 1 and buddy.failure(400, "no") or { pipeline_id = 2 }
      end
      local build = sail.project():pipeline "build"
      local outcomes = task.map({ 1, 2, 3 }, {}, function() return (pcall(build.actions, build)) end)
      assert.same({ false, true, true, n = 3 }, outcomes)
    end)

    it("finds it by display name, when only one has it", function()
      assert.equal("Test", sail.project():pipeline("Build it"):actions()[1].name)
    end)

    it("does without the look-up of identifiers", function()
      api.routes["GET " .. IDENTIFIERS] = nil
      assert.same({}, sail.project():pipeline("deploy"):actions())
    end)

    it("does not choose between two of one display name", function()
      local twins = sail.project():pipeline "Ship it"
      local err = raised(twins.actions, twins)
      assert.equal("2 pipelines of acme/website are called 'Ship it'\n  Name one by its id: 3, 4.", tostring(err))
    end)

    it("suggests a name that is near", function()
      local wrong = sail.project():pipeline "biuld"
      local err = raised(wrong.actions, wrong)
      assert.same({ "api", 404 }, { err.kind, err.status })
      assert.equal("there is no pipeline 'biuld' in acme/website\n  Did you mean 'build'?", tostring(err))
    end)

    it("lists the names when none is near", function()
      local wrong = sail.project():pipeline "xyz"
      assert.equal("There are: build, deploy, again.", raised(wrong.actions, wrong).hint)
    end)

    it("tells which of the names is wrong", function()
      local project = sail.project "amce/website"
      assert.equal("there is no workspace 'amce' that the token may enter\n  Did you mean 'acme'?",
        tostring(raised(project.pipelines, project)))
      project = sail.project "webiste"
      assert.equal("there is no project 'webiste' in the workspace acme\n  Did you mean 'website'?",
        tostring(raised(project.pipelines, project)))
      local gone = sail.project():pipeline(99)
      assert.equal("there is no pipeline '99' in acme/website\n  There are: build, deploy, again.",
        tostring(raised(gone.actions, gone)))
    end)

    it("gives the API's own words when no list tells more", function()
      api.routes["GET /workspaces"], api.routes["GET /workspaces/acme/projects"] = nil, nil
      api.routes["GET " .. PIPELINES] = nil
      local gone = sail.project():pipeline(99)
      assert.equal("the API refused (404): Not found", raised(gone.actions, gone).message)
    end)

    it("refuses what is neither a name nor an id", function()
      local project = sail.project()
      for _, name in ipairs { "", 1.5, {}, true } do
        assert.equal("usage", raised(project.pipeline, project, name).kind)
      end
      assert.equal("usage", raised(project.pipeline, project).kind)
    end)
  end)

  describe(":pipelines", function()
    it("lists them with what is known of each", function()
      local list = sail.project():pipelines()
      assert.equal(3, #list)
      assert.same({ 2, "build", "Build it", "SUCCESSFUL", "abc", "http://app/2" }, {
        list[1].id, list[1].identifier, list[1].name, list[1].last_status, list[1].last_revision, list[1].url,
      })
      assert.equal("acme/website/build", tostring(list[1]))
      assert.equal("Test", list[1]:actions()[1].name)
    end)

    it("reads every page", function()
      api.routes["GET " .. PIPELINES] = function(request)
        local page, list = tonumber(request.query.page), {}
        for i = 1, page == 3 and 7 or 100 do
          list[i] = pipeline((page - 1) * 100 + i, "p", "P")
        end
        return { pipelines = list }
      end
      local list = sail.project():pipelines()
      assert.same({ 207, 1, 207 }, { #list, list[1].id, list[207].id })
    end)

    it("does not read one page for ever", function()
      api.routes["GET " .. PIPELINES] = function()
        local list = {}
        for i = 1, 30 do list[i] = pipeline(i, "p", "P") end
        return { pipelines = list }
      end
      assert.equal(30, #sail.project():pipelines())
    end)
  end)

  it("has nothing in its objects but plain data", function()
    local build = sail.project():pipelines()[1]
    local text = require("host.json").encode(build)
    assert.not_matches(buddy.TOKEN, text, 1, true)
  end)
end)

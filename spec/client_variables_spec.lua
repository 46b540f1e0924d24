local buddy = require "spec.support.buddy"
local engine = require "spec.support.engine"
local json = require "host.json"
local library = require "moonsail.library"
local raised = buddy.raised
local repository = require "spec.support.repository"
local sessions = require "moonsail.client.session"

describe("variables", function()
  local LIST = "GET /workspaces/acme/variables"
  local api, sail

  before_each(function()
    api = buddy.serve { [LIST] = { variables = {
      { id = 1, key = "A", value = "a", type = "VAR", encrypted = false, settable = true, description = json.null },
      { id = 2, key = "B", value = "!encrypted xyz", encrypted = true, description = "secret" },
      { id = 3, key = "C", value = json.null },
    } } }
    sail = api:sail()
  end)
  after_each(function() api.server:close() end)

  it("are those of a workspace, with encrypted ones masked as the API masks them", function()
    assert.same({
      { id = 1, key = "A", value = "a", type = "VAR", encrypted = false, settable = true },
      { id = 2, key = "B", value = "!encrypted xyz", type = "VAR", encrypted = true, settable = false,
        description = "secret" },
      { id = 3, key = "C", type = "VAR", encrypted = false, settable = false },
    }, sail.workspace():variables())
  end)

  it("are asked for by level", function()
    local function asked(fn, ...)
      fn(...)
      local query = api.requests[#api.requests].query
      return { query.project_name, query.pipeline_id }
    end
    local project = sail.project()
    assert.same({}, asked(sail.workspace().variables, sail.workspace()))
    assert.same({ "website" }, asked(project.variables, project))
    assert.same({ nil, "2" }, asked(project:pipeline(2).variables, project:pipeline(2)))
  end)

  it("are refused by whoever refuses them", function()
    api.routes[LIST] = buddy.failure(403, "no scope")
    local project = sail.project()
    assert.equal(403, raised(project.variables, project).status)
  end)

  it("of the engine are the same", function()
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = "- pipeline: nap\n  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]\n" }
    local running <close> = engine.start(repo)
    local session = sessions.new {
      settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
      getenv = function() end,
    }
    local mine = library.new(session)
    local project = mine.project()
    local nap = project:pipelines()[1]
    local function add(variable)
      local status, _, response = running:call("POST", "/workspaces/local/variables", variable)
      assert(status == 201, response.body)
    end
    add { key = "W", value = "w" }
    add { key = "P", value = "needle", encrypted = true, project = { name = "site" } }
    add { key = "L", value = "l", settable = true, pipeline = { id = nap.id } }
    local function keys(list)
      for i, variable in ipairs(list) do list[i] = variable.key end
      return list
    end
    assert.same({ "W" }, keys(mine.workspace():variables()))
    local secret = project:variables()[1]
    assert.same({ "P", true }, { secret.key, secret.encrypted })
    assert.not_matches("needle", tostring(secret.value))
    assert.same({ "L" }, keys(nap:variables()))
  end)
end)

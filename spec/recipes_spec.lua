local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local plain_api = require "spec.support.api"

local actions = {
  { id = 2, name = "Compile", type = "BUILD", trigger_time = "ON_EVERY_EXECUTION" },
  { id = 3, name = "Publish", type = "BUILD", trigger_time = "ON_EVERY_EXECUTION" },
  { id = 4, name = "Docs", type = "BUILD", trigger_time = "ON_EVERY_EXECUTION" },
}

local recipes = assert(io.popen "pwd"):read "l" .. "/scripts/recipes/"

describe("the example recipes against a plain HTTP server", function()
  local folder

  setup(function() folder = moonsail.folder() end)
  teardown(function() getmetatable(folder).__close(folder) end)

  --- Runs a recipe and returns the bodies that it sent.
  local function bodies_of(name, arguments, environment)
    local api <close> = plain_api.serve { actions = actions }
    environment = environment or {}
    environment.BUDDY_TOKEN, environment.BUDDY_API_ENDPOINT = "token", api.url
    environment.BUDDY_WORKSPACE, environment.BUDDY_PROJECT = "acme", "website"
    local result = moonsail.run(folder.path, { "run", recipes .. name .. ".lua", table.unpack(arguments) },
      { environment = environment })
    assert.equal("", result.code ~= 0 and result.stderr or "")
    local bodies = {}
    for i, post in ipairs(api.posts) do
      assert.equal("/workspaces/acme/projects/website/pipelines/7/executions", post.path)
      bodies[i] = post.body
    end
    for _, request in ipairs(api.requests) do assert.equal("Bearer token", request.authorization) end
    return bodies
  end

  --- The documented requests, as data. Source: https://buddy.works/docs/api/executions/run
  local documented = {
    hotfix = [[{
      "to_revision": { "revision": "HEAD" }, "comment": "hotfix", "clear_cache": true, "priority": "HIGH",
      "variables": [ { "key": "pass", "value": "qwerty", "encrypted": true }, { "key": "version", "value": "1.0" } ],
      "actions_to_run": [ 2, 3 ]
    }]],
    branch = [[{ "branch": { "name": "master" }, "comment": "hotfix" }]],
    tag = [[{ "tag": { "name": "v1.0" }, "comment": "hotfix" }]],
    pull_request = [[{ "pull_request": { "name": "pull/1" }, "comment": "hotfix" }]],
  }

  it("hotfix sends the documented request", function()
    local bodies = bodies_of("hotfix", { "--actions", "Compile", "--actions", "Publish" }, { PASS = "qwerty" })
    assert.same({ json.decode(documented.hotfix) }, bodies)
  end)

  it("branch sends the documented request", function()
    assert.same({ json.decode(documented.branch) },
      bodies_of("branch", { "--branch", "master", "--comment", "hotfix" }))
  end)

  it("tag sends the documented request", function()
    assert.same({ json.decode(documented.tag) }, bodies_of("tag", { "--tag", "v1.0", "--comment", "hotfix" }))
  end)

  it("pull_request sends the documented request", function()
    assert.same({ json.decode(documented.pull_request) },
      bodies_of("pull_request", { "--number", "1", "--comment", "hotfix" }))
  end)

  it("fan_out sends one request to each pipeline and sums up", function()
    local bodies = bodies_of("fan_out", { "--pipelines", "eu", "--pipelines", "us", "--version", "1.2.0" })
    local expected = json.decode [[{
      "tag": { "name": "v1.2.0" }, "variables": [ { "key": "VERSION", "value": "1.2.0" } ]
    }]]
    assert.same({ expected, expected }, bodies)
  end)

  it("say what is missing, and send nothing", function()
    local api <close> = plain_api.serve()
    local environment = { BUDDY_TOKEN = "token", BUDDY_API_ENDPOINT = api.url, BUDDY_PROJECT = "acme/website" }
    local result = moonsail.run(folder.path, { "run", recipes .. "tag.lua" }, { environment = environment })
    assert.equal(2, result.code)
    assert.matches("tag", result.stderr)
    assert.same({}, api.requests)
  end)

  it("end with 3 when the execution fails", function()
    local api <close> = plain_api.serve { status = "FAILED" }
    local environment = { BUDDY_TOKEN = "token", BUDDY_API_ENDPOINT = api.url, BUDDY_PROJECT = "acme/website" }
    local result = moonsail.run(folder.path, { "run", recipes .. "tag.lua", "--tag", "v1.0" },
      { environment = environment })
    assert.equal(3, result.code)
    assert.matches("FAILED", result.stderr)
  end)

  it("list their parameters with --help", function()
    for name in pairs(documented) do
      local result = moonsail.run(folder.path, { "run", recipes .. name .. ".lua", "--help" })
      assert.equal(0, result.code)
      assert.matches("usage: moonsail run .*" .. name .. "%.lua %[%-%-NAME VALUE...%]", result.stdout)
      assert.matches("%-%-pipeline STRING", result.stdout)
    end
  end)
end)

local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local plain_api = require "spec.support.api"
local repository = require "spec.support.repository"

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

describe("the example recipes over a git repository", function()
  local definition = [[
- pipeline: deploy
  actions:
  - { action: Web, type: BUILD, execute_commands: [ 'echo "web $VERSION of $AUTHOR"' ] }
  - { action: API, type: BUILD, execute_commands: [ "true" ] }
]]

  -- In the work tree, served by the embedded engine, whose state outlives the run.
  local function run(repo, name, ...)
    local result = moonsail.run(repo.path .. "/.git", { "run", recipes .. name .. ".lua", ... },
      { directory = repo.path })
    assert.equal("", result.code ~= 0 and result.stderr or "")
    return result
  end

  it("choose_actions runs those whose folder has changed, and none when nothing has", function()
    local repo <close> = repository.new()
    repo:commit { ["buddy.yml"] = definition, ["web/a"] = "1", ["api/a"] = "1" }
    local first = run(repo, "choose_actions").stderr
    assert.matches("Web: SUCCESSFUL.*API: SUCCESSFUL", first)
    repo:commit { ["api/a"] = "2" }
    local second = run(repo, "choose_actions").stderr
    assert.matches("API: SUCCESSFUL", second)
    assert.not_matches("Web", second)
    local third = run(repo, "choose_actions")
    assert.matches("^Nothing has changed since http", third.stdout)
    assert.equal("", third.stderr)
  end)

  it("fan_out tells a pipeline that failed from one that is not there", function()
    local repo <close> = repository.new()
    repo:tag("v1.0", repo:commit { ["buddy.yml"] = definition:gsub('"true"', '"false"') })
    local result = moonsail.run(repo.path .. "/.git", { "run", recipes .. "fan_out.lua", "--pipelines", "deploy,none",
      "--version", "1.0" }, { directory = repo.path })
    assert.equal(3, result.code)
    assert.matches("\ndeploy +FAILED .*\nnone +api ", result.stdout)
  end)

  it("computed_variables counts from the last tag", function()
    local repo <close> = repository.new()
    repo:tag("v1.0", repo:commit { ["buddy.yml"] = definition:gsub("pipeline: deploy", "pipeline: build") })
    local head = repo:commit { a = "1" }
    run(repo, "computed_variables")
    moonsail.write(repo.path .. "/log.lua", [[
      local sail = require "moonsail"
      local execution = sail.project():pipeline "build":last_successful()
      print(execution.comment)
      for _, line in ipairs(execution:logs "Web") do print(line) end
    ]])
    local result = moonsail.run(repo.path .. "/.git", { "run", "log.lua" }, { directory = repo.path })
    assert.matches(", 1 commits after v1.0\n", result.stdout, 1, true)
    assert.matches("\nweb v1.0-1-g" .. head:sub(1, 7) .. " of Ada Lovelace\n", result.stdout, 1, true)
  end)
end)

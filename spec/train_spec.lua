--- A release train of more than three hours, as the author of a recipe tests it: the recipe, over the client library,
--- against a real engine, on the simulated clock of both.

local engine = require "spec.support.engine"
local library = require "moonsail.library"
local repository = require "spec.support.repository"
local server = require "host.server"
local sessions = require "moonsail.client.session"
local task = require "host.task"

local PIPELINES = [[
- pipeline: build
  refs: [ "refs/heads/main" ]
  actions:
  - { action: Compile, type: SLEEP, sleep_in_sec: 1200 }
  - { action: Unit tests, type: SLEEP, sleep_in_sec: 1200, run_next: IN_SOFT_PARALLEL }
  - { action: Browser tests, type: SLEEP, sleep_in_sec: 900 }
- pipeline: check
  refs: [ "refs/heads/main" ]
  actions:
  - { action: Warm up, type: SLEEP, sleep_in_sec: 300 }
  - { action: Probe, type: HTTP, notification_url: "http://127.0.0.1:$SHOP/", method: GET, retry_count: 1,
      retry_interval: 60 }
- pipeline: publish
  refs: [ "refs/heads/main" ]
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: announce, revision: INHERIT, wait: true } ]
- pipeline: announce
  refs: [ "refs/heads/main" ]
  actions: [ { action: Write, type: SLEEP, sleep_in_sec: 900 } ]
]]
local DEPLOY = [[
- pipeline: deploy_%s
  refs: [ "refs/heads/main" ]
  actions: [ { action: Approve, type: WAIT_FOR_APPLY }, { action: Ship, type: SLEEP, sleep_in_sec: 600 } ]
]]
local REGIONS = { "eu", "us", "asia" }

local MINUTE, HOUR = 60, 3600
local SLACK = 2 -- minutes by which a step may be told late: the polling intervals so far, and the real time of git

local function definition()
  local parts = { PIPELINES }
  for _, region in ipairs(REGIONS) do parts[#parts + 1] = DEPLOY:format(region) end
  return table.concat(parts)
end

--- The recipe. `tell` gets each step; `repair` mends what the check complains of.
local function release(sail, parameters, tell, repair)
  local project = sail.project()
  local function run(name, fields)
    fields = fields or {}
    fields.branch = "main"
    return project:pipeline(name):run(fields)
  end

  run("build"):wait()
  tell "built"

  sail.map(REGIONS, {}, function(region, place)
    local deploy = run("deploy_" .. region)
    sail.spawn(function() -- the one who approves is at lunch
      sail.sleep(HOUR + place * MINUTE)
      deploy:approve()
      tell("approved " .. region)
    end)
    deploy:wait()
    tell("shipped to " .. region)
  end)

  local check = run("check", { variables = { SHOP = parameters.shop } })
  tell("checked: " .. check:outcome().status)
  repair()
  check:retry():wait()
  tell "checked again"

  run("publish", { delay_until = "1h" }):wait()
  tell "published"
end

describe("a release train of three hours", function()
  local repo, running, shop, clock, session, healthy, looks

  before_each(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = definition() }
    running = engine.start(repo)
    healthy, looks = false, 0
    shop = assert(server.listen({}, function() return { status = healthy and 200 or 503 } end))
    session = sessions.new {
      settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
      directory = repo.path, getenv = function() end,
    }
    local transport = session:transport()
    local get = transport.get
    function transport.get(...)
      looks = looks + 1
      return get(...)
    end
    clock = task.simulate()
  end)
  after_each(function()
    clock:close()
    shop:close()
    running:close()
    repo:close()
  end)

  --- Runs the recipe. Returns its steps, and how many minutes each is later than it should be.
  local function depart(timetable)
    local began, steps, late = task.monotonic(), {}, {}
    release(library.new(session), { shop = shop.port }, function(step)
      steps[#steps + 1] = step
      late[#late + 1] = (task.monotonic() - began) / MINUTE - timetable[#steps][1]
    end, function() healthy = true end)
    return steps, late
  end

  it("keeps its timetable, and takes few looks", function()
    local timetable = {
      { 40, "built" }, { 101, "approved eu" }, { 102, "approved us" }, { 103, "approved asia" },
      { 111, "shipped to eu" }, { 112, "shipped to us" }, { 113, "shipped to asia" }, { 119, "checked: FAILED" },
      { 124, "checked again" }, { 199, "published" },
    }
    local steps, late = depart(timetable)
    for place, stop in ipairs(timetable) do
      assert.equal(stop[2], steps[place])
      assert.is_true(late[place] >= 0 and late[place] < SLACK, ("%s: %.2f minutes late"):format(stop[2], late[place]))
    end
    assert.equal(#timetable, #steps)
    assert.is_true(looks < 2500, looks .. " looks")
  end)
end)

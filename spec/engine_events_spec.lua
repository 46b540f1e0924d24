local cron = require "moonsail.engine.cron"
local date = require "moonsail.engine.date"
local definition = require "moonsail.engine.definition"
local moonsail = require "spec.support.moonsail"
local repository = require "spec.support.repository"
local schedule = require "moonsail.engine.schedule"
local support = require "spec.support.engine"
local task = require "host.task"

-- A pipeline whose one action ends at once.
local function pipeline(name, keys)
  return ("- pipeline: %s\n%s\n  actions: [ { action: Rest, type: SLEEP, sleep_in_sec: 0 } ]\n"):format(name, keys)
end

local BUDDY = pipeline("any_push", '  events: [ { type: PUSH, refs: [ "*" ] } ]')
  .. pipeline("main_push", "  events: [ { type: PUSH, refs: [ refs/heads/main ] } ]")
  .. pipeline("older_push", "  on: EVENT\n  refs: [ refs/heads/main ]")
  .. pipeline("by_hand", "  on: CLICK\n  events: [ { type: PUSH, refs: [ main ] } ]")
  .. pipeline("off", "  disabled: true\n  events: [ { type: PUSH, refs: [ main ] } ]")
  .. pipeline("releases", '  events: [ { type: CREATE_REF, refs: [ "(refs/heads/release-[0-9]+)", "refs/tags/v*" ] } ]')
  .. pipeline("both", '  events: [ { type: PUSH, refs: [ "release-*" ] }, { type: CREATE_REF, refs: [ release-* ] } ]')
  .. pipeline("cleanup", '  events: [ { type: DELETE_REF, refs: [ "feature/*" ] } ]')
  .. pipeline("opened", "  events: [ { type: PULL_REQUEST, events: [ OPENED ] } ]")
  .. pipeline("reviewed", '  events: [ { type: PULL_REQUEST, events: [ opened, synchronize ], branches: [ "*" ] } ]')
  .. pipeline("targeted", "  events: [ { type: PULL_REQUEST, branches: [ main ] } ]")
  .. pipeline("on_change", [[
  events: [ { type: PUSH, refs: [ main ] } ]
  trigger_conditions: [ { trigger_condition: ON_CHANGE_AT_PATH, trigger_condition_paths: [ src/ ] } ]
  description_required: true]])

describe("engine events", function()
  local clock, repo, folder, e, lines, first

  -- Starts the engine, or starts it again.
  local function start(options)
    if e then e:close() end
    lines = {}
    local given = { events = true, state = folder.path .. "/state", log = function(line) table.insert(lines, line) end }
    for name, value in pairs(options or {}) do given[name] = value end
    e = support.start(repo, given)
  end

  -- The executions of all pipelines that have some, once the engine has looked twice: "pipeline ref", sorted.
  local function started()
    task.sleep(2.5)
    assert(task.timeout(support.LIMIT, e.engine.drain, e.engine))
    local found = {}
    for _, item in ipairs(e.engine.inside.project:pipelines().list) do
      for _, one in ipairs(e.engine.inside.book:page(item.id, 1, 100)) do
        table.insert(found, item.identifier .. " " .. one.ref_name)
      end
    end
    table.sort(found)
    return found
  end

  local function newest(identifier)
    return e:get(e:path(e:get(e:executions(identifier)).executions[1]))
  end

  before_each(function()
    clock, repo, folder = task.simulate(), repository.new(), repository.folder()
    first = repo:commit { ["buddy.yml"] = BUDDY }
  end)

  after_each(function()
    if e then e:close() end
    folder:close()
    repo:close()
    clock:close()
    e = nil
  end)

  it("takes the refs as they are when it starts for the first time", function()
    repo:branch("dev", first)
    start()
    assert.same({}, started())
  end)

  it("starts what wants a push, at the commit that was pushed", function()
    start()
    local pushed = repo:commit { ["a.txt"] = "a" }
    assert.same({ "any_push main", "main_push main", "older_push main", "on_change main" }, started())
    local execution = newest "main_push"
    assert.equal(pushed, execution.to_revision.revision)
    assert.equal("EVENT", execution.triggered_on)
    assert.equal("main", execution.branch.name)
    assert.equal("SUCCESSFUL", execution.status)
  end)

  it("asks the conditions of a pipeline as for any execution", function()
    start()
    repo:commit { ["a.txt"] = "a" }
    started()
    assert.equal("SKIPPED", newest "on_change".status)
    repo:commit { ["src/b.txt"] = "b" }
    started()
    assert.equal("SUCCESSFUL", newest "on_change".status)
  end)

  it("reads the definition at the revision that was pushed", function()
    start()
    repo:commit({ ["buddy.yml"] = pipeline("fresh", "  events: [ { type: PUSH, refs: [ dev ] } ]") },
      { branch = "dev", from = first })
    repo:branch("main", repo:tip "refs/heads/dev") -- so that the default branch knows the pipeline, too
    assert.same({ "fresh dev" }, started())
  end)

  it("tells why a push of a broken definition starts nothing", function()
    start()
    repo:commit { ["buddy.yml"] = "- pipeline: [" }
    task.sleep(2.5)
    assert.matches("refs/heads/main: starts nothing: buddy.yml:", table.concat(lines, "\n"), 1, true)
  end)

  it("starts what wants a new branch or tag, once for each pipeline", function()
    start()
    repo:branch("release-7", first)
    repo:branch("release-x", first)
    repo:tag("v1", first, "annotated")
    assert.same({ "any_push release-7", "any_push release-x", "any_push v1", "both release-7", "both release-x",
      "releases release-7", "releases v1" }, started())
    assert.equal(first, newest "releases".to_revision.revision)
  end)

  it("starts what wants a deleted ref, on the default branch", function()
    repo:branch("feature/a", first)
    repo:branch("other", first)
    start()
    repo:git("update-ref", "-d", "refs/heads/feature/a")
    repo:git("update-ref", "-d", "refs/heads/other")
    assert.same({ "cleanup main" }, started())
    assert.equal(first, newest "cleanup".to_revision.revision)
  end)

  it("starts what wants a pull request that is opened or goes on", function()
    start()
    repo:pull_request(3, first)
    assert.same({ "opened pull/3", "reviewed pull/3" }, started())
    local more = repo:commit({ ["a.txt"] = "a" }, { branch = "topic", from = first })
    repo:git("update-ref", "-d", "refs/heads/topic")
    repo:pull_request(3, more)
    local found = {}
    for _, text in ipairs(started()) do
      if text:find "pull/" then table.insert(found, text) end
    end
    assert.same({ "opened pull/3", "reviewed pull/3", "reviewed pull/3" }, found)
    assert.equal(more, newest "reviewed".to_revision.revision)
  end)

  it("neither misses nor repeats a push when it is started again", function()
    start()
    repo:commit { ["a.txt"] = "a" }
    assert.equal(4, #started())
    e:close()
    e = nil
    local while_off = repo:commit { ["b.txt"] = "b" }
    start()
    assert.equal(8, #started())
    assert.equal(while_off, newest "main_push".to_revision.revision)
    start()
    assert.equal(8, #started())
  end)

  it("starts nothing without the option, and says so", function()
    start { events = false }
    repo:commit { ["a.txt"] = "a" }
    assert.same({}, started())
    assert.matches("main_push: only --events lets PUSH start it", table.concat(lines, "\n"), 1, true)
    assert.not_matches("by_hand", table.concat(lines, "\n"))
  end)

  it("says which events never happen here", function()
    repo:commit { ["buddy.yml"] = BUDDY .. pipeline("hooked", "  events: [ { type: WEBHOOK }, { type: EMAIL } ]")
      .. pipeline("closed", "  events: [ { type: PULL_REQUEST, events: [ closed, labeled ] } ]") }
    start()
    local text = table.concat(lines, "\n")
    assert.matches("hooked: WEBHOOK, EMAIL never happens here", text, 1, true)
    assert.matches("closed: PULL_REQUEST closed, labeled never happens here", text, 1, true)
    assert.matches("targeted: PULL_REQUEST with branches never happens here", text, 1, true)
    assert.not_matches("main_push", text)
  end)

  describe("schedules", function()
    local EVERY_TEN = pipeline("ticks", [[
  events: [ { type: SCHEDULE, start_date: "2030-01-01T00:05:00Z", delay: 10 } ] ]])

    local function starts_of(identifier)
      local found = {}
      local list = e:get(e:executions(identifier) .. "?per_page=100").executions
      for index = #list, 1, -1 do
        local at = e:get(e:path(list[index]))
        table.insert(found, ("%s %s"):format(at.start_date:sub(12, 16), at.triggered_on))
      end
      return found
    end

    it("start a pipeline at a date and then after each delay", function()
      repo:commit { ["buddy.yml"] = EVERY_TEN }
      start()
      task.sleep(26 * 60)
      assert.same({ "00:05 SCHEDULE", "00:15 SCHEDULE", "00:25 SCHEDULE" }, starts_of "ticks")
      assert.equal("main", newest "ticks".branch.name)
    end)

    it("start a pipeline by cron, in the older form, too", function()
      repo:commit { ["buddy.yml"] = pipeline("ticks", "  on: SCHEDULE\n  cron: 7-59/20 * * * *") }
      start()
      task.sleep(30 * 60)
      assert.same({ "00:07 SCHEDULE", "00:27 SCHEDULE" }, starts_of "ticks")
    end)

    it("run on the pipeline's one ref", function()
      repo:branch("dev", first)
      repo:commit({ ["buddy.yml"] = EVERY_TEN .. "  refs: [ dev ]\n" }, { branch = "dev" })
      repo:branch("main", repo:tip "refs/heads/dev")
      start()
      task.sleep(6 * 60)
      assert.equal("dev", newest "ticks".branch.name)
    end)

    it("skip what was due while the engine was off", function()
      repo:commit { ["buddy.yml"] = EVERY_TEN }
      start()
      task.sleep(6 * 60)
      e:close()
      e = nil
      task.sleep(30 * 60)
      start()
      task.sleep(10 * 60)
      assert.same({ "00:05 SCHEDULE", "00:45 SCHEDULE" }, starts_of "ticks")
    end)

    it("follow the default branch", function()
      repo:commit { ["buddy.yml"] = EVERY_TEN }
      start()
      repo:commit { ["buddy.yml"] = pipeline("ticks", "  events: [ { type: SCHEDULE, cron: 8 * * * * } ]") }
      task.sleep(20 * 60)
      assert.same({ "00:08 SCHEDULE" }, starts_of "ticks")
    end)

    it("pause after repeated failures until the pipeline succeeds", function()
      repo:commit { ["buddy.yml"] = [[
- pipeline: ticks
  pause_on_repeated_failures: 2
  events: [ { type: SCHEDULE, cron: "*/10 * * * *" } ]
  actions:
  - { action: Fail, type: RUN_NEXT_PIPELINE, pipeline: no_such, trigger_conditions: [
      { trigger_condition: VAR_IS_NOT, trigger_variable_key: REST, trigger_variable_value: "1" } ] }
]] }
      start()
      task.sleep(45 * 60)
      assert.same({ "00:10 SCHEDULE", "00:20 SCHEDULE" }, starts_of "ticks")
      assert.matches("ticks: its schedule pauses", table.concat(lines, "\n"), 1, true)
      e:finished(e:run("ticks", { variables = { { key = "REST", value = "1" } } }))
      assert.equal("SUCCESSFUL", newest "ticks".status)
      task.sleep(10 * 60)
      assert.equal(4, #starts_of "ticks")
    end)
  end)
end)

describe("engine.cron", function()
  for _, case in ipairs {
    { "* * * * *", "2030-01-01T00:00:00", "2030-01-01T00:01:00" },
    { "* * * * *", "2030-01-01T00:00:59", "2030-01-01T00:01:00" },
    { "0 1 * * *", "2030-01-01T01:00:00", "2030-01-02T01:00:00" },
    { "0 1 * * *", "2030-01-01T00:59:59", "2030-01-01T01:00:00" },
    { "*/15 * * * *", "2030-01-01T10:46:00", "2030-01-01T11:00:00" },
    { "5-59/20 * * * *", "2030-01-01T10:25:00", "2030-01-01T10:45:00" },
    { "10/20 * * * *", "2030-01-01T10:50:00", "2030-01-01T11:10:00" },
    { "0,30 9-17 * * *", "2030-01-01T17:30:00", "2030-01-02T09:00:00" },
    { "0 0 31 * *", "2030-01-31T00:00:00", "2030-03-31T00:00:00" },
    { "0 0 30 * *", "2030-01-30T12:00:00", "2030-03-30T00:00:00" },
    { "59 23 31 12 *", "2030-12-31T23:59:00", "2031-12-31T23:59:00" },
    { "0 0 29 2 *", "2030-01-01T00:00:00", "2032-02-29T00:00:00" },
    { "0 0 29 2 *", "2096-02-29T00:00:00", "2104-02-29T00:00:00" },
    { "0 0 29 feb *", "2032-02-28T23:59:59", "2032-02-29T00:00:00" },
    { "0 0 * * 0", "2030-01-01T00:00:00", "2030-01-06T00:00:00" },
    { "0 0 * * 7", "2030-01-01T00:00:00", "2030-01-06T00:00:00" },
    { "30 6 * * MON-FRI", "2030-01-04T06:30:00", "2030-01-07T06:30:00" },
    { "0 0 13 * fri", "2030-01-04T00:00:00", "2030-01-11T00:00:00" },
    { "0 0 13 * fri", "2030-01-11T00:00:00", "2030-01-13T00:00:00" },
    { "0 12 1 jan,jul *", "2030-01-01T12:00:00", "2030-07-01T12:00:00" },
    { "0 0 */10 * *", "2030-01-21T00:00:00", "2030-01-31T00:00:00" },
    { "0 0 1-7 * *", "2030-01-07T00:00:00", "2030-02-01T00:00:00" },
    { "0 0 1 1 *", "2030-12-31T23:59:59", "2031-01-01T00:00:00" },
    { "0 22 * * 5-7", "2030-01-06T22:00:00", "2030-01-11T22:00:00" },
  } do
    it(("finds the time of %s after %s"):format(table.unpack(case)), function()
      assert.equal(case[3] .. "Z", date.format_whole(cron.read(case[1]):next(date.parse(case[2] .. "Z"))))
    end)
  end

  for _, text in ipairs { "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
    "* * * * 8", "5-1 * * * *", "*/0 * * * *", "1,,2 * * * *", "a * * * *", "-1 * * * *", "mon * * * *", "@daily",
    "0 0 30 2 *", "0 0 31 4,6 *", "1-2-3 * * * *", "*/x * * * *" } do
    it(("refuses %q"):format(text), function()
      local found, problem = cron.read(text)
      assert.is_nil(found)
      assert.is_string(problem)
    end)
  end
end)

describe("engine.schedule", function()
  local function at(text) return date.parse(text .. "Z") end

  it("counts delays from the start date on", function()
    local every = { start_date = "2030-01-31T23:30:00Z", delay = 60 }
    assert.equal(at "2030-01-31T23:30:00", schedule.next(every, at "2029-01-01T00:00:00"))
    assert.equal(at "2030-02-01T00:30:00", schedule.next(every, at "2030-01-31T23:30:00"))
    assert.equal(at "2030-02-01T05:30:00", schedule.next(every, at "2030-02-01T05:29:59"))
  end)

  it("takes a start date for cron, too", function()
    local daily = { start_date = "2030-01-05T01:00:00Z", cron = "0 1 * * *" }
    assert.equal(at "2030-01-05T01:00:00", schedule.next(daily, at "2030-01-01T00:00:00"))
    assert.equal(at "2030-01-06T01:00:00", schedule.next(daily, at "2030-01-05T01:00:00"))
  end)

  for keys, message in pairs {
    ["cron: x"] = "wants five fields",
    ["cron: 0 0 30 2 *"] = "no day is such a one",
    ["cron: 0 1 * * *, timezone: Europe/Warsaw"] = 'found "Europe/Warsaw", expected UTC',
    ["cron: 0 1 * * *, delay: 5"] = "either cron, or start_date and delay",
    ["delay: 5"] = "either cron, or start_date and delay",
    ['start_date: "2030-01-01T00:00:00Z"'] = "either cron, or start_date and delay",
    ['start_date: "2030-02-30T00:00:00Z", delay: 5'] = "is no instant in UTC",
    ['start_date: "2030-01-01T00:00:00+01:00", delay: 5'] = "is no instant in UTC",
  } do
    it(("is refused when the file is read: %s"):format(keys), function()
      local _, faults = definition.read { { name = "buddy.yml",
        text = pipeline("ticks", "  events: [ { type: SCHEDULE, " .. keys .. " } ]") } }
      assert.matches(message, table.concat(faults or {}, "\n"), 1, true)
      assert.matches("buddy.yml:2", faults[1], 1, true)
    end)
  end

  it("is refused in the older form, too", function()
    local _, faults = definition.read { { name = "buddy.yml", text = pipeline("ticks", "  on: SCHEDULE") } }
    assert.matches("either cron, or start_date and delay", faults[1], 1, true)
  end)
end)

describe("moonsail engine coverage", function()
  it("tells which events happen here", function()
    local where <close> = moonsail.folder()
    local text = moonsail.run(where.path, { "engine", "coverage" }).stdout
    assert.matches("\n  PUSH +starts pipelines with %-%-events\n", text)
    assert.matches("\n  WEBHOOK +shown by the API; never happens here\n", text)
  end)
end)

local json = require "host.json"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [==[
- pipeline: full
  folder: web
  auto_clear_cache: true
  events:
  - { type: PUSH, refs: [refs/heads/main] }
  - { type: SCHEDULE, cron: 0 1 * * * }
  trigger_conditions:
  - { trigger_condition: ON_CHANGE_AT_PATH, trigger_condition_paths: [docs] }
  actions:
  - action: Try
    type: SLEEP
    sleep_in_sec: 0
    retry_count: 2
    run_next: IN_HARD_PARALLEL
    trigger_conditions:
    - { trigger_condition: DAY, trigger_days: [1, 7] }
]==]

local OTHER = [==[
- pipeline: other
  refs: ['(refs/heads/(main|dev.*))']
  actions:
  - { action: Any, type: SLEEP, sleep_in_sec: 0 }
]==]

describe("engine, the pipelines of buddy.yml and .buddy", function()
  local repo, e

  setup(function()
    repo = repository.new()
    repo:commit { ["buddy.yml"] = BUDDY, [".buddy/other.yml"] = OTHER, [".buddy/not/this.yml"] = "x",
      [".buddy/notes.txt"] = "x" }
    e = support.start(repo)
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  local function pipeline(position)
    return e:get(e:path(e:get(e.project .. "/pipelines").pipelines[position]))
  end

  it("are all there", function()
    local names = {}
    for index, item in ipairs(e:get(e.project .. "/pipelines").pipelines) do names[index] = item.name end
    assert.same({ "full", "other" }, names)
  end)

  it("are shown with what they say and what they leave unsaid", function()
    local full = pipeline(1)
    assert.equal("web", full.folder)
    assert.equal("EVENT", full.on)
    assert.is_true(full.auto_clear_cache)
    assert.is_false(full.no_skip_to_most_recent)
    assert.equal("LATEST_RUN", full.git_changeset_base)
    assert.equal(json.null, full.target_site_url)
    assert.same({ { type = "PUSH", refs = { "refs/heads/main" } }, { type = "SCHEDULE", cron = "0 1 * * *" } },
      full.events)
    assert.same({ { trigger_condition = "ON_CHANGE_AT_PATH", trigger_condition_paths = { "docs" } } },
      full.trigger_conditions)
    assert.is_true(json.is_list(pipeline(2).trigger_conditions))
  end)

  it("are shown with their actions in full", function()
    local action = e:get(e:path(pipeline(1).actions[1]))
    assert.equal(2, action.retry_count)
    assert.equal(0, action.retry_interval)
    assert.equal("IN_HARD_PARALLEL", action.run_next)
    assert.is_false(action.run_only_on_first_failure)
    assert.same({ { trigger_condition = "DAY", trigger_days = { 1, 7 } } }, action.trigger_conditions)
  end)

  it("run on what a regular expression covers", function()
    repo:branch("dev/a", repo:tip "refs/heads/main")
    repo:branch("fix", repo:tip "refs/heads/main")
    assert.equal("SUCCESSFUL", e:finished(e:run("other", { branch = { name = "dev/a" } })).status)
    assert.matches("\"fix\" is not one of the refs of pipeline \"other\"",
      e:refusal(400, "POST", e:executions "other", { branch = { name = "fix" } }))
    assert.matches("say which with branch, tag or pull_request", e:refusal(400, "POST", e:executions "other", "{}"))
  end)
end)

local definition = require "moonsail.engine.definition"
local json = require "host.json"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"

local BUDDY = [[
- pipeline: deploy
  name: Deploy it
  refs: [ "refs/heads/*" ]
  actions:
  - action: Print
    type: BUILD
    execute_commands: [ 'echo "$REGION $PASS $BUDDY_RUN_BRANCH $BUDDY_RUN_COMMENT"' ]
- pipeline: by_identifier
  actions:
  - action: Next
    type: RUN_NEXT_PIPELINE
    project: site
    pipeline: deploy
    comment: "after $BUDDY_RUN_ID"
    priority: HIGH
    refresh: true
    clear_cache: true
    variables: [ { key: REGION, value: "$WHERE" }, { key: PASS, value: "x$TOKEN" } ]
- pipeline: by_name
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, next_pipeline_name: Deploy it, wait: true } ]
- pipeline: inherits
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: deploy, revision: INHERIT, wait: true } ]
- pipeline: specific
  actions:
  - { action: Next, type: RUN_NEXT_PIPELINE, pipeline: deploy, wait: true, revision: SPECIFIC,
      specific_revision: "$SHA" }
- pipeline: fails
  actions: [ { action: Exit, type: BUILD, execute_commands: [ "exit 1" ] } ]
- pipeline: waits_for_failure
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: fails, wait: true } ]
- pipeline: ask
  actions: [ { action: Ask, type: WAIT_FOR_APPLY } ]
- pipeline: waits_long
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: ask, wait: true } ]
- pipeline: waits_short
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: ask, wait: true, timeout: 1 } ]
- pipeline: nowhere
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: no_such } ]
- pipeline: elsewhere
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, pipeline: deploy, project: other } ]
]]

describe("RUN_NEXT_PIPELINE", function()
  local repo, e, first, second

  setup(function()
    repo = repository.new()
    first = repo:commit { ["buddy.yml"] = BUDDY }
    second = repo:commit { ["a.txt"] = "a" }
    repo:branch("dev", first)
    e = support.start(repo, { kill_after = 0.1, concurrency = 1 })
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  local function newest(pipeline)
    return e:again(e:get(e:executions(pipeline)).executions[1])
  end

  it("starts another pipeline, with a request of its own", function()
    local before = e:finished(e:run("by_identifier", { variables = { { key = "WHERE", value = "eu" },
      { key = "TOKEN", value = "needle-3", encrypted = true } } }))
    assert.equal("SUCCESSFUL", before.status)
    assert.equal("CLICK", before.triggered_on)
    local next_one = newest "deploy"
    assert.same({ "SUCCESSFUL", "PIPELINE", "PIPELINE", "HIGH", true, true, second }, { next_one.status,
      next_one.triggered_on, next_one.triggeredOn, next_one.priority, next_one.refresh, next_one.clear_cache,
      next_one.to_revision.revision })
    local comment = ("after %d"):format(before.id)
    assert.equal(comment, next_one.comment)
    assert.equal("eu •••• main " .. comment, e:log(next_one, "Print")[3])
    assert.same({ ("Started execution %d of pipeline deploy: %s"):format(next_one.id, next_one.html_url) },
      e:log(before, "Next"))
  end)

  it("may wait for its end, also where only one execution runs at once", function()
    local before = e:finished(e:run("by_name", { branch = { name = "dev" } }))
    local next_one = newest "deploy"
    assert.equal("SUCCESSFUL", before.status)
    assert.is_true(before.finish_date >= next_one.finish_date)
    assert.equal(first, next_one.to_revision.revision)
    assert.equal(0, e.engine.inside.dispatcher.queue.running)
  end)

  it("fails when what it waits for does", function()
    local done = e:finished(e:run "waits_for_failure")
    assert.equal("FAILED", done.status)
    assert.equal("the execution that it started is FAILED", e:action(done, "Next").error_message)
  end)

  it("takes its own revision, or a given one", function()
    e:finished(e:run("inherits", { branch = { name = "main" }, to_revision = { revision = first } }))
    assert.equal(first, newest "deploy".to_revision.revision)
    e:finished(e:run("specific", { variables = { { key = "SHA", value = second } } }))
    assert.equal(second, newest "deploy".to_revision.revision)
    local failed = e:finished(e:run("specific", { variables = { { key = "SHA", value = "abcdef" } } }))
    assert.matches('has no commit "abcdef"', e:action(failed, "Next").error_message)
  end)

  it("leaves what it has started when it is cancelled, or its time is over", function()
    local before = e:run "waits_long"
    local next_one = e:eventually(function() return e:get(e:executions "ask").executions[1] end)
    e:until_status(next_one, "WAITING_FOR_APPLY")
    e:call("PATCH", e:path(before), { operation = "CANCEL" })
    assert.equal("TERMINATED", e:until_status(before, "TERMINATED").status)
    e:call("PATCH", e:path(next_one), { operation = "APPLY" })
    assert.equal("SUCCESSFUL", e:finished(next_one).status)
    local late = e:until_status(e:run "waits_short", "FAILED")
    assert.matches("has not ended after 1 s", e:action(late, "Next").error_message)
    e:call("PATCH", e:path(newest "ask"), { operation = "CANCEL" })
    e:finished(late)
  end)

  it("fails on a pipeline or a project that there is not", function()
    assert.equal("there is no pipeline no_such", e:action(e:finished(e:run "nowhere"), "Next").error_message)
    assert.equal('this engine has no project "other", only site',
      e:action(e:finished(e:run "elsewhere"), "Next").error_message)
  end)

  it("refuses to go round in a circle that only ids show", function()
    local circular <close> = repository.new()
    circular:commit { ["buddy.yml"] = [[
- pipeline: one
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, next_pipeline_id: 2, wait: true } ]
- pipeline: two
  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, next_pipeline: { id: 1 }, wait: true } ]
]] }
    local engine <close> = support.start(circular)
    local done = engine:finished(engine:run "one")
    assert.equal("FAILED", done.status)
    local last = engine:again(engine:get(engine:executions "two").executions[1])
    assert.equal("pipeline one has led here: to start it again would go round in a circle",
      engine:action(last, "Next").error_message)
    assert.equal(1, #engine:get(engine:executions "one").executions)
    assert.equal(json.null, engine:action(done, "Next").approver_id)
  end)

  describe("in buddy.yml", function()
    local function faults(text)
      local pipelines, found = definition.read { { name = "buddy.yml", text = text } }
      assert.is_nil(pipelines)
      return table.concat(found, "\n")
    end

    local function pipeline(name, keys)
      return ("- pipeline: %s\n  actions: [ { action: Next, type: RUN_NEXT_PIPELINE, %s } ]\n"):format(name, keys)
    end

    it("refuses pipelines that start each other in a circle", function()
      assert.equal("pipelines start each other in a circle: a, b, c, a",
        faults(pipeline("a", "pipeline: b") .. pipeline("b", "next_pipeline_name: c") .. pipeline("c", "pipeline: a")))
      assert.matches("in a circle: a, a$", faults(pipeline("a", "pipeline: a")))
    end)

    it("is quick about many ways that lead to no circle", function()
      local text = {}
      for i = 1, 40 do
        local next_one = ("{ action: A%%d, type: RUN_NEXT_PIPELINE, pipeline: p%d }"):format(i + 1)
        text[i] = ("- pipeline: p%d\n  actions: [ %s, %s ]\n"):format(i, next_one:format(1), next_one:format(2))
      end
      assert.is_table(definition.read { { name = "buddy.yml", text = table.concat(text) } })
    end)

    it("wants to know which pipeline, once, and which revision", function()
      assert.matches("wants one of pipeline, next_pipeline_name", faults(pipeline("a", "wait: true")))
      assert.matches("wants one of pipeline", faults(pipeline("a", "pipeline: b, next_pipeline_id: 3")))
      assert.matches("go together", faults(pipeline("a", "pipeline: b, revision: SPECIFIC")))
      assert.matches("go together", faults(pipeline("a", "pipeline: b, specific_revision: abc")))
      assert.matches("does not support this key", faults(pipeline("a", "pipeline: b, artifact: x")))
    end)
  end)
end)

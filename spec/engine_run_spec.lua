local json = require "host.json"
local log = require "moonsail.engine.log"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

-- A pipeline per behaviour, so that one engine serves the whole file.
local BUDDY = [==[
- pipeline: steps
  variables:
  - { key: LEVEL, value: pipeline }
  - { key: ONLY_PIPELINE, value: "yes" }
  actions:
  - action: First
    type: BUILD
    docker_image_name: node
    docker_image_tag: 20
    variables:
    - { key: LEVEL, value: action }
    execute_commands:
    - echo "level $LEVEL, $ONLY_PIPELINE"
    - X=kept
    - echo "$X"
  - action: Second
    type: SLEEP
    sleep_in_sec: 0
  - action: Third
    type: BUILD
    execute_commands: ["echo level $LEVEL"]
- pipeline: failing
  actions:
  - action: Good
    type: BUILD
    execute_commands: ["true"]
  - action: Ignored
    type: BUILD
    ignore_errors: true
    execute_commands: ["exit 4"]
  - action: Off
    type: BUILD
    disabled: true
    execute_commands: ["true"]
  - action: Bad
    type: BUILD
    execute_commands: ["echo before", "(exit 3)", "echo after"]
  - action: Never
    type: BUILD
    execute_commands: ["true"]
  - action: On success
    type: BUILD
    trigger_time: ON_SUCCESS
    execute_commands: ["true"]
  - action: On failure
    type: BUILD
    trigger_time: ON_FAILURE
    execute_commands: ["echo \"$BUDDY_FAILED_ACTION_NAME: $BUDDY_FAILED_ACTION_LOGS\""]
- pipeline: long
  actions:
  - { action: Print, type: BUILD, execute_commands: ["head -c 300000 /dev/zero | tr '\\0' x | fold -w 60000", "false"] }
  - { action: Tell, type: BUILD, trigger_time: ON_FAILURE, execute_commands: ['echo "${#BUDDY_FAILED_ACTION_LOGS}"'] }
- pipeline: every
  actions:
  - action: All
    type: BUILD
    shell: BASH
    execute_every_command: true
    execute_commands: ["false", "[[ a == a ]] && echo bash", "true"]
- pipeline: environment
  refs: ["*", "pull/*"]
  actions:
  - action: Print
    type: BUILD
    execute_commands: ["env -0 | sort -z | tr '\\0' '\\n'"]
- pipeline: files
  refs: ["*"]
  actions:
  - action: Look
    type: BUILD
    execute_commands: ["ls | tr '\\n' ' '; echo", "touch made", "cat a.txt", "echo changed > a.txt"]
- pipeline: below
  refs: ["*"]
  actions:
  - action: Look
    type: BUILD
    working_directory: sub
    execute_commands: [pwd, ls]
- pipeline: slow
  actions:
  - action: Wait
    type: BUILD
    execute_commands: ["echo waiting", "sleep 30"]
  - action: After
    type: BUILD
    execute_commands: ["true"]
- pipeline: stubborn
  actions:
  - action: Ignore
    type: BUILD
    execute_commands: ["trap '' TERM", "echo deaf", "while :; do sleep 0.05; done"]
- pipeline: late
  actions:
  - action: Build
    type: BUILD
    timeout: 1
    execute_commands: ["sleep 30"]
- pipeline: sleeper
  actions:
  - action: Sleep
    type: SLEEP
    sleep_in_sec: 600
- pipeline: parent
  actions:
  - action: Fork
    type: BUILD
    execute_commands: ["(sleep 30; echo never) & echo parent gone"]
- pipeline: flood
  actions:
  - action: Print
    type: BUILD
    execute_commands: ["yes 0123456789abcdef0123456789abcdef0123456789abcdef012345678901234 | head -c 104857600"]
- pipeline: lines
  actions:
  - action: Print
    type: BUILD
    execute_commands: ["seq 1 250", "printf 'bad \\377 byte\\n'", "printf 'no newline'"]
- pipeline: syntax
  actions:
  - action: Break
    type: BUILD
    execute_commands: ["echo \"unfinished", "echo next"]
- pipeline: secret
  actions:
  - action: Print
    type: BUILD
    execute_commands: ["echo \"got $PASS\"", "printf 'hun'; sleep 0.05; printf 'ter2!\\n'"]
- pipeline: quick
  refs: ["*"]
  actions:
  - action: Nothing
    type: SLEEP
    sleep_in_sec: 0
- pipeline: side
  concurrent_pipeline_runs: true
  actions:
  - action: Meet
    type: BUILD
    execute_commands: ["touch $HOME/met-$MEET-$BUDDY_RUN_ID",
      "for i in $(seq 400); do [ -e $HOME/met-$MEET-$OTHER ] && exit 0; sleep 0.02; done; exit 1"]
]==]

local function statuses(execution)
  local list = {}
  for index, item in ipairs(execution.action_executions) do list[index] = item.status end
  return table.concat(list, " ")
end

describe("engine", function()
  local repo, e, first, second

  setup(function()
    repo = repository.new()
    first = repo:commit({ ["buddy.yml"] = BUDDY, ["a.txt"] = "one\n", ["old.txt"] = "old", ["sub/c.txt"] = "c" },
      { message = "First\n" })
    second = repo:commit({ ["a.txt"] = "two\n", ["old.txt"] = false }, { message = "Second\n" })
    repo:branch("old", first)
    repo:tag("v1.0", first)
    repo:pull_request(3, first)
    e = support.start(repo, { kill_after = 0.2 })
  end)

  teardown(function()
    e:close()
    repo:close()
  end)

  describe("running actions", function()
    it("runs them in order, each with its variables, log and dates", function()
      local done = e:finished(e:run("steps"))
      assert.equal("SUCCESSFUL", done.status)
      assert.equal("SUCCESSFUL SUCCESSFUL SUCCESSFUL", statuses(done))
      assert.same({
        e:place "node:20",
        "Executing command: echo \"level $LEVEL, $ONLY_PIPELINE\"",
        "level action, yes",
        "Executing command: X=kept",
        "Executing command: echo \"$X\"",
        "kept",
        "Build finished successfully!",
      }, e:log(done, "First"))
      assert.equal("level pipeline", e:log(done, "Third")[3])
      for _, item in ipairs(done.action_executions) do
        assert.equal(100, item.progress)
        assert.matches("^%d+-%d+-%d+T%d+:%d+:%d+%.%d%d%dZ$", item.start_date)
        assert.is_true(item.start_date <= item.finish_date)
        assert.is_true(done.start_date <= item.start_date and item.finish_date <= done.finish_date)
      end
      assert.equal("SUCCESSFUL", done.pipeline.last_execution_status)
      assert.equal(second, done.pipeline.last_execution_revision)
      assert.equal("SUCCESSFUL", done.action_executions[1].action.last_execution_status)
    end)

    it("lets the request's variables win", function()
      local done = e:finished(e:run("steps", { variables = { { key = "LEVEL", value = "request" } } }))
      assert.equal("level request, yes", e:log(done, "First")[3])
    end)

    it("stops at a failure, and runs what follows a failure", function()
      local done = e:finished(e:run("failing"))
      assert.equal("FAILED", done.status)
      assert.equal("SUCCESSFUL FAILED SKIPPED FAILED NOT_EXECUTED NOT_EXECUTED SUCCESSFUL", statuses(done))
      local log_lines = e:log(done, "Bad")
      assert.equal("Action failed: see logs above for details", log_lines[#log_lines])
      assert.equal("exit status 3", log_lines[#log_lines - 1])
      assert.equal("exit status 3", e:action(done, "Bad").error_message)
      assert.is_nil(table.concat(log_lines, "\n"):find("after", 1, true))
      assert.matches("^Bad: ", e:log(done, "On failure")[3])
    end)

    it("runs only what the request chooses", function()
      local waiting = e:run "failing"
      local chosen = e:action(waiting, "Good").action.id
      local answer = e:run("failing", { actions_to_run = { chosen } })
      assert.matches("^INITIAL NOT_EXECUTED NOT_EXECUTED", statuses(answer))
      local done = e:finished(answer)
      assert.equal("SUCCESSFUL", done.status)
      assert.matches("^SUCCESSFUL NOT_EXECUTED NOT_EXECUTED NOT_EXECUTED NOT_EXECUTED", statuses(done))
    end)

    it("runs every command when it is asked to, in the shell that it is asked for", function()
      local done = e:finished(e:run "every")
      assert.equal("FAILED", done.status)
      assert.equal("bash", e:log(done, "All")[4])
    end)

    it("hands the end of a long log to what follows a failure", function()
      assert.equal("32768", e:log(e:finished(e:run "long"), "Tell")[3])
    end)

    it("fails on a command that is not one", function()
      assert.equal("FAILED", e:finished(e:run "syntax").status)
    end)

    it("ends an action whose time is over", function()
      local done = e:finished(e:run "late")
      assert.equal("FAILED", done.status)
      assert.equal("not done after 1 s", e:action(done, "Build").error_message)
    end)

    it("ends with the process, though a grandchild holds its output open", function()
      local started = task.monotonic()
      local done = e:finished(e:run "parent")
      assert.equal("SUCCESSFUL", done.status)
      assert.equal("parent gone", e:log(done, "Fork")[3])
      assert.is_true(task.monotonic() - started < 10)
    end)
  end)

  describe("the environment", function()
    local function environment(fields)
      local done, values = e:finished(e:run("environment", fields)), {}
      for _, line in ipairs(e:log(done, "Print")) do
        local name, value = line:match "^([%w_]+)=(.*)$"
        if name then values[name] = value end
      end
      return values, done
    end

    it("has Buddy's variables in both generations", function()
      local values, done = environment { branch = { name = "main" }, comment = "why not", clear_cache = true }
      assert.equal("true", values.BUDDY)
      for name, value in pairs { ID = tostring(done.id), URL = done.html_url, BRANCH = "main", COMMENT = "why not",
        START_DATE = done.start_date, REFRESH = "false", CLEAR_CACHE = "true" } do
        assert.equal(value, values["BUDDY_EXECUTION_" .. name], name)
        assert.equal(value, values["BUDDY_RUN_" .. name], name)
      end
      assert.equal(second, values.BUDDY_EXECUTION_REVISION)
      assert.equal(second, values.BUDDY_RUN_COMMIT)
      assert.equal(second:sub(1, 7), values.BUDDY_RUN_COMMIT_SHORT)
      assert.equal("Second", values.BUDDY_EXECUTION_REVISION_SUBJECT)
      assert.equal("Grace Hopper", values.BUDDY_EXECUTION_REVISION_COMMITTER_NAME)
      assert.equal("refs/heads/main", values.BUDDY_EXECUTION_REF)
      assert.equal("main", values.BUDDY_RUN_REF_NAME)
      assert.equal("BRANCH", values.BUDDY_RUN_REF_TYPE)
      assert.equal(done.html_url:match "%x+$", values.BUDDY_RUN_HASH)
      assert.equal("environment", values.BUDDY_PIPELINE_NAME)
      assert.equal("site", values.BUDDY_PROJECT_NAME)
      assert.equal("local", values.BUDDY_WORKSPACE_DOMAIN)
      assert.equal("local/site", values.BUDDY_REPO_SLUG)
      assert.equal(tostring(e:action(done, "Print").action.id), values.BUDDY_ACTION_ID)
      assert.equal(e:action(done, "Print").action_execution_id, values.BUDDY_ACTION_RUN_HASH)
    end)

    it("names tags, pull requests and what changed", function()
      local tag = environment { tag = { name = "v1.0" } }
      assert.equal("v1.0", tag.BUDDY_RUN_TAG)
      assert.is_nil(tag.BUDDY_RUN_BRANCH)
      local pull = environment { pull_request = { name = "pull/3" } }
      assert.equal("pull/3", pull.BUDDY_EXECUTION_PULL_REQUEST_ID)
      assert.equal("3", pull.BUDDY_RUN_PR_NO)
      local branch = environment { branch = { name = "main" } }
      assert.equal(first, branch.BUDDY_EXECUTION_PREVIOUS_REVISION)
      assert.equal("a.txt", branch.BUDDY_EXECUTION_CHANGELOG_CHANGED)
      assert.equal("old.txt", branch.BUDDY_RUN_CHANGELOG_DELETED)
      assert.equal("Second", branch.BUDDY_RUN_CHANGELOG)
    end)

    it("has nothing of the engine's own, and lets the request override", function()
      local values = environment { branch = { name = "main" },
        variables = { { key = "BUDDY_RUN_TAG", value = "mine" } } }
      assert.equal("mine", values.BUDDY_RUN_TAG)
      assert.is_not.equal(os.getenv "HOME", values.HOME)
      assert.equal("C.UTF-8", values.LANG)
      for name in pairs(values) do
        assert.is_true(name:find "^BUDDY" ~= nil or ({ PATH = 1, HOME = 1, LANG = 1, PWD = 1, OLDPWD = 1, SHLVL = 1,
          _ = 1 })[name] ~= nil, name)
      end
    end)
  end)

  describe("the checkout", function()
    local function look(fields) return e:log(e:finished(e:run("files", fields)), "Look") end

    it("is the execution's revision, and keeps what actions made until it is cleared", function()
      local seen = look { branch = { name = "old" } }
      assert.equal("a.txt buddy.yml old.txt sub ", seen[3])
      assert.equal("one", seen[6])
      seen = look { branch = { name = "main" } }
      assert.equal("a.txt buddy.yml made sub ", seen[3])
      assert.equal("two", seen[6])
      assert.equal("two", look { branch = { name = "main" } }[6])
      assert.equal("a.txt buddy.yml sub ", look { branch = { name = "main" }, clear_cache = true }[3])
      assert.equal("a.txt buddy.yml sub ", look { branch = { name = "main" }, refresh = true }[3])
    end)

    it("has folders", function()
      local seen = e:log(e:finished(e:run("below", { branch = { name = "main" } })), "Look")
      assert.matches("/sub$", seen[3])
      assert.equal("c.txt", seen[5])
    end)
  end)

  describe("a checkout of its own", function()
    it("never removes what an action has linked from outside", function()
      local mine <close> = repository.new()
      mine:commit { ["dir/x"] = "1", ["dir/y"] = "1", ["z"] = "1", ["buddy.yml"] = repository.pipeline { name = "link",
        commands = { "mv dir ~/outside", "ln -s ~/outside dir" } } }
      local other <close> = support.start(mine)
      assert.equal("SUCCESSFUL", other:finished(other:run "link").status)
      mine:commit { ["dir/x"] = false, ["dir/y"] = false, ["z"] = false,
        ["buddy.yml"] = repository.pipeline { name = "link", commands = { "ls" } } }
      local done = other:finished(other:run "link")
      assert.same({ "buddy.yml", "dir" }, table.move(other:log(done, "Build"), 3, 4, 1, {}))
      assert.equal("x\ny\n", process.run { command = { "ls", other.state .. "/home/outside" } }.stdout)
    end)

    it("fails the action when it cannot be written, and the engine goes on", function()
      local mine <close> = repository.new()
      mine:commit { ["buddy.yml"] = repository.pipeline { name = "build", commands = { "true" } } }
      local other <close> = support.start(mine)
      local work = other.state .. "/work"
      process.run { command = { "sh", "-c", "rmdir \"$1\" && touch \"$1\"", "sh", work } }
      local done = other:finished(other:run "build")
      assert.equal("FAILED", done.status)
      assert.matches("cannot check out", other:action(done, "Build").error_message)
      process.run { command = { "sh", "-c", "rm \"$1\" && mkdir \"$1\"", "sh", work } }
      assert.equal("SUCCESSFUL", other:finished(other:run "build").status)
    end)

    it("can be of a bare repository", function()
      local source <close> = repository.new()
      source:commit { ["buddy.yml"] = repository.pipeline { name = "build", commands = { "cat buddy.yml" } } }
      local bare <close> = repository.folder()
      source:git("clone", "--quiet", "--bare", source.path, bare.path .. "/My Site.git")
      local other <close> = support.start({ path = bare.path .. "/My Site.git" }, { project = false })
      assert.equal("my-site", other.engine.project)
      assert.equal("SUCCESSFUL", other:finished(other:run "build").status)
    end)
  end)

  describe("logs", function()
    it("are read in pages of lines", function()
      local done = e:finished(e:run "lines")
      local path = e:path(e:action(done, "Print")) .. "/logs"
      local page = e:get(path)
      assert.equal(100, page.element_count)
      assert.equal(257, page.total_element_count)
      assert.equal("1", page.logs[3])
      page = e:get(path .. "?offset=200&limit=3")
      assert.same({ "199", "200", "201" }, page.logs)
      assert.equal(200, page.offset)
      page = e:get(path .. "?offset=252&limit=1000")
      assert.same({ "Executing command: printf 'bad \\377 byte\\n'", "bad \u{FFFD} byte",
        "Executing command: printf 'no newline'", "no newline", "Build finished successfully!" }, page.logs)
      assert.same({}, e:get(path .. "?offset=9999").logs)
      assert.equal(400, (e:call("GET", path .. "?limit=-1")))
      assert.equal(404, (e:call("GET", (path:gsub("%x+/logs", ("0"):rep(24) .. "/logs")))))
    end)

    it("are also there by the id of the action, as before 2025", function()
      local done = e:finished(e:run "lines")
      local id = e:action(done, "Print").action.id
      for _, word in ipairs { "/action/", "/actions/" } do
        local older = e:get(e:path(done) .. word .. id)
        assert.equal(257, #older.log)
        assert.equal("SUCCESSFUL", older.status)
      end
      assert.equal(404, (e:call("GET", e:path(done) .. "/action/99999")))
    end)

    it("come while the action runs", function()
      local running = e:until_status(e:run "slow", "INPROGRESS")
      local lines = e:eventually(function()
        local seen = e:log(running, "Wait")
        return #seen >= 4 and seen
      end)
      assert.equal("waiting", lines[3])
      assert.equal("INPROGRESS", e:action(e:again(running), "Wait").status)
      assert.equal(200, (e:call("PATCH", e:path(running), { operation = "CANCEL" })))
      e:finished(running)
    end)

    it("never show an encrypted value, nor does the store", function()
      local answer = e:run("secret", { variables = { { key = "PASS", value = "hunter2", encrypted = true } } })
      local done = e:finished(answer)
      assert.equal("SUCCESSFUL", done.status)
      local lines = e:log(done, "Print")
      assert.equal("got ••••", lines[3])
      assert.equal("••••!", lines[5])
      for _, name in ipairs { "engine.db", "engine.db-wal" } do
        local file = io.open(e.state .. "/" .. name, "rb")
        local content = file and file:read "a" or ""
        if file then file:close() end
        -- The command line that splits the value is in buddy.yml; whole, it is nowhere.
        assert.is_nil(content:find("hunter2", 1, true), name)
      end
    end)

    it("of 100 MB are cut, and the memory stays small", function()
      local function resident()
        collectgarbage()
        local file <close> = assert(io.open "/proc/self/status")
        return tonumber(file:read "a":match "VmRSS:%s+(%d+)") // 1024
      end
      local maps <close> = assert(io.open "/proc/self/maps")
      local limit = maps:read "a":find "libasan" and 512 or 48 -- MiB; a sanitizer keeps what was freed for a while
      local before = resident()
      local done = e:finished(e:run "flood")
      assert.equal("SUCCESSFUL", done.status)
      local path = e:path(e:action(done, "Print")) .. "/logs"
      local total = e:get(path).total_element_count
      local last = e:get(("%s?offset=%d"):format(path, total - 2)).logs
      assert.matches("^The log is cut here", last[1])
      assert.equal("Build finished successfully!", last[2])
      assert.is_true(total * 64 > log.MAX_BYTES and total * 64 < 1.1 * log.MAX_BYTES)
      assert.is_true(resident() - before < limit, ("%d MiB more"):format(resident() - before))
    end)
  end)

  describe("the queue", function()
    it("runs one execution of a pipeline at a time, by priority and then age", function()
      local running = e:run "slow"
      e:until_status(running, "INPROGRESS")
      local low = e:run("slow", { priority = "LOW" })
      local normal = e:run("slow", {})
      local high = e:run("slow", { priority = "HIGH" })
      local order = {}
      for _, execution in ipairs { running, high, normal, low } do
        e:until_status(execution, "INPROGRESS")
        local queued = 0
        for _, item in ipairs(e:get(e:executions "slow" .. "?per_page=4").executions) do
          if item.status == "ENQUEUED" then queued = queued + 1 end
        end
        table.insert(order, queued)
        e:call("PATCH", e:path(execution), { operation = "CANCEL" })
      end
      assert.same({ 3, 2, 1, 0 }, order)
      e:finished(running)
    end)

    it("runs pipelines side by side", function()
      local slow = e:until_status(e:run "slow", "INPROGRESS")
      local other = e:until_status(e:run("quick", { branch = { name = "main" } }), "SUCCESSFUL")
      assert.equal("SUCCESSFUL", other.status)
      assert.equal("INPROGRESS", e:again(slow).status)
      e:call("PATCH", e:path(slow), { operation = "CANCEL" })
      e:finished(slow)
    end)

    it("runs a pipeline's executions side by side when it allows it", function()
      local name = tostring({}):match "0x(%x+)"
      local function meet(other)
        return e:run("side", { variables = { { key = "MEET", value = name }, { key = "OTHER", value = other } } })
      end
      local one, two = meet "2", meet "1"
      assert.equal("SUCCESSFUL", e:finished(one).status)
      assert.equal("SUCCESSFUL", e:again(two).status)
    end)

    it("holds an execution back until its time", function()
      local due = task.now() + 1
      local date = require "moonsail.engine.date"
      local answer = e:run("quick", { branch = { name = "main" }, delay_until = date.format(due) })
      assert.equal("ENQUEUED", answer.status)
      assert.is_string(answer.delay_until)
      local other = e:until_status(e:run("quick", { branch = { name = "main" } }), "SUCCESSFUL")
      assert.equal("ENQUEUED", e:again(answer).status)
      local done = e:finished(answer)
      assert.equal("SUCCESSFUL", done.status)
      assert.is_true(date.parse(done.start_date) >= date.parse(answer.delay_until))
      assert.is_true(other.finish_date <= done.start_date)
    end)

    it("starts the first process at once", function()
      local times = {}
      for index = 1, 11 do
        local asked = task.now()
        local done = e:finished(e:run("files", { branch = { name = "main" } }))
        times[index] = require "moonsail.engine.date".parse(e:action(done, "Look").start_date) - asked
      end
      table.sort(times)
      assert.is_true(times[6] < 0.25, ("median %.1f ms"):format(times[6] * 1000))
    end)
  end)

  describe("CANCEL", function()
    local function cancel(execution)
      local status, answer = e:call("PATCH", e:path(execution), { operation = "CANCEL" })
      return status == 200 and answer or error(json.encode(answer))
    end

    it("takes an execution from the queue", function()
      local running = e:until_status(e:run "slow", "INPROGRESS")
      local queued = e:run "slow"
      local answer = cancel(queued)
      assert.equal("TERMINATED", answer.status)
      assert.equal("NOT_EXECUTED NOT_EXECUTED", statuses(answer))
      assert.is_string(answer.finish_date)
      assert.equal(json.null, answer.start_date)
      cancel(running)
      assert.equal("TERMINATED", e:finished(queued).status)
    end)

    it("ends what runs", function()
      local running = e:until_status(e:run "slow", "INPROGRESS")
      e:eventually(function() return #e:log(running, "Wait") >= 4 end)
      assert.equal("TERMINATING", cancel(running).status)
      local done = e:finished(running)
      assert.equal("TERMINATED", done.status)
      assert.equal("TERMINATED NOT_EXECUTED", statuses(done))
      local lines = e:log(done, "Wait")
      assert.equal("Action terminated", lines[#lines])
      assert.is_string(e:action(done, "Wait").termination_date)
      assert.equal(1, e:action(done, "Wait").terminator_id)
    end)

    it("ends a process that ignores SIGTERM", function()
      local running = e:until_status(e:run "stubborn", "INPROGRESS")
      e:eventually(function() return #e:log(running, "Ignore") >= 5 end)
      cancel(running)
      assert.equal("TERMINATED", e:finished(running).status)
    end)

    it("ends a sleep", function()
      local running = e:until_status(e:run "sleeper", "INPROGRESS")
      cancel(running)
      assert.equal("TERMINATED", e:finished(running).status)
    end)

    it("takes away what is delayed", function()
      local answer = e:run("quick", { branch = { name = "main" }, delay_until = "2999-01-01T00:00:00Z" })
      assert.equal(1, e.engine:busy())
      assert.equal("TERMINATED", cancel(answer).status)
      assert.equal(0, e.engine:busy())
    end)

    it("is refused for what has ended", function()
      local done = e:finished(e:run("quick", { branch = { name = "main" } }))
      assert.matches("CANCEL is not possible: execution %d+ is SUCCESSFUL",
        e:refusal(400, "PATCH", e:path(done), { operation = "CANCEL" }))
    end)
  end)

  describe("under 64 clients at once", function()
    it("accepts each execution exactly once and runs them all", function()
      local path, seen = e:executions "quick", {}
      local before = e:get(path).total_element_count
      local clients = {}
      for client = 1, 64 do clients[client] = client end
      task.map(clients, { limit = 64 }, function(client)
        for round = 1, 5 do
          local status, answer = e:call("POST", path, { branch = { name = "main" },
            comment = ("%d/%d"):format(client, round) })
          assert.equal(200, status)
          assert.is_nil(seen[answer.id])
          seen[answer.id] = answer.comment
          assert.equal(answer.comment, e:again(answer).comment)
        end
      end)
      assert(task.timeout(support.LIMIT, e.engine.drain, e.engine))
      local list = e:get(path .. "?per_page=100")
      assert.equal(before + 320, list.total_element_count)
      for _, execution in ipairs(list.executions) do
        assert.equal("SUCCESSFUL", execution.status)
        assert.equal(seen[execution.id], execution.comment)
      end
    end)
  end)
end)

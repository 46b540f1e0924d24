--- An engine that is killed again and again in the middle of a busy time, and what its books say then.
local http = require "host.http"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local repository = require "spec.support.repository"
local support = require "spec.support.engine"
local task = require "host.task"

local BUDDY = [[
- pipeline: quick
  concurrent_pipeline_runs: true
  actions:
  - { action: Print, type: BUILD, execute_commands: [ 'echo "got $PASS"' ] }
  - { action: Nap, type: SLEEP, sleep_in_sec: 0 }
- pipeline: longer
  actions:
  - { action: Work, type: BUILD, execute_commands: [ "sleep 0.03", 'echo "got $PASS"' ] }
- pipeline: ask
  concurrent_pipeline_runs: true
  actions: [ { action: Ask, type: WAIT_FOR_APPLY } ]
]]

local KILLS = { 1, 7, 13, 29 } -- after so many executions have been accepted since the start
local CLIENTS = 4
local INTERRUPTED = "The engine stopped while this execution ran"
local SECRET = { { key = "PASS", value = "needle-4", encrypted = true } }

local KINDS = {
  { "quick", { variables = SECRET } },
  { "longer", { variables = SECRET, priority = "LOW" } },
  { "quick", { variables = SECRET, delay_until = "2999-01-01T00:00:00Z" } },
  { "ask", {} },
}

describe("engine that is killed", function()
  local repo, folder

  setup(function()
    repo, folder = repository.new(), repository.folder()
    repo:commit { ["buddy.yml"] = BUDDY }
  end)

  teardown(function()
    repo:close()
    folder:close()
  end)

  local function start_child()
    local child = assert(process.spawn {
      command = { moonsail.path, "engine", "--repo", repo.path, "--project", "site",
        "--state", folder.path .. "/state" },
      environment = { PATH = os.getenv "PATH", HOME = folder.path, MOONSAIL_LUA = os.getenv "MOONSAIL_LUA",
        ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" },
      merge = true,
    })
    local said = ""
    while not said:find "BUDDY_TOKEN" do said = said .. assert(child:read(), said) end
    local file <close> = assert(io.open(said:match "cat ([^)]+)%)"))
    return child, support.client(said:match "at (http://[%d.:]+)", file:read "l")
  end

  -- One client: starts executions until it gets no answer. `accepted` gets those that were promised.
  local function keep_starting(client, paths, accepted, enough)
    local headers = { Authorization = "Bearer " .. client.token }
    for turn = 1, 1000 do
      local pipeline, fields = table.unpack(KINDS[turn % #KINDS + 1])
      local answer = http.request { method = "POST", url = client.engine.endpoint .. paths[pipeline],
        headers = headers, body = json.encode(fields) }
      if not answer then return end
      assert(answer.status == 200, answer.body)
      table.insert(accepted, json.decode(answer.body))
      enough(#accepted)
    end
  end

  local function round(kill_after, promised)
    local child <close>, client = start_child()
    local accepted, paths = {}, {}
    for _, kind in ipairs(KINDS) do paths[kind[1]] = client:executions(kind[1]) end
    local reader = task.spawn(function() while child:read() do end end)
    local function enough(count)
      if count >= kill_after then child:kill "SIGKILL" end
    end
    local clients = {}
    for index = 1, CLIENTS do
      clients[index] = function() keep_starting(client, paths, accepted, enough) end
    end
    assert(task.timeout(support.LIMIT, task.all, clients))
    child:wait()
    reader:join()
    table.move(accepted, 1, #accepted, #promised + 1, promised)
  end

  -- What an execution may be when nothing runs any more.
  local function check_one(e, execution)
    local last = execution.action_executions[#execution.action_executions]
    if execution.status == "FAILED" then
      local blamed
      for _, item in ipairs(execution.action_executions) do
        assert.is_truthy(("SUCCESSFUL FAILED NOT_EXECUTED"):find(item.status, 1, true))
        if item.status == "FAILED" then blamed = item end
      end
      assert.equal(INTERRUPTED, blamed and blamed.error_message or INTERRUPTED)
      local lines = e:get(e:path(blamed or last)).log -- that of the last, when only the end of the whole was missing
      assert.equal(INTERRUPTED, lines[#lines])
    elseif execution.status == "SUCCESSFUL" then
      assert.equal("SUCCESSFUL", last.status)
      local log = table.concat(e:get(e:path(execution.action_executions[1])).log, "\n")
      if execution.pipeline.identifier ~= "ask" then assert.matches("got ••••", log, 1, true) end
    else
      assert.equal("ENQUEUED", execution.status)
      assert.equal("2999-01-01T00:00:00.000Z", execution.delay_until)
    end
    return execution.status
  end

  local function all_of(e, pipeline)
    local found, page = {}, 1
    repeat
      local answer = e:get(("%s?per_page=100&page=%d"):format(e:executions(pipeline), page))
      table.move(answer.executions, 1, #answer.executions, #found + 1, found)
      page = page + 1
    until #found >= answer.total_element_count
    return found
  end

  -- Lets go on what waits for people, and waits until only what is delayed is left.
  local function settle(e)
    e:eventually(function()
      local open = 0
      for _, pipeline in ipairs { "quick", "longer", "ask" } do
        for _, execution in ipairs(all_of(e, pipeline)) do
          if execution.status == "WAITING_FOR_APPLY" then
            e:call("PATCH", e:path(execution), { operation = "APPLY" })
          end
          local done = execution.finish_date ~= json.null or execution.delay_until ~= json.null
          if not done then open = open + 1 end
        end
      end
      return open == 0
    end)
  end

  -- Those that an engine, in this or an earlier life, has started for actions.
  local function processes_of(e)
    local command = 'grep -lzE "^BUDDY_RUN_HASH=$1" /proc/[0-9]*/environ 2>/dev/null'
    return assert(process.run { command = { "sh", "-c", command, "sh", e.engine.inside.urls.seed } }).stdout
  end

  it("knows every execution that it has accepted, and how each has ended", function()
    local promised = {}
    for _, kill_after in ipairs(KILLS) do round(kill_after, promised) end
    local e <close> = support.start(repo, { state = folder.path .. "/state", kill_after = 0.1, rate_limit = 1000000 })
    settle(e)
    local count, known = {}, {}
    for _, pipeline in ipairs { "quick", "longer", "ask" } do
      local list = all_of(e, pipeline)
      for index, short in ipairs(list) do
        assert.equal(#list - index + 1, short.id) -- none is missing, none is there twice
        local status = check_one(e, e:again(short))
        known[e:path(short):gsub("^.*/projects", "")], count[status] = true, (count[status] or 0) + 1
      end
    end
    for _, execution in ipairs(promised) do
      assert.is_true(known[e:path(execution):gsub("^.*/projects", "")] == true)
    end
    assert.is_true(#promised > 30)
    assert.equal("", processes_of(e))
    for _, status in ipairs { "SUCCESSFUL", "FAILED", "ENQUEUED" } do assert.is_true((count[status] or 0) > 0) end
  end)
end)

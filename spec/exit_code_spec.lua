local buddy = require "spec.support.buddy"
local cli = require "spec.support.cli"
local json = require "host.json"
local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local task = require "host.task"
local verdicts = require "spec.support.verdicts"

local LIST = buddy.BUILD .. "/executions"

--- The API of an execution that goes the way of a row.
local function play(api, row)
  api.routes["POST " .. LIST] = buddy.execution(1, "ENQUEUED")
  api.routes["GET " .. LIST] = function(request)
    local shown = row.shows[#row.shows]
    if type(shown) == "string" then return buddy.page(request, { buddy.execution(1, shown) }) end
    return shown == 404 and buddy.page(request, {}) or buddy.failure(shown, "no")
  end
  api.routes[("GET %s/1"):format(LIST)] = function(_, count) return verdicts.answer(row, 1, count) end
end

--- The commands that wait, and what each ends with. That there is no execution of a number, `follow` says at once.
local commands = {
  { name = "execute", arguments = { "execute", "2" }, code = function(row) return row.code, row.name end },
  {
    name = "executions follow",
    arguments = { "executions", "follow", "2", "1" },
    code = function(row)
      if row.shows[1] == 404 then return 6, nil end
      return row.code, row.name
    end,
  },
}

-- The rows are made for an API that is asked once a second; one on this machine is asked five times as often.
local function arguments_of(command, row, as)
  local arguments = table.move(command.arguments, 1, #command.arguments, 1, {})
  if row.timeout then table.move({ "--timeout", tostring(row.timeout / 5) }, 1, 2, #arguments + 1, arguments) end
  if as == "jsonl" then table.insert(arguments, "--jsonl") end
  return arguments
end

--- The events that were printed; each line must be one.
local function events_of(text)
  local events = {}
  for line in text:gmatch "[^\n]+" do events[#events + 1] = assert(json.decode(line)) end
  return events
end

local function check_events(text, name)
  local events = events_of(text)
  for _, event in ipairs(events) do
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", event.time)
    assert.equal(1, event.execution)
    assert.is_string(event.pipeline)
  end
  local last = events[#events] or {}
  assert.same({ name and "finished", name }, { last.event, last.status })
end

describe("the exit code of", function()
  local clock, api

  before_each(function()
    clock, api = task.simulate(), buddy.serve {}
  end)
  after_each(function()
    api.server:close()
    clock:close()
  end)

  for _, command in ipairs(commands) do
    for _, row in ipairs(verdicts.rows) do
      it(("%s: %s"):format(command.name, row.case), function()
        play(api, row)
        local code, name = command.code(row)
        for _, as in ipairs { "pipe", "terminal", "jsonl" } do
          api.count = {}
          local result = cli.run(arguments_of(command, row, as), { api = api, as = as })
          assert.same({ as, code }, { as, result.code })
          if code ~= 0 then assert.matches("moonsail: [^\n]+\n  [^\n]+\n$", result.stderr) end
          if as == "jsonl" then check_events(result.stdout, name) else assert.equal("", result.stdout) end
        end
      end)
    end
  end

  it("executions follow, of many", function()
    local statuses = { "SUCCESSFUL", "FAILED", "TERMINATED" }
    local list = {}
    for id, status in ipairs(statuses) do
      table.insert(list, 1, buddy.execution(id, status))
      api.routes[("GET %s/%d"):format(LIST, id)] = buddy.execution(id, status, {})
    end
    api.routes["GET " .. LIST] = function(request) return buddy.page(request, list) end
    local result = cli.run({ "executions", "follow", "2", "1", "2", "3" }, { api = api })
    assert.equal(3, result.code)
    assert.matches("acme/website/2 #2 is FAILED", result.stderr, 1, true)
    assert.matches("acme/website/2 #3 is TERMINATED", result.stderr, 1, true)
    assert.matches("moonsail: 3 executions: 1 SUCCESSFUL, 1 FAILED, 1 TERMINATED\n$", result.stderr)
    assert.equal(0, cli.run({ "executions", "follow", "2", "1", "1" }, { api = api }).code)
  end)
end)

--- The same with processes of their own, for each end that there is.
describe("the exit code of a process that runs", function()
  local folder

  setup(function() folder = moonsail.folder() end)
  teardown(function() getmetatable(folder).__close(folder) end)

  -- Under a pseudo-terminal, or with pipes.
  local function run(api, arguments, as)
    local environment = {
      PATH = os.getenv "PATH", HOME = folder.path, XDG_STATE_HOME = folder.path,
      MOONSAIL_LUA = os.getenv "MOONSAIL_LUA", ASAN_OPTIONS = os.getenv "ASAN_OPTIONS",
      LSAN_OPTIONS = os.getenv "LSAN_OPTIONS", TERM = "xterm",
      BUDDY_TOKEN = buddy.TOKEN, BUDDY_API_ENDPOINT = api.url, BUDDY_WORKSPACE = "acme", BUDDY_PROJECT = "website",
      SHELL = "/bin/sh", LANG = "C.UTF-8",
    }
    local command = { moonsail.path, table.unpack(arguments) }
    if as == "terminal" then
      command = { "script", "-qec", table.concat(command, " "), "/dev/null" }
    end
    return assert(process.run { command = command, environment = environment, directory = folder.path })
  end

  for _, command in ipairs(commands) do
    it(command.name, function()
      local cases = {}
      for status, code in pairs { SUCCESSFUL = 0, FAILED = 3, TERMINATED = 3, SKIPPED = 3, NOT_EXECUTED = 3 } do
        for _, as in ipairs { "pipe", "terminal", "jsonl" } do
          cases[#cases + 1] = { row = { shows = { status } }, status = status, code = code, as = as }
        end
      end
      local late = { shows = { "INPROGRESS" }, timeout = 5 }
      cases[#cases + 1] = { row = late, status = "TIMED_OUT", code = 3, as = "jsonl" }
      task.map(cases, { limit = 3 }, function(case)
        local api <close> = buddy.serve {}
        play(api, case.row)
        local result = run(api, arguments_of(command, case.row, case.as), case.as)
        assert.same({ case.status, case.as, case.code }, { case.status, case.as, result.code })
        if case.as == "jsonl" then check_events(result.stdout, case.status) end
        if case.as == "terminal" then assert.matches(case.status, result.stdout, 1, true) end
      end)
    end)
  end
end)

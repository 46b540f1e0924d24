--- An hour of releases against an engine that fails 30 % of its answers in more than twelve ways, on the simulated
--- clock. What the client says at the end is compared with the engine's own book: no verdict may be wrong, no line of a
--- log lost or doubled, no execution started twice, and no request sent beyond the rate limit. From the repository:
---
---   moonsail eval "package.path = './?.lua;' .. package.path; require 'spec.fault.hour'.main { seed = 1 }"
local action_log = require "moonsail.engine.log"
local engine = require "spec.support.engine"
local errors = require "moonsail.errors"
local fault = require "moonsail.engine.fault"
local library = require "moonsail.library"
local random = require "moonsail.engine.random"
local repository = require "spec.support.repository"
local server = require "host.server"
local sessions = require "moonsail.client.session"
local task = require "host.task"

local M = {}

local PIPELINES = [[
- pipeline: deploy
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Announce, type: HTTP, notification_url: "http://127.0.0.1:$FEED/$LABEL/announce", method: GET }
    - { action: Settle, type: SLEEP, sleep_in_sec: 20 }
    - { action: Check, type: HTTP, notification_url: "http://127.0.0.1:$FEED/$LABEL/check", method: GET }
- pipeline: broken
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Prepare, type: SLEEP, sleep_in_sec: 7 }
    - { action: Ship, type: HTTP, notification_url: "http://127.0.0.1:$FEED/$LABEL/fail", method: GET }
    - { action: Never, type: SLEEP, sleep_in_sec: 1 }
- pipeline: train
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Leave, type: HTTP, notification_url: "http://127.0.0.1:$FEED/$LABEL/leave", method: GET }
    - { action: Ride, type: SLEEP, sleep_in_sec: 50 }
- pipeline: build
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Compile, type: BUILD, execute_commands: [ 'seq -f "$LABEL step %.0f" 1300' ] }
    - { action: Rest, type: SLEEP, sleep_in_sec: 3 }
]]
local NAMES = { "deploy", "broken", "train", "build" }

local TRIES = 100 -- of a call that fails
local LONGEST = 3 * 3600 -- seconds that an execution may take
local LATE = 4 -- seconds after which an execution is in every list
local LINES = 40 -- of an answer that an action logs

---@class spec.Hour
---@field minutes? number simulated, default 60
---@field seed? integer of everything that is drawn, default 1
---@field share? number of the requests that are spoiled, default 0.3
---@field recipes? integer that run at once, default 8
---@field sessions? integer that share the rate limit as processes of one user do, default 2
---@field rate_limit? integer requests a minute, default 300

-- ---- What the recipes do: an ops person's script that has met such an API before.

local function is_over(self)
  return task.monotonic() >= self.ends
end

-- Runs fn until it does what it should. What is no trouble of the API's is raised.
local function insist(self, fn)
  for try = 1, TRIES do
    local ok, result = pcall(fn)
    if ok then return result end
    local lasting = not errors.is(result) or result.kind == "usage" or result.kind == "execution"
    if lasting or try == TRIES then error(result, 0) end
    self.troubles = self.troubles + 1
    task.sleep(1)
  end
end

local function find(pipeline, label)
  for execution in pipeline:each_execution() do
    if execution.comment == label then return execution end
  end
end

-- Starts it once: when nobody knows whether it was, the list tells.
local function start(self, pipeline, label)
  return insist(self, function()
    local ok, result = pcall(pipeline.run, pipeline, {
      branch = "main", comment = label, variables = { LABEL = label, FEED = tostring(self.feed.port) },
    })
    if ok then return result end
    if not errors.is(result) or result.kind ~= "uncertain" then error(result, 0) end
    self.uncertain = self.uncertain + 1
    task.sleep(LATE)
    local found = insist(self, function() return find(pipeline, label) or false end)
    return found or error(result, 0)
  end)
end

local function cancel(self, execution)
  task.sleep(30)
  insist(self, function()
    local ok, err = pcall(function() return execution:finished() or execution:cancel() end)
    if not ok and not (errors.is(err) and err.status == 404) then error(err, 0) end
  end)
end

local function verdict_of(execution, lines)
  local ok, err = pcall(execution.wait, execution, { timeout = LONGEST, logs = function(line, action)
    local log = lines[action.name] or {}
    lines[action.name] = log
    log[#log + 1] = line
  end })
  if ok then return execution.last_status end
  if not errors.is(err) then return tostring(err) end
  return err.kind == "execution" and err.outcome or ("%s: %s"):format(err.kind, err.message)
end

local function release(self, project, number)
  local name = NAMES[math.floor(self.random() * #NAMES) + 1]
  local label = ("r%d-%d"):format(number, #self.releases + 1)
  local entry = { label = label, pipeline = name, lines = {} }
  self.releases[#self.releases + 1] = entry
  local execution = start(self, project:pipeline(name), label)
  entry.number, entry.pipeline_id = execution.id, execution.pipeline.id
  if name ~= "train" or self.random() < 0.4 then
    entry.verdict = verdict_of(execution, entry.lines)
    return
  end
  local canceling = task.spawn(cancel, self, execution)
  if self.random() < 0.3 then
    self.spoil:next("vanish", { path = ("/%d/executions/%d"):format(entry.pipeline_id, entry.number) })
  end
  entry.verdict = verdict_of(execution, entry.lines)
  canceling:cancel()
end

local function session(self)
  local running = self.running
  return sessions.new {
    settings = { endpoint = running.engine.endpoint, token = running.token, workspace = "local", project = "site" },
    timing = { poll = 1 }, directory = self.repo.path,
    getenv = function(name) return name == "XDG_RUNTIME_DIR" and self.folder.path or nil end,
  }
end

local function run_recipes(self, count, session_count)
  local projects, numbers = {}, {}
  for index = 1, session_count do projects[index] = library.new(session(self)).project() end
  for number = 1, count do numbers[number] = number end
  task.map(numbers, {}, function(number)
    while not is_over(self) do release(self, projects[number % session_count + 1], number) end
  end)
end

-- ---- What the engine's book says.

local function complain(self, ...)
  table.insert(self.problems, string.format(...))
end

local function check_log(self, entry, row, inside)
  local told, written = entry.lines[row.name] or {}, action_log.read(inside.sql, row.id)
  self.lines = self.lines + #written
  for index = 1, math.max(#told, #written) do
    if told[index] ~= written[index] then
      return complain(self, "%s, action %s, line %d of %d: told %s, written %s", entry.label, row.name, index, #written,
        told[index] or "nothing", written[index] or "nothing")
    end
  end
end

local function check_release(self, entry)
  local inside = self.running.engine.inside
  local e = entry.number and inside.book:execution(entry.pipeline_id, entry.number)
  if not e then return complain(self, "%s has no execution", entry.label) end
  if e.comment ~= entry.label then complain(self, "%s is taken for %s", e.comment, entry.label) end
  local path = ("%s/pipelines/%d/executions/%d"):format(self.running.project, e.pipeline, e.number)
  local expected = self.spoil.vanished[path] and "VANISHED" or e.status
  if entry.verdict ~= expected then
    complain(self, "%s (%s) is said to be %s, and is %s", entry.label, entry.pipeline, entry.verdict, expected)
  end
  if expected == "VANISHED" then return end
  for _, row in ipairs(inside.book:actions(e)) do check_log(self, entry, row, inside) end
end

local function check_once(self)
  local started, counted = 0, {}
  for _, entry in ipairs(self.releases) do
    local id = entry.pipeline_id
    if id and not counted[id] then started = started + self.running.engine.inside.book:count(id) end
    counted[id or 0] = true
  end
  local wanted = #self.releases
  if started ~= wanted then complain(self, "%d releases have started %d executions", wanted, started) end
end

-- What one process has been told the others know when they next ask for their share: up to 64 requests later.
local function check_budget(self, session_count)
  local spoil = self.spoil
  if spoil.beyond > 0 then complain(self, "%d requests beyond the rate limit", spoil.beyond) end
  if spoil.early > 0 and session_count == 1 then
    complain(self, "%d requests before the time that the server had named", spoil.early)
  end
end

-- ---- The whole.

local function serve_feed()
  return assert(server.listen({}, function(request)
    local label, what = request.path:match "^/([^/]+)/([^/]+)$"
    local lines = {}
    for index = 1, LINES do lines[index] = ("%s %s %d"):format(label, what, index) end
    return { status = what == "fail" and 503 or 200, body = table.concat(lines, "\n") }
  end))
end

local close_mt = { __close = function(self)
  self.running:close()
  self.feed:close()
  self.folder:close()
  self.repo:close()
end }

local function prepare(options, seed)
  local repo = repository.new()
  repo:commit { ["buddy.yml"] = PIPELINES }
  local running = engine.start(repo, { faults = true, isolation = "off", kill_after = 1,
    rate_limit = options.rate_limit or 300 })
  return setmetatable({ repo = repo, running = running, spoil = running.engine.faults, feed = serve_feed(),
    folder = repository.folder(), random = random(seed), releases = {}, problems = {}, troubles = 0, uncertain = 0,
    lines = 0 }, close_mt)
end

local function figures_of(self)
  local spoil, spoiled, ways = self.spoil, 0, 0
  for _, kind in ipairs(fault.kinds) do
    spoiled = spoiled + spoil.counts[kind.name]
    ways = ways + (spoil.counts[kind.name] > 0 and 1 or 0)
  end
  return { releases = #self.releases, lines = self.lines, requests = spoil.requests, spoiled = spoiled, ways = ways,
    early = spoil.early, troubles = self.troubles, uncertain = self.uncertain, counts = spoil.counts }
end

---Runs it. Time must be simulated.
---@async
---@param options? spec.Hour
---@return string[] problems none, if all is well
---@return table figures
function M.run(options)
  options = options or {}
  local seed, minutes, session_count = options.seed or 1, options.minutes or 60, options.sessions or 2
  math.randomseed(seed)
  local self <close> = prepare(options, seed)
  self.spoil:rate(options.share or 0.3, seed)
  self.ends = task.monotonic() + minutes * 60
  run_recipes(self, options.recipes or 8, session_count)
  for _, entry in ipairs(self.releases) do check_release(self, entry) end
  check_once(self)
  check_budget(self, session_count)
  return self.problems, figures_of(self)
end

---Runs it as a program, and prints what came of it.
---@async
---@param options? spec.Hour
function M.main(options)
  local clock <close> = task.simulate() -- luacheck: ignore 211
  local began, real = task.monotonic(), os.clock()
  local problems, figures = M.run(options)
  print(("%d releases, %d lines of logs, %d requests, of which %d were spoiled in %d ways"):format(figures.releases,
    figures.lines, figures.requests, figures.spoiled, figures.ways))
  print(("%d starts were uncertain, %d calls failed and were made again, %d requests came early"):format(
    figures.uncertain, figures.troubles, figures.early))
  for _, kind in ipairs(fault.kinds) do print(("  %6d %s"):format(figures.counts[kind.name], kind.name)) end
  print(("%.0f simulated minutes in %.1f s of processor time"):format((task.monotonic() - began) / 60,
    os.clock() - real))
  for _, problem in ipairs(problems) do print("PROBLEM: " .. problem) end
  if #problems > 0 then error(#problems .. " problems", 0) end
end

return M

--- The parts of scripts/bench.

local engines = require "spec.bench.engine"
local follow = require "spec.bench.follow"
local peers = require "spec.bench.peers"
local measure = require "spec.bench.measure"
local process = require "host.process"

local ROUNDS = 5
local REQUESTS = 20000

local M = {}

local function contender(name, run)
  return { name = name, run = run }
end

local function wrk(folder, url, body, token)
  local script = peers.write(folder, "post.lua", peers.wrk)
  local environment = { PATH = os.getenv "PATH", BENCH_BODY = body, BENCH_AUTHORIZATION = token and "Bearer " .. token }
  return function()
    local _, output = measure.time({ "wrk", "-t1", "-c64", "-d3", "-s", script, url }, { environment = environment })
    assert(not output:find "Non%-2xx", output)
    return tonumber(output:match "Requests/sec:%s*([%d.]+)")
  end
end

local function environment(folder, url)
  return {
    PATH = os.getenv "PATH", HOME = folder, XDG_CONFIG_HOME = folder, XDG_STATE_HOME = folder, BUDDY_TOKEN = "bench",
    BUDDY_API_ENDPOINT = url, BUDDY_WORKSPACE = "acme", BUDDY_PROJECT = "website",
  }
end

local fan_out = [[
local sail = require "moonsail"
local pipeline = sail.project():pipeline(2)
local items = {}
for i = 1, %d do items[i] = i end
sail.map(items, { limit = 64 }, function()
  pipeline:run {
    branch = "main", revision = "HEAD", clear_cache = true, comment = "release 1.2.0", priority = "HIGH",
    variables = { VERSION = "1.2.0", pass = { value = "qwerty", encrypted = true } },
  }
end)
]]

function M.throughput(moonsail, folder)
  local nginx <close> = peers.nginx(folder, peers.execution)
  local url = nginx.url .. "/workspaces/acme/projects/website/pipelines/2/executions"
  local recipe = peers.write(folder, "fan_out.lua", fan_out:format(REQUESTS))
  local configuration = peers.write(folder, "curl.conf", peers.curl_configuration(REQUESTS, url))
  local node = peers.write(folder, "fetch.mjs", peers.node)
  local quiet = { environment = environment(folder, nginx.url) }
  local function rate(command, options)
    return function() return REQUESTS / measure.time(command, options) end
  end
  local found = measure.alternate(ROUNDS, {
    contender("moonsail", rate({ "sh", "-c", 'exec "$0" run "$1" 2>/dev/null', moonsail, recipe }, quiet)),
    contender("curl", rate { "curl", "-s", "--parallel", "--parallel-max", "64", "-K", configuration }),
    contender("node", rate { "node", node, url, tostring(REQUESTS), peers.request }),
    contender("wrk", wrk(folder, url, peers.request)),
  })
  local function row(name, peer, least)
    local ratio = found.moonsail / found[peer]
    local verdict = measure.verdict(ratio, ("at least %.2f"):format(least), ratio >= least)
    return { name, ("%.0f"):format(found[peer]), verdict }
  end
  measure.table(("%d requests composed, sent and decoded, 64 at a time, against nginx"):format(REQUESTS), {
    { "", "requests/s", "moonsail / it" },
    { "moonsail run", ("%.0f"):format(found.moonsail), "" },
    row("curl --parallel", "curl", 2.0), row("node fetch", "node", 10), row("wrk -t1 -c64", "wrk", 0.3),
  })
end

local one = [[
local sail = require "moonsail"
sail.project():pipeline(2):run { branch = "main", revision = "HEAD", comment = "release 1.2.0", priority = "HIGH" }
]]

function M.process(moonsail, folder)
  local nginx <close> = peers.nginx(folder, peers.execution)
  local url = nginx.url .. "/workspaces/acme/projects/website/pipelines/2/executions"
  local recipe = peers.write(folder, "one.lua", one)
  local options = { environment = environment(folder, nginx.url) }
  local function milliseconds(command, given)
    return function() return 1000 * measure.time(command, given) end
  end
  local found = measure.alternate(40, {
    contender("moonsail run", milliseconds({ moonsail, "run", recipe }, options)),
    contender("curl", milliseconds { "curl", "-s", "-o", "/dev/null", "-H", "Content-Type: application/json", "-d",
      peers.request, url }),
    contender("moonsail eval", milliseconds { moonsail, "eval", "return 1" }),
    contender("lua5.4", milliseconds { "lua5.4", "-e", "return 1" }),
  })
  local post = found["moonsail run"] / found.curl
  local eval = found["moonsail eval"] / found["lua5.4"]
  local function ms(name) return ("%.2f ms"):format(found[name]) end
  measure.table("a whole process", {
    { "moonsail run, one POST", ms "moonsail run", "" },
    { "curl, the same POST", ms "curl", measure.verdict(post, "at most 0.90", post <= 0.9) },
    { "moonsail eval 'return 1'", ms "moonsail eval", "" },
    { "lua5.4 -e 'return 1'", ms "lua5.4", measure.verdict(eval, "at most 3.00", eval <= 3) },
  })
end

function M.follow(moonsail, folder)
  local function around(url) return environment(folder, url) end
  follow.steady(moonsail, around)
  follow.many(moonsail, around, folder)
end

local BEHIND = 20000 -- executions that an engine has run before

-- Starts an engine again and again. Returns the milliseconds to its first answer, and its memory then.
local function start_engines(moonsail, repository, state_of)
  local times, memory = {}, {}
  for round = 1, ROUNDS do
    local engine <close> = engines.start(moonsail, repository, state_of(round))
    times[round], memory[round] = engine.start_ms, engine.memory()
  end
  return measure.median(times), measure.median(memory)
end

local function limited(format, value, most)
  return format:format(value) .. (value <= most and "" or (" (at most %g: missed)"):format(most))
end

local function engine_starts(moonsail, folder, repository)
  local empty, small = start_engines(moonsail, repository, function(round) return folder .. "/empty" .. round end)
  local state, filled = folder .. "/filled"
  do
    local engine <close> = engines.start(moonsail, repository, state)
    engine.fill(BEHIND)
    filled = engine.memory()
  end
  local behind, large = start_engines(moonsail, repository, function() return state end)
  measure.table("the engine's start, to its first answer of 200", {
    { "", "time", "resident memory" },
    { "empty state", limited("%.0f ms", empty, 100), limited("%.1f MB", small, 30) },
    { ("%d executions behind it"):format(BEHIND), limited("%.0f ms", behind, 100), limited("%.1f MB", large, 30) },
    { "before that, having run them", "", limited("%.1f MB", filled, 30) },
  })
  return state
end

function M.engine(moonsail, folder)
  local repository = engines.repository(folder)
  local state = engine_starts(moonsail, folder, repository)
  local engine <close> = engines.start(moonsail, repository, state)
  local started = measure.median(engine.start_times(30))
  local answer = engine.post "queue"
  local id = require("host.json").decode(answer).id
  local nginx <close> = peers.nginx(folder, answer)
  local found = measure.alternate(ROUNDS, {
    contender("engine", wrk(folder, engine.url "queue", peers.request, engine.token)),
    contender("nginx", wrk(folder, nginx.url, peers.request)),
    contender("get", wrk(folder, engine.url "queue" .. "/" .. id, nil, engine.token)),
  })
  local ratio = found.engine / found.nginx
  measure.table("the engine's POST, durable before it is answered, by wrk -t1 -c64", {
    { "moonsail engine", ("%.0f/s"):format(found.engine), "" },
    { "nginx, the same bytes", ("%.0f/s"):format(found.nginx), measure.verdict(ratio, "at least 0.25", ratio >= 0.25) },
    { "moonsail engine, GET of one", ("%.0f/s"):format(found.get),
      found.get >= 8000 and "(at least 8000)" or "(at least 8000: missed)" },
  })
  print(("\nfrom POST to the first action's process: median %.1f ms (under 10%s)"):format(started,
    started < 10 and "" or ": missed"))
  print(("the engine's memory after all that: %.1f MB"):format(engine.memory()))
end

---@param moonsail string the binary
---@param part "all"|"throughput"|"process"|"follow"|"engine"
return function(moonsail, part)
  local folder = measure.time({ "true" }) and assert(process.run { command = { "mktemp", "-d" } }).stdout:match "[^\n]+"
  local guard <close> = setmetatable({}, { -- luacheck: ignore 211
    __close = function() process.run { command = { "rm", "-rf", folder } } end,
  })
  local parts = part == "all" and { "throughput", "process", "follow", "engine" } or { part }
  for _, name in ipairs(parts) do
    if not M[name] then error("there is no part " .. name, 0) end
    io.stderr:write(name, " "):flush()
    M[name](moonsail, folder)
  end
end

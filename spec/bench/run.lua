--- The parts of scripts/bench.

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

function M.engine(moonsail, folder)
  local engine <close> = require("spec.bench.engine").start(moonsail, folder)
  local started = measure.median(engine.start_times(30))
  local answer = engine.post "queue"
  local nginx <close> = peers.nginx(folder, answer)
  local found = measure.alternate(ROUNDS, {
    contender("engine", wrk(folder, engine.url "queue", peers.request, engine.token)),
    contender("nginx", wrk(folder, nginx.url, peers.request)),
    contender("get", wrk(folder, engine.url "queue" .. "/1", nil, engine.token)),
  })
  local ratio = found.engine / found.nginx
  measure.table("the engine's POST, durable before it is answered, by wrk -t1 -c64", {
    { "moonsail engine", ("%.0f/s"):format(found.engine), "" },
    { "nginx, the same bytes", ("%.0f/s"):format(found.nginx), measure.verdict(ratio, "at least 0.25", ratio >= 0.25) },
    { "moonsail engine, GET of one", ("%.0f/s"):format(found.get), "" },
  })
  print(("\nfrom POST to the first action's process: median %.1f ms (under 10%s)"):format(started,
    started < 10 and "" or ": missed"))
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

--- Following executions: what it costs, and how soon a change is told.

local api = require "spec.bench.api"
local measure = require "spec.bench.measure"
local peers = require "spec.bench.peers"
local process = require "host.process"
local process_facts = require "spec.bench.process_facts"
local task = require "host.task"

local M = {}

local PIPELINES = 20
local ROUNDS = 3
local INTERVAL = 1 -- seconds between two looks, the default for an API elsewhere
local CHANGES = 5 -- a second, over all executions
local SECONDS = 10 -- that are counted in a round
local SETTLE, ENDING = 6, 5 -- seconds: until the last change has been told, and in which all end

local function cancel_at_end(job)
  return setmetatable({}, { __close = function() job:cancel() end })
end

-- ---- In the steady state.

-- What one follower has printed, and what it was asked meanwhile.
local function listen(child, served)
  local found, rest, told, changing = {}, "", {}, task.spawn(served.change, served, CHANGES)
  local _ <close> = cancel_at_end(changing)
  local function take(line)
    local id, status, at = line:match "^told (%d+) (%S+) ([%d.]+)$"
    if id then
      told[#told + 1] = { id = tonumber(id), status = status, at = tonumber(at) }
    elseif line == "begin" then
      found.requests, found.began = served.requests, task.monotonic()
    elseif line:find "^end " then
      found.rate = (served.requests - found.requests) / (task.monotonic() - found.began)
      found.share = tonumber(line:match "[%d.]+")
      changing:cancel()
      found.last_change = #served.changes
      task.spawn(function()
        task.sleep(SETTLE)
        served:finish(ENDING)
      end)
    else
      error("the follower says: " .. line, 0)
    end
  end
  for chunk in child.read, child do
    found.memory = math.max(found.memory or 0, process_facts.peak_memory(child.pid))
    rest = (rest .. chunk):gsub("([^\n]*)\n", function(line)
      take(line)
      return ""
    end)
  end
  assert(child:wait().code == 0, "following failed")
  return found, told
end

-- The seconds from each change to its being told; none of a change that another one followed before that.
local function delays(changes, told)
  local waiting, seconds, next_change = {}, {}, 1
  for _, event in ipairs(told) do
    while changes[next_change] and changes[next_change].at <= event.at do
      waiting[changes[next_change].id], next_change = changes[next_change], next_change + 1
    end
    local change = waiting[event.id]
    if change and change.status == event.status then
      seconds[#seconds + 1] = event.at - change.at
      waiting[event.id] = nil
    end
  end
  return seconds
end

local function run(moonsail, environment, each)
  local served <close> = api.serve(PIPELINES, each)
  local script = ("package.path = './?.lua;' .. package.path; require 'spec.bench.follower'(%d, %d, %g)"):format(each,
    SECONDS, INTERVAL)
  local child <close> = assert(process.spawn {
    command = { moonsail, "eval", script }, environment = environment(served.url), merge = true,
  })
  local found, told = listen(child, served)
  found.delays = delays(served.changes, told)
  found.untold = #served.changes - #found.delays
  return found
end

local function percentile(values, share)
  table.sort(values)
  return values[math.max(1, math.ceil(#values * share))]
end

local function summary(rounds)
  local all, untold = {}, 0
  local function median(name)
    local values = {}
    for i, round in ipairs(rounds) do values[i] = round[name] end
    return measure.median(values)
  end
  for _, round in ipairs(rounds) do
    table.move(round.delays, 1, #round.delays, #all + 1, all)
    untold = untold + round.untold
  end
  return { share = 100 * median "share", memory = median "memory", rate = median "rate", untold = untold,
    half = percentile(all, 0.5) / INTERVAL, most = percentile(all, 0.99) / INTERVAL, count = #all }
end

local function mark(format, value, most)
  return format:format(value) .. (most and value > most and (" (at most %g: missed)"):format(most) or "")
end

---Follows 100, 500 and 2,000 executions whose statuses change.
---@async
---@param moonsail string
---@param environment fun(url: string): table<string, string>
function M.steady(moonsail, environment)
  local sizes, rounds = { 100, 500, 2000 }, {}
  for _ = 1, ROUNDS do
    for _, size in ipairs(sizes) do
      rounds[size] = rounds[size] or {}
      table.insert(rounds[size], run(moonsail, environment, size // PIPELINES))
      io.stderr:write("."):flush()
    end
  end
  io.stderr:write "\n"
  local rows = { { "executions", "of one core", "peak memory", "requests/s", "told after, median", "99 of 100",
    "changes", "untold" } }
  local rates = {}
  for _, size in ipairs(sizes) do
    local one = summary(rounds[size])
    local is_target = size == 500
    rates[#rates + 1] = one.rate
    rows[#rows + 1] = { tostring(size), mark("%.1f %%", one.share, is_target and 5),
      mark("%.1f MB", one.memory, is_target and 40), ("%.1f"):format(one.rate), ("%.2f"):format(one.half),
      mark("%.2f", one.most, is_target and 1.5), tostring(one.count), tostring(one.untold) }
  end
  measure.table(("followed at 20 pipelines, %d changes a second; times in polling intervals of %g s"):format(CHANGES,
    INTERVAL), rows)
  local growth = math.max(table.unpack(rates)) / math.min(table.unpack(rates))
  print("  requests/s of the most by the least: " .. measure.verdict(growth, "at most 1.25", growth <= 1.25))
end

-- ---- Very many, at the pace for an API on this machine.

local recipe = [[
local sail = require "moonsail"
local project = sail.project()
local followed = {}
for id = 1, 20 do
  for _, execution in ipairs(project:pipeline(id):executions { limit = %d }) do followed[#followed + 1] = execution end
end
sail.map(followed, {}, function(execution) execution:wait() end)
]]

-- Returns its peak memory, and the requests.
local function follow_once(moonsail, environment, folder, each)
  local served <close> = api.serve(PIPELINES, each)
  local child <close> = assert(process.spawn {
    command = { moonsail, "run", peers.write(folder, "follow.lua", recipe:format(each)) },
    environment = environment(served.url), merge = true,
  })
  local _ <close> = cancel_at_end(task.spawn(function()
    task.sleep(6)
    served:finish(0)
  end))
  local memory = 0
  for _ in child.read, child do memory = math.max(memory, process_facts.peak_memory(child.pid)) end
  assert(child:wait().code == 0, "following failed")
  return memory, served.requests
end

---Follows up to 10,000 executions that end at once.
---@async
---@param moonsail string
---@param environment fun(url: string): table<string, string>
---@param folder string
function M.many(moonsail, environment, folder)
  local rows = { { "executions", "pipelines", "peak memory", "requests" } }
  local most = 0
  for _, each in ipairs { 5, 50, 500 } do
    local memory, requests = follow_once(moonsail, environment, folder, each)
    most = math.max(most, memory)
    table.insert(rows, { tostring(each * PIPELINES), tostring(PIPELINES), ("%.1f MB"):format(memory),
      tostring(requests) })
  end
  measure.table("executions followed at once", rows)
  print(("  %.1f MB (less than 64%s)"):format(most, most < 64 and "" or ": missed"))
end

return M

--- Follows all that goes on at 20 pipelines, in a process of its own, and measures itself. Prints "begin" and "end"
--- around what it counts, and at last what it was told, and when.

local process_facts = require "spec.bench.process_facts"
local session = require "moonsail.client.session"
local task = require "host.task"

local PIPELINES = 20
local WARM_UP = 4 -- seconds in which it finds its pace

local function say(...)
  io.stdout:write(string.format(...), "\n")
  io.stdout:flush()
end

-- A reporter that remembers.
local function new_reporter()
  local told = {}
  local function note(_, execution)
    told[#told + 1] = { id = execution.id, status = execution.last_status, at = task.monotonic() }
  end
  return { changed = note, finished = note, told = told }
end

local function count(seconds)
  task.sleep(WARM_UP)
  local used, begun = process_facts.seconds "self", task.monotonic()
  say "begin"
  task.sleep(seconds)
  say("end %.5f", (process_facts.seconds "self" - used) / (task.monotonic() - begun))
end

---@async
---@param each integer executions of each pipeline
---@param seconds number that are counted
---@param interval number of polling, at first
return function(each, seconds, interval)
  local reporter = new_reporter()
  local following <close> = session.new { progress = reporter, timing = { poll = interval } }
  local project, followed = require("moonsail.library").new(following).project(), {}
  for id = 1, PIPELINES do
    for _, execution in ipairs(project:pipeline(id):executions { limit = each }) do
      followed[#followed + 1] = execution
    end
  end
  local counting = task.spawn(count, seconds)
  task.map(followed, {}, function(execution) execution:wait() end)
  counting:join()
  for _, event in ipairs(reporter.told) do say("told %d %s %.4f", event.id, event.status, event.at) end
end

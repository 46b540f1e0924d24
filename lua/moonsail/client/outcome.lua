--- What became of a request to run a pipeline, when it was not accepted: the error that the recipe sees.

local errors = require "moonsail.errors"
local execution = require "host.execution"
local missing = require "moonsail.client.missing"
local private = require "moonsail.client.private"
local refusal = require "moonsail.client.refusal"
local url = require "moonsail.client.url"

local M = {}

local function line(fault)
  -- `actions` is ours, so the request's own list of names lacks it.
  fault.nearest = execution.nearest(fault.path, { "actions" }) or fault.nearest
  local text = ("%s: found %s"):format(fault.path, fault.found)
  local is_long = #fault.expected > 60 -- a list of all names there are, which a near one makes needless
  if not (fault.nearest and is_long) then text = ("%s, expected %s"):format(text, fault.expected) end
  return fault.nearest and ("%s; did you mean '%s'?"):format(text, fault.nearest) or text
end

---The error for a request that is wrong in itself: every fault on a line of its own.
---@param what string such as "the request to run the pipeline build"
---@param faults host.execution.Fault[]
---@return moonsail.Error err of kind `usage`
function M.faulty(what, faults)
  local lines = {}
  for i, fault in ipairs(faults) do lines[i] = line(fault) end
  local count = #faults == 1 and "a fault" or #faults .. " faults"
  return errors.new("usage", ("%s has %s; nothing was sent"):format(what, count),
    table.concat(lines, "\n"), { faults = faults, field = faults[1].path })
end

local function refused(pipeline, outcome, context)
  local err = refusal.answer(outcome.response, context)
  if err.status ~= 404 then return err end
  return missing.explain(private[pipeline].session, private[pipeline].place(), err)
end

local function page(pipeline, base)
  local place = pipeline.project:place()
  return url.site(base) .. url.path(place.workspace, place.project, "pipelines", "pipeline", pipeline.id)
end

-- A page of HTML comes from another server, or from something on the way: that explains more than where it is no JSON.
local function reason(outcome, context)
  local response = outcome.response
  if not response or not refusal.is_html(response) then return outcome.message or "no answer came" end
  return ("%s answered with a page of HTML (%d), which is not Buddy's API; check BUDDY_API_ENDPOINT"):format(
    context.url, response.status)
end

local function uncertain(pipeline, outcome, base, context)
  local message = ("it is not known whether %s was started: %s"):format(pipeline, reason(outcome, context))
  local address = page(pipeline, base)
  return errors.new("uncertain", message, "Look at its latest executions before you start it again: " .. address,
    { status = outcome.status, code = outcome.code, url = address })
end

---The error for a request that was not accepted.
---@async
---@param pipeline moonsail.Pipeline
---@param outcome host.execution.Outcome
---@param path string where it was sent
---@return moonsail.Error err of kind `api`, `network` or `uncertain`
function M.failure(pipeline, outcome, path)
  local transport = private[pipeline].session:transport()
  local context = transport.context("POST", path)
  if outcome.outcome == "refused" then return refused(pipeline, outcome, context) end
  if outcome.outcome == "unsent" then return refusal.network(outcome.message, outcome.code, context) end
  return uncertain(pipeline, outcome, transport.endpoint.base, context)
end

return M

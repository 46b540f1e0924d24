--- What starts a pipeline by itself: its events, in whichever form the file has them, and which of them a change of a
--- ref is. Also says which of them can never happen on a machine that sees nothing but a repository and a clock.
local refs = require "moonsail.engine.refs"

local M = {}

---Events that the engine can see, when it is asked to.
M.seen = { PUSH = true, CREATE_REF = true, DELETE_REF = true, PULL_REQUEST = true, SCHEDULE = true }

---@class engine.RefChange
---@field kind engine.RefKind
---@field name string
---@field revision? string nil: the ref is gone
---@field before? string nil: the ref is new

---The events of a pipeline. Before there were events, `on` said what its refs and its schedule were for.
---@param pipeline engine.Pipeline
---@return table[]
function M.of(pipeline)
  if pipeline.on == "CLICK" then return {} end
  local list = table.move(pipeline.events, 1, #pipeline.events, 1, {})
  if pipeline.on == "EVENT" and #list == 0 then table.insert(list, { type = "PUSH", refs = pipeline.refs }) end
  if pipeline.cron or pipeline.delay then
    table.insert(list, { type = "SCHEDULE", start_date = pipeline.start_date, delay = pipeline.delay,
      cron = pipeline.cron })
  end
  return list
end

local function covers(patterns, change)
  for _, pattern in ipairs(patterns) do
    if refs.covers(pattern, change.kind, change.name) then return true end
  end
  return false
end

-- Git does not say into which branch a pull request is to go.
local function any_branch(branches)
  if not branches or #branches == 0 then return true end
  for _, pattern in ipairs(branches) do
    if pattern == "*" or pattern == "refs/heads/*" then return true end
  end
  return false
end

local function names_step(event, step)
  if not event.events or #event.events == 0 then return true end
  for _, name in ipairs(event.events) do
    if name:lower() == step then return true end
  end
  return false
end

-- Whoever makes a branch by a push has pushed to it, too.
local MEETS = {
  PUSH = function(event, change) return change.revision and covers(event.refs, change) end,
  CREATE_REF = function(event, change) return change.revision and not change.before and covers(event.refs, change) end,
  DELETE_REF = function(event, change) return not change.revision and covers(event.refs, change) end,
  PULL_REQUEST = function(event, change)
    return change.kind == "pull_request" and change.revision and any_branch(event.branches)
      and names_step(event, change.before and "synchronize" or "opened")
  end,
}

---Whether a change of a ref starts a pipeline.
---@param pipeline engine.Pipeline as the change's revision defines it; of what is deleted, as the default branch does
---@param change engine.RefChange
---@return boolean
function M.met(pipeline, change)
  if pipeline.disabled then return false end
  for _, event in ipairs(M.of(pipeline)) do
    local meets = MEETS[event.type]
    if meets and meets(event, change) then return true end
  end
  return false
end

-- Why an event never happens here; nil when it can.
local function hindrance(event)
  if not M.seen[event.type] then return event.type end
  if event.type ~= "PULL_REQUEST" then return nil end
  if not any_branch(event.branches) then return "PULL_REQUEST with branches" end
  if not (names_step(event, "opened") or names_step(event, "synchronize")) then
    return "PULL_REQUEST " .. table.concat(event.events, ", ")
  end
end

---What people may expect of a pipeline's events in vain.
---@param pipeline engine.Pipeline
---@param watching boolean whether the engine looks for events at all
---@return string[] sentences
function M.notices(pipeline, watching)
  local never, needy = {}, {}
  for _, event in ipairs(M.of(pipeline)) do
    local reason = hindrance(event)
    if reason then
      table.insert(never, reason)
    elseif not watching then
      table.insert(needy, event.type)
    end
  end
  local notices = {}
  if #needy > 0 then
    table.insert(notices, ("%s: only --events lets %s start it"):format(pipeline.identifier,
      table.concat(needy, ", ")))
  end
  if #never > 0 then
    table.insert(notices, ("%s: %s never happens here; start it by hand"):format(pipeline.identifier,
      table.concat(never, ", ")))
  end
  return notices
end

return M

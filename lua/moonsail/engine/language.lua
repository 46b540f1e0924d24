--- The language of buddy.yml as the engine speaks it: every key with its reader. A key that is missing here, or that is
--- refused here with its reason, is a fault of the file. `moonsail engine coverage` prints these tables.
local action_types = require "moonsail.engine.action"
local condition = require "moonsail.engine.condition"
local json = require "host.json"
local refs = require "moonsail.engine.refs"
local schedule = require "moonsail.engine.schedule"
local shape = require "moonsail.engine.shape"

local M = {}

local YES_NO = { shape.boolean, default = false }

local function empty() return json.list {} end

-- ---- Variables.

local variable_key = shape.reader("a name: letters, digits and _", function(check, node, path)
  if node.text and node.text:find "^[%a_][%w_]*$" then return node.text end
  check:fault(node, path, "a variable's name consists of letters, digits and _, and does not start with a digit")
end)

-- One of Buddy's samples says "disabled".
local settable = shape.reader("true or false", function(check, node, path)
  if node.text == "disabled" then return false end
  return shape.boolean(check, node, path)
end)

local NOT_A_FILE = shape.refused "variables are texts here, not files"

M.variable = {
  key = { variable_key, required = true },
  value = { shape.text, required = true },
  type = { shape.one_of { "VAR" }, default = "VAR" },
  description = shape.text,
  encrypted = shape.boolean,
  settable = settable,
  run_only_settable = shape.boolean,
  file_place = NOT_A_FILE,
  file_path = NOT_A_FILE,
  file_chmod = NOT_A_FILE,
}

local read_variable = shape.map(M.variable)

local variable = shape.reader("variables", function(check, node, path)
  local value = read_variable(check, node, path)
  if value and value.encrypted and value.value and value.value:find "^secure!" then
    check:fault(node, path, "only Buddy itself can decrypt this value; pass it with the request")
  end
  return value
end)

-- ---- Refs and events.

local ref = shape.reader("a ref, a pattern with *, or a regular expression in ( )", function(check, node, path)
  local text = shape.name(check, node, path)
  local ok, problem = refs.check(text or "")
  if not ok then check:fault(node, path, problem) end
  return text
end)

local REFS = { refs = { shape.list_of(ref, 1), required = true } }

local PACKAGES = { packages = shape.list_of(shape.text) }

---Keys of events by type. Which of them start something: see trigger.lua.
M.events = {
  PUSH = REFS,
  CREATE_REF = REFS,
  DELETE_REF = REFS,
  PULL_REQUEST = { events = shape.list_of(shape.name), branches = shape.list_of(ref) },
  SCHEDULE = schedule.keys,
  PUBLISH_PACKAGE = PACKAGES,
  DELETE_PACKAGE = PACKAGES,
  WEBHOOK = { totp = shape.boolean },
  EMAIL = { prefix = shape.text, whitelist = shape.list_of(shape.text) },
}

local read_event = shape.variant("type", { type = { shape.name, required = true } }, M.events,
  "the engine knows no event %q; it knows %s")

local event = shape.reader("events", function(check, node, path)
  local value = read_event(check, node, path)
  local fault = value and value.type == "SCHEDULE" and schedule.fault(value)
  if fault then check:fault(node, path, fault) end
  return value
end)

-- ---- Actions.

local action_conditions, action_condition_keys = condition.reader(true)
local pipeline_conditions = condition.reader(false)

---Keys of conditions by kind.
M.conditions = action_condition_keys

---When an action's turn is.
M.trigger_times = { "ON_EVERY_EXECUTION", "ON_SUCCESS", "ON_FAILURE", "ON_BACK_TO_SUCCESS", "ON_WARNING",
  "ON_WAIT_FOR_APPROVE", "ON_TERMINATE" }

-- Buddy's page has the default's name wrong. Soft and hard differ in what they do without a free runner, and here
-- there always is one.
local RUN_NEXT = shape.one_of({ "WAIT_ON_SUCCESS", "IN_SOFT_PARALLEL", "IN_HARD_PARALLEL" },
  { ON_EVERY_EXECUTION = "WAIT_ON_SUCCESS" })

---Keys of every action.
M.action = {
  action = { shape.name, required = true },
  type = { shape.name, required = true },
  trigger_time = { shape.one_of(M.trigger_times), default = "ON_EVERY_EXECUTION" },
  trigger_conditions = { action_conditions, default = empty() },
  variables = { shape.list_of(variable), default = empty() },
  timeout = shape.integer(1, 7 * 24 * 3600),
  disabled = YES_NO,
  ignore_errors = YES_NO,
  retry_count = { shape.integer(0, 1000), default = 0 },
  retry_interval = { shape.integer(0, 24 * 3600), default = 0 },
  run_next = { RUN_NEXT, default = "WAIT_ON_SUCCESS" },
  run_next_parallel = shape.boolean,
  run_only_on_first_failure = YES_NO,
  loop = shape.refused "an action runs once; write one action for each value",
}

---The types of action, each with its keys.
M.action_types = {}
for name, kind in pairs(action_types) do M.action_types[name] = kind.keys end

local read_action = shape.variant("type", M.action, M.action_types,
  "the engine cannot run actions of type %q; it runs %s")

local action = shape.reader("actions", function(check, node, path)
  local value = read_action(check, node, path)
  if not value then return nil end
  if value.run_only_on_first_failure and value.trigger_time ~= "ON_FAILURE" then
    check:fault(node, path .. ".run_only_on_first_failure", "goes with trigger_time ON_FAILURE only")
  end
  local kind = action_types[value.type]
  if kind and kind.settle then kind.settle(check, node, path, value) end
  if value.run_next_parallel then value.run_next = "IN_SOFT_PARALLEL" end
  value.name, value.action, value.run_next_parallel = value.action, nil, nil
  return value
end)

-- ---- Pipelines.

local REMOTE = shape.refused "the definition is the repository's own"

---Keys of a pipeline.
M.pipeline = {
  pipeline = { shape.name, required = true },
  name = shape.name,
  on = shape.one_of({ "CLICK", "EVENT", "SCHEDULE" }),
  refs = { shape.list_of(ref), default = empty() },
  events = { shape.list_of(event), default = empty() },
  priority = { shape.one_of { "LOW", "NORMAL", "HIGH" }, default = "NORMAL" },
  variables = { shape.list_of(variable), default = empty() },
  trigger_conditions = { pipeline_conditions, default = empty() },
  actions = { shape.list_of(action, 1), required = true },
  description_required = YES_NO,
  disabled = YES_NO,
  disabled_reason = shape.text,
  concurrent_pipeline_runs = YES_NO,
  always_from_scratch = YES_NO,
  auto_clear_cache = YES_NO,
  execution_message_template = shape.text,
  target_site_url = shape.text,
  folder = shape.text,
  -- Before API v1.1.0.
  trigger_mode = shape.one_of({ "CLICK", "EVENT", "SCHEDULE" },
    { MANUAL = "CLICK", ON_EVERY_PUSH = "EVENT", SCHEDULED = "SCHEDULE" }),
  ref_name = ref,
  ref_type = shape.one_of { "BRANCH", "TAG", "PULL_REQUEST", "WILDCARD" },
  start_date = schedule.keys.start_date,
  delay = schedule.keys.delay,
  cron = schedule.keys.cron,
  timezone = schedule.keys.timezone,
  pause_on_repeated_failures = shape.integer(1, 100),
  -- What they ask for is so in any case: each execution runs, nobody else sees a status.
  no_skip_to_most_recent = YES_NO,
  do_not_create_commit_status = shape.boolean,
  ignore_fail_on_project_status = shape.boolean,
  fail_on_prepare_env_warning = shape.boolean,
  -- Of these the engine has one choice.
  git_changeset_base = { shape.one_of { "LATEST_RUN" }, default = "LATEST_RUN" },
  change_set_base = shape.one_of { "LATEST_RUN" },
  filesystem_changeset_base = { shape.one_of { "DATE_MODIFIED" }, default = "DATE_MODIFIED" },
  cache_scope = { shape.one_of { "PIPELINE" }, default = "PIPELINE" },
  definition_source = { shape.one_of { "LOCAL" }, default = "LOCAL" },
  git_config_ref = { shape.one_of { "NONE" }, default = "NONE" },
  -- What it cannot do.
  git_config = REMOTE,
  remote_project_name = REMOTE,
  remote_branch = REMOTE,
  remote_path = REMOTE,
  remote_parameters = REMOTE,
  fetch_all_refs = shape.refused "a checkout holds files only, without git's history",
  strict_context = shape.refused "its meaning is not documented",
  permissions = shape.refused "whoever has a token of the engine may do everything",
  loop = shape.refused "a request starts one execution; write one pipeline for each value",
}

local read_pipeline = shape.map(M.pipeline)

local PREFIXES = { BRANCH = "refs/heads/", TAG = "refs/tags/", PULL_REQUEST = "refs/", WILDCARD = "" }

-- The older way to say one ref.
local function old_ref(value)
  local name = value.ref_name
  if not name or name:find "^refs/" or refs.is_expression(name) then return name end
  return PREFIXES[value.ref_type or "WILDCARD"] .. name
end

-- A pipeline that only names the refs of its events runs on those by hand, too.
local function refs_of_events(events)
  local list, known = empty(), {}
  for _, item in ipairs(events) do
    for _, name in ipairs(item.refs or {}) do
      if not known[name] then table.insert(list, name) end
      known[name] = true
    end
  end
  return list
end

local function settle(value)
  value.on = value.on or value.trigger_mode or (#value.events > 0 and "EVENT" or "CLICK")
  if #value.refs == 0 then value.refs = json.list { old_ref(value) } end
  if #value.refs == 0 then value.refs = refs_of_events(value.events) end
  value.trigger_mode, value.ref_name, value.ref_type = nil, nil, nil
end

-- The older way to say one schedule.
local function check_schedule(check, node, path, value)
  local wants_one = value.start_date or value.delay or value.cron
    or (value.on or value.trigger_mode) == "SCHEDULE" and value.events and #value.events == 0
  local fault = wants_one and schedule.fault(value)
  if fault then check:fault(node, path, fault) end
end

---A reader of one pipeline.
function M.read_pipeline(check, node, path)
  local value = read_pipeline(check, node, path)
  if not value then return nil end
  value.identifier, value.pipeline = value.pipeline, nil
  value.name = value.name or value.identifier
  check_schedule(check, node, path, value)
  if #check.faults == 0 then settle(value) end
  return value
end

return M

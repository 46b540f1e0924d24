--- Actions that wait for people: what they ask for, and how an answer lets them go on. While one waits, its execution
--- has the status of the first that does, and does not count among those that run.
local command = require "moonsail.engine.command"
local json = require "host.json"
local mask = require "moonsail.engine.mask"
local shape = require "moonsail.engine.shape"
local task = require "host.task"

local M = {}

-- What an action is in, by the operation that it waits for.
local STATUSES = {
  APPLY = "WAITING_FOR_APPLY",
  APPLY_VARIABLES = "WAITING_FOR_VARIABLES",
  SET_VARIABLES = "WAITING_FOR_SETTABLE_VARIABLES",
}

---@class engine.Question a variable that an action asks for
---@field key string
---@field encrypted? boolean
---@field default? string
---@field options? string[] the value must be one of these

---@class engine.Wait
---@field operation "APPLY"|"APPLY_VARIABLES"|"SET_VARIABLES" what it waits for
---@field context engine.Context of the action
---@field questions engine.Question[]
---@field answer? engine.Variable[]
---@field answered host.Event

-- ---- What buddy.yml says.

M.PERMISSIONS = shape.refused "whoever has a token of the engine may answer"

local key = shape.reader("a name: letters, digits and _", function(check, node, path)
  local text = shape.name(check, node, path)
  if not text or text:find "^[%a_][%w_]*$" then return text end
  check:fault(node, path, "a variable's name consists of letters, digits and _, and does not start with a digit")
end)

local inner_path = shape.reader("a path in the checkout", function(check, node, path)
  local text = shape.name(check, node, path)
  if not text or not ("/" .. text .. "/"):find("/../", 1, true) then return text end
  check:fault(node, path, "must not lead out of the checkout")
end)

---The key `variables` of those that ask for some.
M.VARIABLES = {
  shape.list_of(shape.reader("variables: key, type, defaults, encrypted, init_path, description", shape.map {
    key = { key, required = true },
    type = { shape.one_of { "VAR" }, default = "VAR" },
    defaults = shape.text,
    encrypted = shape.boolean,
    init_path = inner_path,
    description = shape.text,
  }), 1),
  required = true,
}

-- ---- Questions.

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\r\n%z]+" do table.insert(lines, line) end
  return lines
end

-- Reads as the commands of actions do: a link shows no more than they see, and a pipe holds nobody up.
local READ = [=[[ -f "$1" ] && exec head -c 65536 -- "$1" >&2]=]

local function read(context, path)
  local pieces = {}
  local status = command.run(context, { command = { "sh", "-c", READ, "sh", "./" .. path },
    on_report = function(chunk) table.insert(pieces, chunk) end })
  return status == "SUCCESSFUL" and table.concat(pieces) or nil
end

-- The first line is the default, and several are a choice.
local function question(variable, text)
  local lines = lines_of(text or "")
  return { key = variable.key, encrypted = variable.encrypted, default = lines[1], options = lines[2] and lines or nil }
end

---What an action asks for: the variables of its definition. Values to choose from may be in a file of the checkout.
---@async
---@param context engine.Context
---@return engine.Question[]? questions
---@return string? message
function M.questions(context)
  local questions = {}
  for index, variable in ipairs(context.action.variables) do
    local text = variable.defaults
    if variable.init_path then
      local folder, message = context:checkout()
      if not folder then return nil, message end
      text = read(context, variable.init_path)
      if not text then return nil, ("cannot read %s, which the values of %s are in"):format(variable.init_path,
        variable.key) end
    end
    questions[index] = question(variable, text)
  end
  return questions
end

-- ---- Waiting.

-- Shows by the status of the execution whether an action waits.
local function show(job)
  local e, first = job.execution, job.waits[1]
  local status = first and STATUSES[first.operation] or "INPROGRESS"
  if e.status ~= "TERMINATING" and e.status ~= status then job.book:change(e, status) end
end

local function leave(wait)
  local job = wait.context.job
  for index, other in ipairs(job.waits) do
    if other == wait then
      table.remove(job.waits, index)
      return show(job)
    end
  end
end

local function until_answered(wait)
  local context, cancelled = wait.context, false
  task.race {
    function() return wait.answer or wait.answered:wait() end,
    function() cancelled = context:wait(context.action.timeout) end,
  }
  if wait.answer then return "SUCCESSFUL" end
  if cancelled then return "TERMINATED" end
  return "FAILED", ("nobody answered within %d s"):format(context.action.timeout)
end

---Waits for an operation. Actions with the trigger time ON_WAIT_FOR_APPROVE run meanwhile.
---@async
---@param context engine.Context
---@param operation "APPLY"|"APPLY_VARIABLES"|"SET_VARIABLES"
---@param questions engine.Question[]
---@return "SUCCESSFUL"|"TERMINATED"|"FAILED" status
---@return string? message
function M.await(context, operation, questions)
  local job = context.job
  local wait = setmetatable({ operation = operation, context = context, questions = questions,
    answered = task.event() }, { __close = leave })
  table.insert(job.waits, wait)
  local _ <close> = wait
  local _ <close> = job.dispatcher.queue:park(job)
  if context.action.comment then context.log:note(context:expand(context.action.comment)) end
  context.log:note("Waiting for " .. operation)
  job.book:await_action(context.row, STATUSES[operation])
  show(job)
  local notices = task.spawn(job.run_phase, job, "ON_WAIT_FOR_APPROVE")
  local status, message = until_answered(wait)
  notices:join()
  return status, message
end

-- ---- Answers.

local function position_of(list, value)
  for index, item in ipairs(list) do
    if item == value then return index end
  end
end

local function check_options(faults, asked, value)
  if not asked.options or position_of(asked.options, value) then return end
  table.insert(faults, ("variables: %s cannot be %q, only one of: %s"):format(asked.key,
    asked.encrypted and mask.MASK or value, table.concat(asked.options, ", ")))
end

local function keys_of(questions)
  local keys = {}
  for index, asked in ipairs(questions) do keys[index] = asked.key end
  return table.concat(keys, ", ")
end

---The values that an answer comes to, defaults included; adds to `faults` what is wrong with it.
---@param wait engine.Wait
---@param given engine.Variable[]
---@param faults string[]
---@return engine.Variable[] values in the order of the questions
function M.values(wait, given, faults)
  local by_key, asked_for, values, name = {}, {}, {}, wait.context.action.name
  for _, item in ipairs(given) do by_key[item.key] = item end
  for index, asked in ipairs(wait.questions) do
    local found = by_key[asked.key]
    asked_for[asked.key] = true
    if found then check_options(faults, asked, found.value) end
    local value = found and found.value or asked.default
    if not value then table.insert(faults, ("variables: action %q asks for %s"):format(name, asked.key)) end
    values[index] = { key = asked.key, value = value,
      encrypted = asked.encrypted or found and found.encrypted or false }
  end
  for _, item in ipairs(given) do
    if not asked_for[item.key] then
      table.insert(faults, ("variables: action %q does not ask for %q, only for %s"):format(name, item.key,
        keys_of(wait.questions)))
    end
  end
  return values
end

local function encode(variables)
  local list = json.list {}
  for index, variable in ipairs(variables) do
    list[index] = { key = variable.key, value = variable.encrypted and mask.MASK or variable.value }
  end
  return json.encode(list)
end

local function describe(member, urls)
  return {
    { key = "BUDDY_APPROVING_ACTOR_ID", value = tostring(member.id) },
    { key = "BUDDY_APPROVING_ACTOR_NAME", value = member.name },
    { key = "BUDDY_APPROVING_ACTOR_EMAIL", value = member.email },
    { key = "BUDDY_APPROVING_ACTOR_URL", value = urls:member_web(member.id) },
  }
end

-- Settable variables are changed for good; all others are for the rest of the execution.
local function hand_on(wait, values)
  local context = wait.context
  if wait.operation ~= "SET_VARIABLES" then
    return table.move(values, 1, #values, #context.job.passed + 1, context.job.passed)
  end
  local exported = {}
  for _, variable in ipairs(values) do exported[variable.key] = variable.value end
  context:exported(exported)
end

---Lets an action go on.
---@param wait engine.Wait
---@param member engine.catalog.Member who answers
---@param values engine.Variable[] see M.values
function M.answer(wait, member, values)
  local context = wait.context
  local job, log = context.job, context.log
  hand_on(wait, values)
  job.approver = member
  job.book:approve_action(context.row, member.id, encode(values), encode(describe(member, job.urls)))
  log:note(("%s by %s"):format(wait.operation, member.name))
  for _, variable in ipairs(values) do
    log:note(("%s=%s"):format(variable.key, variable.encrypted and mask.MASK or variable.value))
  end
  wait.answer = values
  leave(wait)
  wait.answered:notify()
end

return M

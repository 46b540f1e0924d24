--- The faults that an engine can be asked for: their names, what they do, their options, and how they are written, as
--- in "cut_answer;k=17". Everything that is told of them is made from this table.
local M = {}

local function read_count(text)
  local number = math.tointeger(tonumber(text))
  return number and number >= 0 and number or nil
end

local function read_pieces(text)
  local number = read_count(text)
  return number and number > 0 and number or nil
end

local function read_seconds(text)
  local number = tonumber(text)
  return number and number > 0 and number < math.huge and number or nil
end

local function read_error(text)
  local number = math.tointeger(tonumber(text))
  return number and number >= 500 and number <= 599 and number or nil
end

local function read_status(text)
  return text:match "^[%u_]+$"
end

local function read_end(text)
  return (text == "close" or text == "reset") and text or nil
end

local K = { read = read_count, takes = "bytes", default = "somewhere" }

local function seconds(default)
  return { read = read_seconds, takes = "seconds", default = default }
end

local ERROR = { read = read_error, takes = "500 to 599", default = 500 }

local function is_get(method, path, pattern)
  return method == "GET" and path:find(pattern) ~= nil
end

local function is_execution(method, path)
  return is_get(method, path, "/executions/%d+$")
end

local function is_list(method, path)
  return is_get(method, path, "/executions$")
end

---@class engine.FaultKind
---@field name string
---@field at "port"|"bytes"|"answer" where it happens: before a request, on its way, or in the engine's answer
---@field help string
---@field options? table<string, { read: fun(text: string): any, takes: string, default: any }>
---@field applies? fun(method: string, path: string): boolean to which requests; default: to all

---@type engine.FaultKind[]
M.kinds = {
  { name = "connection_refused", at = "port", options = { seconds = seconds(1) },
    help = "from now on nobody listens for some seconds; kept connections end" },
  { name = "reset_request", at = "bytes", options = { k = K },
    help = "the engine gets k bytes of the request, but never all, and the connection is reset" },
  { name = "lost_before_commit", at = "bytes",
    help = "the request is read whole, the engine never gets it, and the connection is reset" },
  { name = "lost_after_commit", at = "bytes",
    help = "the engine does what is asked, its answer is lost, and the connection is reset" },
  { name = "cut_answer", at = "bytes",
    options = { k = K, ["end"] = { read = read_end, takes = "close, reset", default = "close" } },
    help = "the engine does what is asked, and the connection ends after k bytes of its answer" },
  { name = "drip", at = "bytes",
    options = { seconds = seconds(5), pieces = { read = read_pieces, takes = "a number", default = 10 } },
    help = "the answer comes in pieces over some seconds" },
  { name = "rate_limit", at = "answer", options = { seconds = seconds(2) },
    help = "429, with X-Rate-Limit-Reset and Retry-After in some seconds" },
  { name = "rate_limit_silent", at = "answer", help = "429 that does not say for how long" },
  { name = "rate_limit_403", at = "answer", options = { seconds = seconds(2) },
    help = "403 with the words of 2022, and X-Rate-Limit-Reset in some seconds" },
  { name = "error_before_commit", at = "answer", options = { status = ERROR },
    help = "500, and nothing has been done" },
  { name = "error_after_commit", at = "answer", options = { status = ERROR },
    help = "500, although it has been done" },
  { name = "stale_list", at = "answer", options = { seconds = seconds(3) }, applies = is_list,
    help = "a list of executions without those of the last seconds" },
  { name = "unknown_status", at = "answer", applies = is_execution,
    options = { status = { read = read_status, takes = "A_WORD", default = "HIBERNATING" } },
    help = "an execution with a status that nobody has seen before" },
  { name = "vanish", at = "answer", applies = is_execution,
    help = "the execution that is asked for is gone: 404 from now on, and in no list" },
}

---@type table<string, engine.FaultKind>
M.by_name = {}
for _, kind in ipairs(M.kinds) do M.by_name[kind.name] = kind end

---@return string names all of them, with commas
function M.names()
  local names = {}
  for index, kind in ipairs(M.kinds) do names[index] = kind.name end
  return table.concat(names, ", ")
end

local function option_names(kind)
  local names = {}
  for name in pairs(kind.options or {}) do table.insert(names, name) end
  table.sort(names)
  return names
end

---@class engine.Fault one that is to happen to a request
---@field name string
---@field text string as it is written
---@field somewhere number at least 0 and below 1: where, when `k` does not say
---@field k? integer
---@field seconds? number
---@field pieces? integer
---@field end? "close"|"reset"
---@field status? integer|string

-- Sets an option of the fault, or returns what is wrong.
local function set_option(fault, kind, part)
  local name, value = part:match "^%s*([%w_]+)%s*=%s*(.-)%s*$"
  local option = name and kind.options and kind.options[name]
  if not option then
    local known = option_names(kind)
    return ("the fault %s has no option %q; it has %s"):format(kind.name, part,
      known[1] and table.concat(known, ", ") or "none")
  end
  fault[name] = option.read(value)
  if fault[name] == nil then
    return ("the fault %s has %s=%s; it takes %s"):format(kind.name, name, value, option.takes)
  end
end

---Reads "NAME[;OPTION=VALUE...]".
---@param text string
---@return engine.Fault?
---@return string? message names what is known
function M.parse(text)
  local head, rest = text:match "^([^;]*)(.*)$"
  local name = head:match "^%s*(.-)%s*$"
  local kind = M.by_name[name]
  if not kind then return nil, ("there is no fault %q; there are %s"):format(name, M.names()) end
  local fault = { name = name, text = text, somewhere = 0.5 }
  for option, value in pairs(kind.options or {}) do
    if value ~= K then fault[option] = value.default end
  end
  for part in rest:gmatch "[^;]+" do
    local message = set_option(fault, kind, part)
    if message then return nil, message end
  end
  return fault
end

local function describe(kind)
  local lines = { ("  %-20s %s"):format(kind.name, kind.help) }
  for _, name in ipairs(option_names(kind)) do
    local option = kind.options[name]
    table.insert(lines, ("  %-20s   %s=%s, default %s"):format("", name, option.takes, option.default))
  end
  return table.concat(lines, "\n")
end

---@return string text all of them, for people, without a final line break
function M.describe()
  local lines = {}
  for index, kind in ipairs(M.kinds) do lines[index] = describe(kind) end
  return table.concat(lines, "\n")
end

return M

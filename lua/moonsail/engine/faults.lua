--- Which fault happens to which request: the one that its header X-Moonsail-Fault asks for, else the next one that a
--- spec has asked for, else one that is drawn by a seeded generator. Everything is counted here.
local fault = require "moonsail.engine.fault"
local random = require "moonsail.engine.random"
local task = require "host.task"

local M = {}

---@class engine.Faults
---@field counts table<string, integer> how often each fault has happened, by its name
---@field requests integer that have come
---@field early integer requests that came before the time that a rate limit had told
---@field beyond integer requests that the engine's own rate limit has refused
---@field vanished table<string, true> paths of executions that are gone
local Faults = {}
Faults.__index = Faults

---@class engine.FaultFilter which requests a fault is for
---@field method? string
---@field path? string a part of it
---@field times? integer default 1

local function must_parse(text, level)
  local parsed, message = fault.parse(text)
  if not parsed then error(message, level + 1) end
  return parsed
end

local function zero_counts()
  local counts = {}
  for _, kind in ipairs(fault.kinds) do counts[kind.name] = 0 end
  return counts
end

---@param spec true|string true or "header": only what is asked for; else "SHARE[;seed=N][;only=NAME,NAME...]"
---@return engine.Faults?
---@return string? message
function M.new(spec)
  local self = setmetatable({ counts = zero_counts(), requests = 0, early = 0, beyond = 0, armed = {}, hints = {},
    vanished = {} }, Faults)
  if spec == true or spec == "header" then return self end
  local share, rest = spec:match "^%s*([%d.]+)%s*(.*)$"
  share = tonumber(share)
  if not share then return nil, ("faults are asked for as %q, expected a share such as 0.3, or header"):format(spec) end
  local seed, names = tonumber(rest:match ";%s*seed=(%d+)"), nil
  local only = rest:match ";%s*only=([%w_,]+)"
  if only then
    names = {}
    for name in only:gmatch "[^,]+" do table.insert(names, name) end
  end
  if rest:gsub(";%s*seed=%d+", "", 1):gsub(";%s*only=[%w_,]+", "", 1):find "%S" then
    return nil, ("faults are asked for as %q, expected SHARE[;seed=N][;only=NAME,NAME...]"):format(spec)
  end
  local ok, message = pcall(self.rate, self, share, seed or 1, names)
  if not ok then return nil, message end
  return self
end

---Asks for a fault of the next request that it fits, or of the next `times` ones. One of the port begins at once.
---@param text string such as "cut_answer;k=17"
---@param filter? engine.FaultFilter
function Faults:next(text, filter)
  local wanted = must_parse(text, 2)
  filter = filter or {}
  if fault.by_name[wanted.name].at == "port" then return self:close_port(wanted) end
  table.insert(self.armed, { fault = wanted, method = filter.method, path = filter.path, left = filter.times or 1 })
end

---From now on this share of the requests gets a fault, each kind as often as the others among those that fit the
---request. The same seed gives the same faults to the same requests in the same order.
---@param share number from 0 to 1
---@param seed? integer default 1
---@param names? string[] of the faults; default: all but `vanish`, which leaves nothing to ask for
function Faults:rate(share, seed, names)
  if type(share) ~= "number" or not (share >= 0 and share <= 1) then
    error(("the share of faults is %s, expected a number from 0 to 1"):format(share), 2)
  end
  local kinds = {}
  for _, name in ipairs(names or {}) do
    table.insert(kinds, fault.by_name[must_parse(name, 2).name])
  end
  for _, kind in ipairs(names and {} or fault.kinds) do
    if kind.name ~= "vanish" then table.insert(kinds, kind) end
  end
  self.share, self.kinds, self.random = share, kinds, random(seed or 1)
  self:draw()
end

-- The numbers that decide on the next request. A fault of the port has to happen before it.
function Faults:draw()
  local draw = { hit = self.random() < self.share, which = self.random(), somewhere = self.random() }
  local kind = draw.hit and self.kinds[math.floor(self.random() * #self.kinds) + 1]
  if kind and kind.at == "port" then
    draw.hit = false
    self:close_port(must_parse(kind.name, 1))
  end
  self.drawn = draw
end

function Faults:close_port(wanted)
  self.counts[wanted.name] = self.counts[wanted.name] + 1
  if self.refuse then self.refuse(wanted.seconds) else self.waiting = wanted.seconds end
end

---There is a port now, which this function closes for some seconds.
---@param refuse fun(seconds: number)
function Faults:open_port(refuse)
  self.refuse = refuse
  if self.waiting then refuse(self.waiting) end
end

-- What the last draw means for this request.
function Faults:take_drawn(request)
  local drawn, fitting = self.drawn, {}
  if not drawn then return nil end
  self:draw()
  for _, kind in ipairs(drawn.hit and self.kinds or {}) do
    if kind.at ~= "port" and (not kind.applies or kind.applies(request.method, request.path)) then
      table.insert(fitting, kind)
    end
  end
  if not fitting[1] then return nil end
  local chosen = must_parse(fitting[math.floor(drawn.which * #fitting) + 1].name, 1)
  chosen.somewhere = drawn.somewhere
  return chosen
end

function Faults:take_armed(request)
  for index, entry in ipairs(self.armed) do
    if (not entry.method or entry.method == request.method)
      and (not entry.path or request.path:find(entry.path, 1, true)) then
      entry.left = entry.left - 1
      if entry.left <= 0 then table.remove(self.armed, index) end
      return entry.fault
    end
  end
end

function Faults:note_early(token)
  local hint = self.hints[token]
  local now = task.monotonic()
  if hint and now > hint.since and now < hint.till then self.early = self.early + 1 end
end

---A token is told to wait; what was sent at this very moment could not know of it.
---@param token string
---@param seconds number
function Faults:hint(token, seconds)
  local now = task.monotonic()
  self.hints[token] = { since = now, till = now + seconds }
end

---What happens to a request, which is counted.
---@param request engine.GateRequest
---@return engine.Fault?
function Faults:choose(request)
  self.requests = self.requests + 1
  self:note_early(request.token)
  local drawn = self:take_drawn(request)
  local chosen
  if request.fault then
    chosen = fault.parse(request.fault) -- one that is wrong the engine refuses
  else
    chosen = self:take_armed(request) or drawn
  end
  if not chosen then return nil end
  if fault.by_name[chosen.name].at == "port" then
    self:close_port(chosen)
    return nil
  end
  self.counts[chosen.name] = self.counts[chosen.name] + 1
  return chosen
end

return M

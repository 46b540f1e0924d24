--- The gate: a proxy in front of the engine's server, which sees each byte and spoils what faults.lua says. There is
--- one only when faults are asked for.
---
--- It takes requests as ordinary clients frame them: HTTP/1.1 with a Content-Length, one after another on a kept
--- connection. Each goes to the engine over a connection of its own, as it came.
local exchange = require "moonsail.engine.exchange"
local socket = require "host.socket"
local task = require "host.task"

local M = {}

---@class engine.Gate
---@field port integer
local Gate = {}
Gate.__index = Gate

-- ---- The port: whether anybody listens.

-- Nobody listens until this many seconds from now. Connections that wait for a request end, the others after theirs.
function Gate:refuse(seconds)
  self.back_at = math.max(self.back_at or 0, task.monotonic() + seconds)
  self.listener:pause()
  for client in pairs(self.idle) do client:close() end
  self.idle = {}
  self.refused:notify()
end

function Gate:mind_port()
  while true do
    local left = self.back_at and self.back_at - task.monotonic()
    if not left then
      self.refused:wait()
    elseif left > 0 then
      task.sleep(left)
    else
      self.back_at = nil
      assert(self.listener:resume())
    end
  end
end

-- ---- One request. These return whether the connection can be used for another one.

-- The engine's whole answer to a whole request; nil when there is none.
function Gate:perform(request)
  local upstream <close> = socket.connect { host = self.upstream.address, port = self.upstream.port }
  if not upstream then return nil end
  request:send(upstream)
  return exchange.answer(upstream, request)
end

function Gate:pass(client, request)
  local answer = self:perform(request)
  if not answer then return client:reset() end
  return client:write(answer.text) and request.is_whole and not request.closes and not answer.closes
end

local acts = {}

function acts.reset_request(self, client, request, wanted)
  local k = math.min(wanted.k or math.floor(wanted.somewhere * request.length), request.length - 1)
  local upstream <close> = socket.connect { host = self.upstream.address, port = self.upstream.port }
  if upstream then
    request:send(upstream, k)
    upstream:reset()
  end
  client:reset()
end

function acts.lost_before_commit(_, client, request)
  request:send(nil)
  client:reset()
end

function acts.lost_after_commit(self, client, request)
  self:perform(request)
  client:reset()
end

function acts.cut_answer(self, client, request, wanted)
  local answer = self:perform(request)
  local text = answer and answer.text or ""
  local k = math.min(wanted.k or math.floor(wanted.somewhere * #text), #text - 1)
  if k > 0 then client:write(text:sub(1, k)) end
  if wanted["end"] == "reset" then client:reset() end
end

function acts.drip(self, client, request, wanted)
  local answer = self:perform(request)
  if not answer then return client:reset() end
  local text, sent = answer.text, 0
  for piece = 1, wanted.pieces do
    task.sleep(wanted.seconds / wanted.pieces)
    local till = #text * piece // wanted.pieces
    if till > sent and not client:write(text:sub(sent + 1, till)) then return false end
    sent = till
  end
  return request.is_whole and not request.closes and not answer.closes
end

function Gate:answer(client, request)
  local wanted = self.faults:choose(request)
  local act = wanted and acts[wanted.name]
  if act then return act(self, client, request, wanted) end
  if wanted then request:mark(wanted.text) end
  return self:pass(client, request)
end

-- ---- Connections.

function Gate:next_request(client, reader)
  self.idle[client] = true
  local request, problem = exchange.request(reader)
  if problem and self.idle[client] then client:write(problem) end
  self.idle[client] = nil
  return request
end

function Gate:serve(client)
  local reader = exchange.reader(client)
  repeat
    local request = self:next_request(client, reader)
  until not request or not self:answer(client, request) or self.back_at
end

---Listens in front of a server of this process.
---@param options { address: string, port: integer, upstream: host.Server, faults: engine.Faults,
---  report: fun(line: string) }
---@return engine.Gate?
---@return string? message
---@return string? code
function M.open(options)
  local self = setmetatable({ upstream = options.upstream, faults = options.faults, idle = {},
    refused = task.event() }, Gate)
  local message, code
  self.listener, message, code = socket.listen({ address = options.address, port = options.port,
    on_error = options.report }, function(client) self:serve(client) end)
  if not self.listener then return nil, message, code end
  self.port = self.listener.port
  self.minder = task.spawn(self.mind_port, self)
  options.faults:open_port(function(seconds) self:refuse(seconds) end)
  return self
end

---@async
function Gate:close()
  self.listener:close()
  self.minder:cancel "the gate was closed"
end

return M

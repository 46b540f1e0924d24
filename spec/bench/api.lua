--- An API with nothing behind it: pipelines with executions whose statuses change when it is told to. It counts what it
--- is asked, and remembers when what changed.

local json = require "host.json"
local server = require "host.server"
local task = require "host.task"

local M = {}

local HISTORY = 100 -- executions of each pipeline that ended long ago

local function view(execution)
  return {
    id = execution.id, status = execution.status, html_url = "http://127.0.0.1/" .. execution.id,
    start_date = "2026-01-01T00:00:00.000Z", finish_date = json.null, comment = "", priority = "NORMAL",
    triggered_on = "CLICK", to_revision = { revision = "506a39b6a9b7c9b3f1c2d4e5f60718293a4b5c6d" },
    branch = { name = "main" }, creator = { id = 1, name = "Ada" },
  }
end

---@class bench.Api
---@field url string
---@field requests integer that it has answered
---@field changes { id: integer, status: string, at: number }[] by the monotonic clock, which all processes share
local Api = {}
Api.__index = Api

-- The executions of all pipelines have one row of ids, and the last of each pipeline go on.
local function make(pipelines, each)
  local by_id, lists, going = {}, {}, {}
  for pipeline = 1, pipelines do lists[pipeline] = {} end
  for age = HISTORY + each, 1, -1 do
    for pipeline, list in ipairs(lists) do
      local id = (HISTORY + each - age) * pipelines + pipeline
      by_id[id] = { id = id, status = age > each and "SUCCESSFUL" or "INPROGRESS" }
      list[age] = by_id[id]
      if age <= each then going[#going + 1] = by_id[id] end
    end
  end
  return by_id, lists, going
end

local function page_of(list, query)
  local size, page = tonumber(query.per_page) or 20, tonumber(query.page) or 1
  local entries = json.list {}
  for place = (page - 1) * size + 1, math.min(page * size, #list) do entries[#entries + 1] = view(list[place]) end
  return { url = "", executions = entries, total_element_count = #list, page = page, page_size = size }
end

function Api:answer(request)
  self.requests = self.requests + 1
  local pipeline, id = request.path:match "/pipelines/(%d+)/executions/?(%d*)$"
  local list, execution = self.lists[tonumber(pipeline)], self.by_id[tonumber(id)]
  if list and id == "" then return { body = json.encode(page_of(list, request.query)) } end
  if list and execution then return { body = json.encode(view(execution)) } end
  return { status = 404, body = "{}" }
end

local function set(self, execution, status)
  execution.status = status
  self.changes[#self.changes + 1] = { id = execution.id, status = status, at = task.monotonic() }
end

---Changes one after the other, for ever: somebody has to approve it, or has.
---@async
---@param rate number changes a second
function Api:change(rate)
  while true do
    for _, execution in ipairs(self.going) do
      task.sleep(1 / rate * (0.5 + math.random()))
      set(self, execution, execution.status == "INPROGRESS" and "WAITING_FOR_APPLY" or "INPROGRESS")
    end
  end
end

---Ends all, one after the other.
---@async
---@param seconds number that it takes
function Api:finish(seconds)
  local begun = task.monotonic()
  for place, execution in ipairs(self.going) do
    local early = begun + seconds * place / #self.going - task.monotonic()
    if early > 0 then task.sleep(early) end
    set(self, execution, "SUCCESSFUL")
  end
end

function Api:__close()
  self.listening:close()
end

local function shuffle(list)
  for place = #list, 2, -1 do
    local other = math.random(place)
    list[place], list[other] = list[other], list[place]
  end
end

---@param pipelines integer
---@param each integer executions of each that go on
---@return bench.Api closable
function M.serve(pipelines, each)
  local by_id, lists, going = make(pipelines, each)
  shuffle(going)
  local self = setmetatable({ by_id = by_id, lists = lists, going = going, requests = 0, changes = {} }, Api)
  self.listening = assert(server.listen({}, function(request) return self:answer(request) end))
  self.url = "http://127.0.0.1:" .. self.listening.port
  return self
end

return M

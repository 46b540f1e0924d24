--- An API with nothing behind it: pipelines whose executions all go on for some seconds and then succeed. It counts
--- what it is asked.

local json = require "host.json"
local server = require "host.server"
local task = require "host.task"

local M = {}

local function execution(id, status)
  return {
    id = id, status = status, html_url = "http://127.0.0.1/" .. id, start_date = "2026-01-01T00:00:00.000Z",
    finish_date = json.null, comment = "", priority = "NORMAL", triggered_on = "CLICK",
    to_revision = { revision = "506a39b6a9b7c9b3f1c2d4e5f60718293a4b5c6d" },
    branch = { name = "main" }, creator = { id = 1, name = "Ada" },
  }
end

---@param pipelines integer
---@param each integer executions of each
---@param seconds number how long they go on
function M.serve(pipelines, each, seconds)
  local requests = 0
  local ends = task.monotonic() + seconds
  local function list(query)
    local size, page = tonumber(query.per_page) or 20, tonumber(query.page) or 1
    local status = task.monotonic() < ends and "INPROGRESS" or "SUCCESSFUL"
    local entries = json.list {}
    for place = (page - 1) * size + 1, math.min(page * size, each) do
      entries[#entries + 1] = execution(each + 1 - place, status)
    end
    return { url = "", executions = entries, total_element_count = each, page = page, page_size = size }
  end
  local function answer(request)
    requests = requests + 1
    local pipeline, rest = request.path:match "/pipelines/(%d+)/executions(.*)$"
    if not pipeline or tonumber(pipeline) > pipelines then return { status = 404, body = "{}" } end
    if rest == "" then return { body = json.encode(list(request.query)) } end
    local status = task.monotonic() < ends and "INPROGRESS" or "SUCCESSFUL"
    return { body = json.encode(execution(math.tointeger(tonumber(rest:sub(2))), status)) }
  end
  local listening = assert(server.listen({}, answer))
  return setmetatable({
    url = "http://127.0.0.1:" .. listening.port,
    requests = function() return requests end,
  }, { __close = function() listening:close() end })
end

return M

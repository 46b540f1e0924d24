--- Methods of executions: run, list, get, change, and the logs of their actions.
local action_log = require "moonsail.engine.log"
local durable = require "moonsail.engine.durable"
local fragment = require "moonsail.engine.fragment"
local json = require "host.json"
local operation = require "moonsail.engine.operation"
local page = require "moonsail.engine.page"
local refusal = require "moonsail.engine.refusal"
local request_reader = require "moonsail.engine.request"

local M = {}

local PIPELINE = "/workspaces/:workspace/projects/:project/pipelines/:pipeline"

local function found_execution(engine, at)
  return engine.book:execution(at.pipeline.id, at.execution)
    or refusal.raise(404, ("Pipeline %d has no execution %d"):format(at.pipeline.id, at.execution))
end

local function run(engine, at, request)
  local e, pipeline = request_reader.read(engine, at.pipeline, request_reader.object(request.body),
    { triggered_on = "CLICK" })
  engine.book:add(e)
  local answer = engine.execution_view:full(e)
  durable(engine)
  engine.dispatcher:enqueue(e, pipeline)
  return answer
end

local write_list = fragment.object { "url", "html_url", "executions", "page", "page_size", "total_page_count",
  "element_count", "total_element_count" }

local function list(engine, at, request)
  local number, per_page = page.of(request.query)
  local pipeline, texts = at.pipeline.id, {}
  for index, e in ipairs(engine.book:page(pipeline, number, per_page)) do
    texts[index] = engine.execution_view:short(e)
  end
  local count = engine.book:count(pipeline)
  return write_list {
    url = fragment.text(engine.urls:executions(pipeline)),
    html_url = fragment.text(engine.urls:executions_web(pipeline)),
    executions = fragment.list(texts),
    page = fragment.text(number),
    page_size = fragment.text(per_page),
    total_page_count = fragment.text((count + per_page - 1) // per_page),
    element_count = fragment.text(#texts),
    total_element_count = fragment.text(count),
  }
end

local function get(engine, at)
  return engine.execution_view:full(found_execution(engine, at))
end

local function change(engine, at, request)
  local e = found_execution(engine, at)
  operation.perform(engine, e, operation.read(request.body))
  local answer = engine.execution_view:full(found_execution(engine, at))
  durable(engine)
  return answer
end

-- One action of an execution, by its place or by the id of the action.
local function found_action(engine, e, position, id)
  local pipeline = engine.execution_view:pipeline_of(e)
  for _, row in ipairs(engine.execution_view:action_rows(e, pipeline)) do
    if row.position == position or row.action == id then return row, pipeline end
  end
  refusal.raise(404, ("Execution %d has no such action"):format(e.number))
end

local function position_of(engine, e, id)
  return engine.urls:position(e, id)
    or refusal.raise(404, ("Execution %d has no action execution %s"):format(e.number, id))
end

local function lines_of(engine, row, offset, limit)
  return json.list(row.id and action_log.read(engine.sql, row.id, offset, limit) or {})
end

local function action_execution(engine, e, row, pipeline)
  return engine.execution_view:action(e, pipeline, row, json.encode(lines_of(engine, row)))
end

local function get_action(engine, at)
  local e = found_execution(engine, at)
  return action_execution(engine, e, found_action(engine, e, position_of(engine, e, at.action_execution)))
end

local function get_action_by_id(engine, at)
  local e = found_execution(engine, at)
  return action_execution(engine, e, found_action(engine, e, nil, at.action))
end

local function get_logs(engine, at, request)
  local e = found_execution(engine, at)
  local row = found_action(engine, e, position_of(engine, e, at.action_execution))
  local offset = page.number(request.query, "offset", 0, 0)
  local limit = math.min(page.number(request.query, "limit", 100, 1), 1000)
  local lines = lines_of(engine, row, offset, limit)
  local _, url, web = engine.urls:action_execution(engine.urls:execution(e), row.position)
  return json.encode {
    url = url .. "/logs",
    html_url = web,
    offset = offset,
    element_count = #lines,
    total_element_count = row.id and action_log.length(engine.sql, row.id) or 0,
    logs = lines,
  }
end

---@param add fun(method: string, pattern: string, scope?: string, handler: function)
function M.add(add)
  local executions = PIPELINE .. "/executions"
  local execution = executions .. "/:execution"
  add("POST", executions, "EXECUTION_RUN", run)
  add("GET", executions, "EXECUTION_INFO", list)
  add("GET", execution, "EXECUTION_INFO", get)
  add("PATCH", execution, "EXECUTION_RUN", change)
  for _, word in ipairs { "action", "actions" } do -- as the documents had it until 2024, and as clients write it
    add("GET", execution .. "/" .. word .. "/:action", "EXECUTION_INFO", get_action_by_id)
  end
  add("GET", execution .. "/action_executions/:action_execution", "EXECUTION_INFO", get_action)
  add("GET", execution .. "/action_executions/:action_execution/logs", "EXECUTION_INFO", get_logs)
end

return M

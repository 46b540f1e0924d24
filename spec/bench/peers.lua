--- What moonsail is measured against: an nginx that answers like the API, and clients that do what a recipe does.

local json = require "host.json"
local process = require "host.process"
local http = require "host.http"
local task = require "host.task"

local M = {}

---An execution as the API answers it.
M.execution = json.encode {
  id = 3, url = "http://127.0.0.1/x/executions/3", html_url = "http://127.0.0.1/x/3", status = "SUCCESSFUL",
  start_date = "2016-03-29T08:08:20.205Z", finish_date = "2016-03-29T08:09:20.205Z", priority = "HIGH",
  triggeredOn = "CLICK", triggered_on = "CLICK", refresh = false, clear_cache = true, comment = "hotfix",
  branch = { url = "http://127.0.0.1/b/main", html_url = "http://127.0.0.1/b/main", name = "main", default = true },
  from_revision = json.null,
  to_revision = {
    url = "http://127.0.0.1/c/506a39", html_url = "http://127.0.0.1/c/506a39", message = "Say hello\n",
    tags = json.list {},
    revision = "506a39b6a9b7c9b3f1c2d4e5f60718293a4b5c6d", short_revision = "506a39b",
    author_date = "2016-01-19T12:36:33Z", commit_date = "2016-01-19T12:36:33Z",
    author = { url = "http://127.0.0.1/m/1", html_url = "http://127.0.0.1/m/1", id = 1, name = "Ada", avatar_url = "" },
    committer = { url = "http://127.0.0.1/m/1", html_url = "http://127.0.0.1/m/1", id = 1, name = "Ada" },
  },
  creator = { url = "http://127.0.0.1/m/1", html_url = "http://127.0.0.1/m/1", id = 1, name = "Ada", avatar_url = "" },
  pipeline = {
    url = "http://127.0.0.1/p/2", html_url = "http://127.0.0.1/p/2", id = 2, name = "dev", refs = { "refs/heads/main" },
    on = "CLICK", last_execution_status = "INPROGRESS",
    last_execution_revision = "506a39b6a9b7c9b3f1c2d4e5f60718293a4b5c6d",
  },
  action_executions = {
    {
      status = "SUCCESSFUL", progress = 100, action_execution_id = "5f3b1c2d4e5f60718293a4b5",
      action = {
        url = "http://127.0.0.1/a/5", html_url = "http://127.0.0.1/a/5", id = 5, name = "Compile", type = "BUILD",
        trigger_time = "ON_EVERY_EXECUTION", last_execution_status = "SUCCESSFUL",
      },
    },
  },
}

---A request as a recipe writes it, and its bytes.
M.request = json.encode {
  branch = { name = "main" }, clear_cache = true, comment = "release 1.2.0", priority = "HIGH",
  to_revision = { revision = "HEAD" },
  variables = { { key = "VERSION", value = "1.2.0" }, { encrypted = true, key = "pass", value = "qwerty" } },
}

---@param folder string
---@param name string
---@param text string
---@return string path
function M.write(folder, name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
  return path
end

local function free_port()
  local server = assert(require("host.server").listen({}, function() return {} end))
  local port = server.port
  server:close()
  return port
end

local nginx_configuration = [[
daemon off; worker_processes 1; pid %s/nginx.pid; error_log %s/error.log;
events { worker_connections 1024; multi_accept on; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_body_temp_path %s/body;
  server {
    listen 127.0.0.1:%d backlog=1024; default_type application/json;
    location / { return 200 '%s'; }
  }
}
]]

---Starts nginx, answering `body` to everything, and waits until it does.
---@async
---@param folder string
---@param body string
---@return { url: string }|any closable
function M.nginx(folder, body)
  local port = free_port()
  local text = nginx_configuration:format(folder, folder, folder, port, (body:gsub("\\", "\\\\"):gsub("'", "\\'")))
  local path = M.write(folder, "nginx.conf", text)
  local server = assert(process.spawn { command = { "nginx", "-p", folder, "-c", path } })
  local url = ("http://127.0.0.1:%d"):format(port)
  for _ = 1, 100 do
    if http.request { url = url .. "/", timeout = 1 } then
      return setmetatable({ url = url }, { __close = function() server:close() end })
    end
    task.sleep(0.05)
  end
  server:close()
  error "nginx does not answer"
end

---@param count integer
---@param url string
---@return string curl's configuration for that many posts
function M.curl_configuration(count, url)
  local one = 'url = "%s"\nrequest = POST\nheader = "Content-Type: application/json"\ndata = "%s"\noutput = /dev/null\n'
  one = one:format(url, (M.request:gsub('"', '\\"')))
  return (one .. "next\n"):rep(count - 1) .. one
end

M.node = [[
const [, , url, count, body] = process.argv;
let left = Number(count);
async function worker() {
  while (left-- > 0) {
    const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
    if ((await answer.json()).id !== 3) throw new Error("wrong answer");
  }
}
await Promise.all(Array.from({ length: 64 }, worker));
]]

M.wrk = [[
wrk.body = os.getenv "BENCH_BODY"
wrk.method = wrk.body and "POST" or "GET"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = os.getenv "BENCH_AUTHORIZATION"
]]

return M

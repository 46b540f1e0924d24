--- A moonsail engine over a small repository, as a process of its own.

local http = require "host.http"
local json = require "host.json"
local peers = require "spec.bench.peers"
local process = require "host.process"
local process_facts = require "spec.bench.process_facts"
local task = require "host.task"

local M = {}

local pipelines = [[
- pipeline: queue
  refs: [ "refs/heads/main" ]
  actions: [ { action: Wait, type: SLEEP, sleep_in_sec: 1200 } ]
- pipeline: stamp
  refs: [ "refs/heads/main" ]
  actions:
    - { action: Stamp, type: BUILD, docker_image_name: debian, execute_commands: [ date +%s.%N ] }
- pipeline: instant
  refs: [ "refs/heads/main" ]
  actions: [ { action: Nothing, type: SLEEP, sleep_in_sec: 1, disabled: true } ]
]]

---Makes the repository that engines serve.
---@async
---@param folder string
---@return string path
function M.repository(folder)
  local path = folder .. "/repository"
  assert(process.run { command = { "git", "init", "-q", "-b", "main", path } })
  peers.write(path, "buddy.yml", pipelines)
  for i = 1, 20 do peers.write(path, ("file_%d.txt"):format(i), ("line %d\n"):format(i):rep(100)) end
  assert(process.run { command = { "git", "-C", path, "add", "-A" } })
  local result = assert(process.run {
    command = { "git", "-C", path, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "All" },
  })
  assert(result.code == 0, result.stderr)
  return path
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

---Starts an engine, and waits for its first answer.
---@async
---@param moonsail string
---@param repository string
---@param state string folder
function M.start(moonsail, repository, state)
  local began = task.monotonic()
  local server = assert(process.spawn {
    command = { moonsail, "engine", "--repo", repository, "--state", state, "--project", "bench", "--rate-limit",
      "1000000000" },
    merge = true,
  })
  local said = ""
  while not said:find "BUDDY_TOKEN" do said = said .. assert(server:read(), "the engine ended: " .. said) end
  local endpoint = said:match "at (http://[%d.:]+)"
  local token = read(said:match 'cat ([^)]+)%)'):match "%S+"
  local reader = task.spawn(function() while server:read() do end end) -- so that its log does not hold it up
  local prefix = endpoint .. "/workspaces/local/projects/bench/pipelines/"
  local headers = { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" }

  local function request(method, url, body)
    local answer = assert(http.request { method = method, url = url, body = body, headers = headers })
    assert(answer.status == 200, answer.body)
    return answer.body
  end
  local self = { token = token }
  request("GET", endpoint .. "/workspaces")
  self.start_ms = 1000 * (task.monotonic() - began)
  local ids = {}
  for _, pipeline in ipairs(json.decode(request("GET", prefix:sub(1, -2))).pipelines) do
    ids[pipeline.identifier] = pipeline.id
  end
  function self.url(name) return ("%s%d/executions"):format(prefix, ids[name]) end
  function self.post(name) return request("POST", self.url(name), peers.request) end

  function self.memory() return process_facts.memory(server.pid) end

  ---Runs a pipeline that has nothing to do that many times, to their end.
  function self.fill(count)
    local function is_last_over()
      local list = json.decode(request("GET", self.url "instant" .. "?per_page=1"))
      return list.executions[1].status == "SUCCESSFUL" and list.executions[1].finish_date ~= json.null
    end
    local left = count
    local function post()
      while left > 0 do
        left = left - 1
        self.post "instant"
      end
    end
    local posts = {}
    for i = 1, 32 do posts[i] = post end
    task.all(posts)
    while not is_last_over() do task.sleep(0.1) end
  end

  local function stamp(id)
    local url = ("%s/%d"):format(self.url "stamp", id)
    while true do
      local execution = json.decode(request("GET", url))
      local action = execution.action_executions[1]
      if execution.status == "SUCCESSFUL" then
        local path = ("%s/action_executions/%s/logs"):format(url, action.action_execution_id)
        return tonumber(table.concat(json.decode(request("GET", path)).logs, "\n"):match "(%d%d%d%d%d%d%d%d%d%d%.%d+)")
      end
      assert(execution.status ~= "FAILED", "the action failed")
      task.sleep(0.02)
    end
  end

  ---Milliseconds from sending a POST to its first action's process.
  function self.start_times(count)
    local times = {}
    for i = 1, count do
      local sent = task.now()
      local execution = json.decode(self.post "stamp")
      times[i] = 1000 * (stamp(execution.id) - sent)
    end
    return times
  end

  return setmetatable(self, {
    __close = function()
      reader:cancel()
      server:close()
    end,
  })
end

return M

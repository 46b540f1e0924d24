--- What a recipe sees as `sail`: a table whose fields are loaded when they are first used.

local M = {}

-- Which module gives which field; each has a function `fields(session)` that returns them.
local homes = {
  project = "moonsail.client.project",
  workspace = "moonsail.client.workspace",
  workspaces = "moonsail.client.workspace",
  all = "moonsail.concurrency",
  map = "moonsail.concurrency",
  race = "moonsail.concurrency",
  spawn = "moonsail.concurrency",
  timeout = "moonsail.concurrency",
  date = "moonsail.clock",
  now = "moonsail.clock",
  sleep = "moonsail.clock",
  http = "moonsail.http",
  json = "moonsail.data",
  git = "moonsail.git",
  env = "moonsail.environment",
  secret = "moonsail.secret",
  run = "moonsail.command",
  parameters = "moonsail.parameters",
  confirm = "moonsail.console",
  print = "moonsail.console",
  table = "moonsail.console",
  error = "moonsail.data",
}

local function unknown(name)
  local names = {}
  for known in pairs(homes) do names[#names + 1] = known end
  table.sort(names)
  local near = require("host.execution").nearest(tostring(name), names)
  require("moonsail.errors").raise("recipe", ("there is no sail.%s"):format(tostring(name)),
    near and ("Did you mean sail.%s?"):format(near) or "There are: " .. table.concat(names, ", ") .. ".")
end

---@class moonsail.Library
---@field project fun(name?: string): moonsail.Project "workspace/project", or what the settings say
---@field workspace fun(name?: string): moonsail.Workspace or what the settings say
---@field workspaces fun(): moonsail.Workspace[]
---@field all fun(fns: function[]): any[] runs all at once
---@field map fun(items: any[], options: { limit?: integer }, fn: function): any[] one task for each item
---@field race fun(fns: function[]): any, integer the first one's result and index
---@field spawn fun(fn: function, ...): host.Task
---@field timeout fun(seconds: number, fn: function, ...): ... raises when the time is over
---@field sleep fun(seconds: number)
---@field now fun(): number seconds since 1970
---@field date fun(format?: string, time?: number): string in UTC
---@field http moonsail.Http requests to anywhere, without the token
---@field json host.json
---@field git moonsail.Git facts of the repository in the current directory
---@field env fun(name: string, default?: string): string?
---@field secret fun(name: string): moonsail.Secret
---@field run fun(command: string|table, ...): moonsail.CommandResult
---@field parameters fun(declared: table<string, moonsail.Parameter>): table
---@field confirm fun(question: string): boolean
---@field print fun(...)
---@field table fun(rows: table[], columns?: (string|moonsail.Column)[])
---@field error fun(message: string, hint?: string)

---Makes the library over a session.
---@param session moonsail.Session
---@return moonsail.Library
function M.new(session)
  return setmetatable({}, {
    __index = function(sail, name)
      local fields = require(homes[name] or unknown(name)).fields(session)
      for field, value in pairs(fields) do rawset(sail, field, value) end
      return fields[name]
    end,
  })
end

return M

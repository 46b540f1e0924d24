--- The settings on the command line: the same four for every command that talks to the API.

local M = {}

local flags = {
  { "--workspace", "NAME", "The workspace, where the project does not name it." },
  { "--project", "NAME", "The project, or WORKSPACE/PROJECT." },
  { "--endpoint", "URL", "The API's address." },
  { "--allow-http", nil, "Plain http also to other machines." },
}

M.NOTE = "The token comes from BUDDY_TOKEN or the configuration file, never from the command line, where other users "
  .. "could read it. With neither a token nor an endpoint, moonsail serves the git repository of the current directory "
  .. "itself."

---Declares them.
---@param p table a parser of argparse
function M.declare(p)
  for _, flag in ipairs(flags) do
    local name, value, help = table.unpack(flag, 1, 3)
    if value then p:option(name, help):argname(value) else p:flag(name, help) end
  end
end

---How many arguments from `place` on are one option: 2 for "--project" and its value, 1 for any other, 0 for none.
---@param arguments string[]
---@param place integer
---@return integer
function M.length(arguments, place)
  if not arguments[place]:find "^%-" then return 0 end
  for _, flag in ipairs(flags) do
    if flag[2] and arguments[place] == flag[1] then return 2 end
  end
  return 1
end

---What was given, as a session takes it.
---@param options table of argparse
---@return table
function M.of(options)
  return { workspace = options.workspace, project = options.project, endpoint = options.endpoint,
    allow_http = options.allow_http }
end

return M

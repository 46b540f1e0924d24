--- The command line: finds the command and runs it. Each command is a file of its own and is loaded when it is called.

local usage = [[
usage: moonsail COMMAND [ARGUMENT...]

  run RECIPE [--NAME VALUE...]   run a recipe
  execute PIPELINE [OPTION...]   start an execution, and wait for its end
  executions COMMAND             look at executions, wait for them, change them
  pipelines [show PIPELINE]      show the pipelines of a project
  actions PIPELINE               show the actions of a pipeline
  eval 'LUA'                     run a few words of Lua, and print what they return
  engine                         serve Buddy's API from a git repository and run its pipelines here
  test [PATH...]                 run busted specs inside moonsail
  version                        print the version

  moonsail COMMAND --help tells more.
]]

local commands = {
  actions = true, engine = true, eval = true, execute = true, executions = true, pipelines = true, run = true,
  test = true, version = true,
}

---@param argv table<integer, string> with the program's name at 0
---@param version string
---@return integer exit code
return function(argv, version)
  local name = argv[1]
  if name == nil or name == "--help" or name == "-h" or name == "help" then
    io.stdout:write(usage)
    return name and 0 or 2
  end
  if name == "--version" then
    name = "version"
  end
  if not commands[name] then
    io.stderr:write(("moonsail: there is no command %q\n  see: moonsail --help\n"):format(name))
    return 2
  end
  return require("moonsail.cli." .. name)({ table.unpack(argv, 2) }, version) or 0
end

--- Ships the newest commit at once: with a cleared cache, before everything else that waits, and only the actions that
--- matter. The variable `pass` is encrypted; it comes from the environment, where no list of processes shows it.
---
---   PASS=qwerty moonsail run scripts/recipes/hotfix.lua --actions Compile --actions Publish
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "deploy", help = "which pipeline, by identifier or id" },
  version = { type = "string", default = "1.0", help = "passed on as the variable `version`" },
  actions = { type = "list", required = true, help = "the actions to run, by name or id" },
}

local execution = sail.project():pipeline(args.pipeline):run {
  revision = "HEAD",
  comment = "hotfix",
  clear_cache = true,
  priority = "HIGH",
  variables = {
    version = args.version,
    pass = sail.secret "PASS",
  },
  actions = args.actions,
}
execution:wait()

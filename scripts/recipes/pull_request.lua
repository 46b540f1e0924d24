--- Runs a pipeline on a pull request.
---
---   moonsail run scripts/recipes/pull_request.lua --pipeline build --number 1
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "build", help = "which pipeline, by identifier or id" },
  number = { type = "integer", required = true, help = "the number of the pull request" },
  comment = { type = "string", help = "shown beside the execution" },
}

sail.project():pipeline(args.pipeline):run { pull_request = "pull/" .. args.number, comment = args.comment }:wait()

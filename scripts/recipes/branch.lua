--- Runs a pipeline on a branch. Needed where a pipeline has several refs or a wildcard.
---
---   moonsail run scripts/recipes/branch.lua --pipeline build --branch main
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "build", help = "which pipeline, by identifier or id" },
  branch = { type = "string", default = "master", help = "which branch" },
  comment = { type = "string", help = "shown beside the execution" },
}

sail.project():pipeline(args.pipeline):run { branch = args.branch, comment = args.comment }:wait()

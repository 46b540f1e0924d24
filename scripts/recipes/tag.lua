--- Runs a pipeline on a tag.
---
---   moonsail run scripts/recipes/tag.lua --pipeline build --tag v1.0
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "build", help = "which pipeline, by identifier or id" },
  tag = { type = "string", required = true, help = "which tag" },
  comment = { type = "string", help = "shown beside the execution" },
}

sail.project():pipeline(args.pipeline):run { tag = args.tag, comment = args.comment }:wait()

--- Releases one version: builds it, deploys it, verifies it, and puts the version before it back when the verification
--- fails.
---
---   moonsail run scripts/recipes/release.lua --version 1.1.0
local sail = require "moonsail"

local args = sail.parameters {
  version = { type = "version", required = true, help = "what to release; its tag is v and the version" },
  build = { type = "string", default = "build", help = "the pipeline that builds" },
  deploy = { type = "string", default = "deploy", help = "the pipeline that deploys" },
  verify = { type = "string", default = "verify", help = "the pipeline that verifies what is deployed" },
}

local project = sail.project()

--- Runs a pipeline for the version that a tag names.
local function run(name, tag, comment)
  return project:pipeline(name):run {
    tag = tag,
    comment = comment,
    variables = { VERSION = tag:match "^v(.*)" },
  }:wait()
end

local tag = "v" .. args.version
local before = project:pipeline(args.deploy):last_successful()

run(args.build, tag, "release " .. tag)
run(args.deploy, tag, "release " .. tag)

local verified, problem = pcall(run, args.verify, tag, "release " .. tag)
if not verified then
  if problem.kind ~= "execution" or not (before and before.tag) then error(problem, 0) end
  sail.print("The verification failed: back to " .. before.tag)
  run(args.deploy, before.tag, "roll back to " .. before.tag)
  error(problem, 0)
end
sail.print(("Released %s, built from %s."):format(args.version, sail.git.commit(tag).short_revision))

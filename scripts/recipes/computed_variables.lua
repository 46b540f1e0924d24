--- Passes on what the repository and the clock know: a version counted from the last tag, the commit's author, and the
--- date of the release.
---
---   moonsail run scripts/recipes/computed_variables.lua --pipeline build
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "build", help = "which pipeline, by identifier or id" },
}

local head = sail.git.commit "HEAD"

--- The newest tag that HEAD has behind it, and the commits since.
local function since_last_tag()
  local tagged = {}
  for _, tag in ipairs(sail.git.tags()) do tagged[tag.revision] = tag.name end
  local count = 0
  for _, commit in ipairs(sail.git.commits(nil, "HEAD", { limit = 1000 })) do
    if tagged[commit.revision] then return tagged[commit.revision], count end
    count = count + 1
  end
  return "v0", count
end

local tag, distance = since_last_tag()

sail.project():pipeline(args.pipeline):run {
  revision = head.revision,
  comment = ("%s, %d commits after %s"):format(head.subject, distance, tag),
  variables = {
    VERSION = distance == 0 and tag or ("%s-%d-g%s"):format(tag, distance, head.short_revision),
    RELEASE_DATE = sail.date "%Y-%m-%d",
    AUTHOR = head.author.name,
    IS_RELEASE = distance == 0,
  },
}:wait()

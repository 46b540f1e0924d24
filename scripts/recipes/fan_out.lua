--- Ships one version through many pipelines at once, a few at a time, and sums up. All are tried, also when one fails.
---
---   moonsail run scripts/recipes/fan_out.lua --pipelines deploy_eu --pipelines deploy_us --version 1.2.0
local sail = require "moonsail"

local args = sail.parameters {
  pipelines = { type = "list", required = true, help = "the pipelines, by identifier or id" },
  version = { type = "version", required = true, help = "what to ship; its tag is v and the version" },
  limit = { type = "integer", default = 4, help = "how many at once" },
}

local project = sail.project()

local results = sail.map(args.pipelines, { limit = args.limit }, function(name)
  local began = sail.now()
  local ok, result = pcall(function()
    return project:pipeline(name):run {
      tag = "v" .. args.version,
      variables = { VERSION = args.version },
    }:wait()
  end)
  return { name = name, ok = ok, result = result, seconds = sail.now() - began }
end)

local rows, failed = {}, nil
for i, entry in ipairs(results) do
  failed = failed or not entry.ok and entry.result
  rows[i] = {
    entry.name,
    entry.ok and "SUCCESSFUL" or entry.result.kind == "execution" and entry.result.status or entry.result.kind,
    ("%.1f s"):format(entry.seconds),
    entry.ok and entry.result.url or tostring(entry.result.message or entry.result),
  }
end
sail.table(rows, { "PIPELINE", "RESULT", "TIME", "PAGE" })

if failed then error(failed, 0) end

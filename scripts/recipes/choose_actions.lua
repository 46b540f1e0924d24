--- Runs only the actions whose folder has changed since the last execution that succeeded. An action "Docs" belongs to
--- the folder docs/, and so on; actions with no folder of their own always run.
---
---   moonsail run scripts/recipes/choose_actions.lua --pipeline deploy
local sail = require "moonsail"

local args = sail.parameters {
  pipeline = { type = "string", default = "deploy", help = "which pipeline, by identifier or id" },
}

local pipeline = sail.project():pipeline(args.pipeline)
local head = sail.git.head().revision
local before = pipeline:last_successful()
local paths = sail.git.changed_paths(before and before.revision, head)

--- The folders at the top of the given lists of paths, as a set.
local function folders_of(...)
  local set = {}
  for _, list in ipairs { ... } do
    for _, path in ipairs(list) do
      local folder = path:match "^([^/]+)/"
      if folder then set[folder:lower()] = true end
    end
  end
  return set
end

local changed = folders_of(paths.added, paths.changed, paths.deleted)
local folders = folders_of(sail.git.changed_paths(nil, head).added)

local chosen = {}
for _, action in ipairs(pipeline:actions()) do
  local folder = action.name:lower()
  if not folders[folder] or changed[folder] then chosen[#chosen + 1] = action.id end
end

if #chosen == 0 then
  sail.print("Nothing has changed since " .. before.url)
else
  pipeline:run { revision = head, from_revision = before and before.revision, actions = chosen }:wait()
end

--- COPY_FILES: copies files within the checkout. tar does it: it never writes through a link that lies in its way.
local paths = require "moonsail.engine.paths"
local shape = require "moonsail.engine.shape"
local tree = require "moonsail.engine.tree"

local M = {}

local OTHER_PIPELINE = shape.refused "files are copied within the pipeline's own checkout"

M.keys = shape.with(tree.keys, {
  source_path = { paths.inside, default = "/" },
  target_path = { paths.inside, default = "/" },
  copy_hidden_files = { shape.boolean, default = false },
  source_project = OTHER_PIPELINE,
  source_pipeline = OTHER_PIPELINE,
  target_project = OTHER_PIPELINE,
  target_pipeline = OTHER_PIPELINE,
  -- The older names.
  source_pipeline_id = OTHER_PIPELINE,
  source_project_name = OTHER_PIPELINE,
  source_pipeline_name = OTHER_PIPELINE,
  target_project_name = OTHER_PIPELINE,
  target_pipeline_name = OTHER_PIPELINE,
})

local SCRIPT = [[
from=$1 target=$2
shift 2
need tar tar
present "$from"
inside "$target"
mkdir -p -- "$target"
target=$(realpath -- "$target")
[ "$(realpath -- "$(base "$from")")" != "$target" ] || { echo "The files are already there"; exit 1; }
chosen "$from" "$target" "$@" | tar -C "$(base "$from")" --no-recursion --null -T - -c | tar -C "$target" -x
]]

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  return tree.run(context, SCRIPT, { tree.path(context, action.source_path), tree.path(context, action.target_path),
    table.unpack(tree.choice(context, action.copy_hidden_files)) })
end

return M

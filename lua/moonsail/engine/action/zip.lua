--- ZIP: packs files of the checkout. bsdtar does it, since names may have any byte.
local paths = require "moonsail.engine.paths"
local shape = require "moonsail.engine.shape"
local tree = require "moonsail.engine.tree"

local M = {}

M.keys = shape.with(tree.keys, {
  local_path = { paths.inside, required = true },
  destination = { paths.inside, required = true },
})

local SCRIPT = [[
from=$1 archive=$2
shift 2
need bsdtar libarchive-tools
present "$from"
inside "$archive"
mkdir -p -- "$(dirname -- "$archive")"
archive=$(realpath -m -- "$archive")
: >"$archive"
chosen "$from" "$archive" "$@" | bsdtar --format zip -C "$(base "$from")" -n --null -T - -cf "$archive"
printf 'Packed %s\n' "${archive#"$root"/}"
]]

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action = context.action
  return tree.run(context, SCRIPT, { tree.path(context, action.local_path), tree.path(context, action.destination),
    table.unpack(tree.choice(context, true)) })
end

return M

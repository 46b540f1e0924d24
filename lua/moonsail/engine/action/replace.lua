--- REPLACE: replaces texts, literally and one after the other, in a file or in all files of a folder. A file that has
--- none of them is left alone.
local paths = require "moonsail.engine.paths"
local shape = require "moonsail.engine.shape"
local tree = require "moonsail.engine.tree"

local M = {}

local searched = shape.reader("text that is not empty", function(check, node, path)
  if node.text == "" then return check:fault(node, path, "must not be empty") end
  return shape.text(check, node, path)
end)

M.keys = {
  replacements = { shape.list_of(shape.reader("replacements", shape.map {
    replace_from = { searched, required = true },
    replace_to = { shape.text, required = true },
  }), 1), required = true },
  local_path = { paths.inside, default = "/" },
}

local PROGRAM = [[
my @pairs = map { $ENV{"MOONSAIL_TEXT_$_"} } 1 .. shift @ARGV;
for my $name (@ARGV) {
  open my $file, "+<:raw", $name or die "$name: $!\n";
  my $text = do { local $/; <$file> } // "";
  my $before = $text;
  for (my $i = 0; $i < @pairs; $i += 2) {
    $text =~ s/\Q$pairs[$i]\E/$pairs[$i + 1]/g;
  }
  next if $text eq $before;
  seek $file, 0, 0 and truncate $file, 0 and print $file $text and close $file or die "$name: $!\n";
  print "Replaced in $name\n";
}
]]

local SCRIPT = [[
path=$1
shift
need perl perl-base
need xargs findutils
present "$path"
find "$(realpath --relative-to=. -- "$path")" -type f -print0 | xargs -0 -r perl -e "$@"
]]

---@param context engine.Context
---@return string status
---@return string? message
function M.run(context)
  local action, texts, count = context.action, {}, 0
  local function add(text)
    count = count + 1
    texts["MOONSAIL_TEXT_" .. count] = context:expand(text)
  end
  for _, replacement in ipairs(action.replacements) do
    if context:expand(replacement.replace_from) == "" then
      return "FAILED", ("%s is empty: there is nothing to look for"):format(replacement.replace_from)
    end
    add(replacement.replace_from)
    add(replacement.replace_to)
  end
  return tree.run(context, SCRIPT, { tree.path(context, action.local_path), PROGRAM, "--", tostring(count) }, texts)
end

return M

--- The text that defines a pipeline, cut out of the file where it stands.
local yaml = require "moonsail.engine.yaml"

local M = {}

local function identifier_of(item)
  local name = item.kind == "map" and item.items.pipeline
  return name and name.text
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do table.insert(lines, line) end
  return lines
end

-- The line of the dash before an item, which may stand above its first key.
local function beginning(lines, item)
  local line = item.line
  while line > 1 and not lines[line]:find "^%s*%-" do line = line - 1 end
  return line
end

local function cut(text, item, next_item)
  local lines = lines_of(text)
  local first, last = beginning(lines, item), next_item and beginning(lines, next_item) - 1 or #lines
  while last > first and (lines[last]:find "^%s*$" or lines[last]:find "^%s*#") do last = last - 1 end
  return table.concat(lines, "\n", first, last) .. "\n"
end

local function defines_only(text, identifier)
  local root = yaml.read(text)
  return root and root.kind == "list" and #root.items == 1 and identifier_of(root.items[1]) == identifier
end

---@param files engine.definition.File[] that can be read
---@param identifier string
---@return string? text the pipeline alone, or its whole file where it cannot be cut out
function M.of(files, identifier)
  for _, file in ipairs(files) do
    local root = yaml.read(file.text)
    for index, item in ipairs(root and root.kind == "list" and root.items or {}) do
      if identifier_of(item) == identifier then
        local text = cut(file.text, item, root.items[index + 1])
        return defines_only(text, identifier) and text or file.text
      end
    end
  end
end

return M

--- Paths in buddy.yml: readers that keep them inside the checkout. Links are looked at when an action runs.
local shape = require "moonsail.engine.shape"

local M = {}

local function climbs(path)
  return ("/" .. path .. "/"):find("/../", 1, true) ~= nil
end

---A path in the checkout; "/" is the checkout itself.
M.inside = shape.reader("a path in the checkout", function(check, node, path)
  local text = shape.name(check, node, path)
  if text and climbs(text) then check:fault(node, path, "must not lead out of the checkout") end
  return text
end)

-- Where nothing can be mounted: what commands find there is the system's, or the engine's.
local TAKEN = { "/", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc", "/dev" }

local function is_taken(path)
  for _, folder in ipairs(TAKEN) do
    if path == folder or folder ~= "/" and path:sub(1, #folder + 1) == folder .. "/" then return true end
  end
  return false
end

---A folder to be cached: absolute, or in the checkout.
M.cached = shape.reader("a folder, absolute or in the checkout", function(check, node, path)
  local text = shape.name(check, node, path)
  if not text then return nil end
  local folder = text:gsub("//+", "/"):gsub("(.)/$", "%1")
  if climbs(folder) then check:fault(node, path, "must not contain ..") end
  if is_taken(folder) then check:fault(node, path, "belongs to the system, which is read-only") end
  return folder
end)

return M

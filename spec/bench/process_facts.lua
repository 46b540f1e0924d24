--- What Linux knows of a process.

local M = {}

local TICKS = 100 -- in a second, whatever the kernel counts with

local function read(pid, name)
  local file = io.open(("/proc/%s/%s"):format(pid, name))
  local text = file and file:read "a" or ""
  if file then file:close() end
  return text
end

---The processor's time that it has used.
---@param pid integer|"self"
---@return number seconds
function M.seconds(pid)
  local fields = "%) %a" .. (" %S+"):rep(10) .. " (%d+) (%d+)"
  local user, system = read(pid, "stat"):match(fields)
  return (tonumber(user) + tonumber(system)) / TICKS
end

local function megabytes(pid, key)
  local kilobytes = read(pid, "status"):match(key .. ":%s*(%d+)")
  return kilobytes and kilobytes / 1024 or 0
end

---The most memory that it has had.
---@param pid integer|"self"
---@return number megabytes 0 when it has ended
function M.peak_memory(pid)
  return megabytes(pid, "VmHWM")
end

---The memory that it has.
---@param pid integer|"self"
---@return number megabytes 0 when it has ended
function M.memory(pid)
  return megabytes(pid, "VmRSS")
end

return M

--- Times things in turn, and prints medians and ratios.

local process = require "host.process"
local task = require "host.task"

local M = {}

---@param values number[]
---@return number
function M.median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local half = #sorted // 2
  return #sorted % 2 == 1 and sorted[half + 1] or (sorted[half] + sorted[half + 1]) / 2
end

---Runs a command to its end and returns the seconds it took and what it printed. Raises unless it ended with 0.
---@async
---@param command string[]
---@param options? table of process.run
---@return number seconds
---@return string output
function M.time(command, options)
  local began = task.monotonic()
  local given = { command = command }
  for name, value in pairs(options or {}) do given[name] = value end
  local result = assert(process.run(given))
  local seconds = task.monotonic() - began
  if result.code ~= 0 then
    error(("%s ended with %s: %s"):format(table.concat(command, " "), result.code or result.signal, result.stderr), 0)
  end
  return seconds, result.stdout
end

---Runs each contender once a round, so that a noisy machine is noisy for all of them, after one round that is not
---counted. Returns the median of what each returned.
---@async
---@param rounds integer
---@param contenders { name: string, run: fun(): number }[]
---@return table<string, number>
function M.alternate(rounds, contenders)
  local values = {}
  for round = 0, rounds do
    for _, contender in ipairs(contenders) do
      local value = contender.run()
      values[contender.name] = values[contender.name] or {}
      if round > 0 then table.insert(values[contender.name], value) end
      io.stderr:write("."):flush()
    end
  end
  io.stderr:write "\n"
  local medians = {}
  for name, list in pairs(values) do medians[name] = M.median(list) end
  return medians
end

---@param title string
---@param rows string[][]
function M.table(title, rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(cell)) end
  end
  print("\n" .. title)
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. (" "):rep(widths[i] - utf8.len(cell)) end
    print("  " .. table.concat(cells, "  "):gsub("%s+$", ""))
  end
end

---@param ratio number
---@param target string such as "at least 2.0"
---@param reached boolean
---@return string
function M.verdict(ratio, target, reached)
  return ("%.2f (%s%s)"):format(ratio, target, reached and "" or ": missed")
end

return M

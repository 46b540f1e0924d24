--- The words that both displays use, and what they make of the text that others wrote.

local status = require "moonsail.client.status"

local M = {}

---@param seconds number
---@return string
function M.duration(seconds)
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  seconds = math.max(0, math.floor(seconds + 0.5))
  if seconds < 3600 then return ("%d:%02d"):format(seconds // 60, seconds % 60) end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

---@param execution moonsail.Execution
---@return string such as "build #12"
function M.title(execution)
  return ("%s #%s"):format(execution.pipeline.name or execution.pipeline.id, execution.id)
end

---@param action moonsail.ActionExecution
---@return string
function M.name(action)
  return (action.name:gsub("%c", ""))
end

---An execution's status, with what a person is to do where it waits for one.
---@param execution moonsail.Execution
---@return string
function M.status(execution)
  local advice = status.advice(execution)
  return execution.last_status .. (advice and ", " .. advice or "")
end

---Cuts a text to a number of characters.
---@param text string
---@param width integer
---@return string
function M.fit(text, width)
  local length = utf8.len(text)
  if not length or length <= width then return text end
  return text:sub(1, utf8.offset(text, math.max(1, width)) - 1) .. "…"
end

-- ---- Logs. Before each line stands where it comes from, as far as that is not clear.

local function count_of_running(actions)
  local count = 0
  for _, action in ipairs(actions) do
    if action.status ~= "NOT_EXECUTED" and action.status ~= "SKIPPED" then count = count + 1 end
  end
  return count
end

---@param execution moonsail.Execution
---@param action moonsail.ActionExecution
---@param actions? moonsail.ActionExecution[] of the execution, when known
---@param many boolean whether several executions are shown
---@return string
function M.prefix(execution, action, actions, many)
  if many then return ("%s %s | "):format(M.title(execution), M.name(action)) end
  return actions and count_of_running(actions) == 1 and "" or M.name(action) .. " | "
end

-- Without the sequences that set a title, move the cursor, change the font or make the terminal answer. Colors may
-- stay, and end with the line.
local function harmless(line, colors)
  line = line:gsub("%z", ""):gsub("\27+", "\27")
  line = line:gsub("\27[%]P_^X][^\7\27]*\7", ""):gsub("\27[%]P_^X][^\27]*\27\\", "")
  line = line:gsub("\27%[([0-?]*[ -/]*[@-~])", function(sequence)
    return colors and sequence:find "^[%d;:]*m$" and "\0[" .. sequence or ""
  end)
  line = line:gsub("\27[ -/]*[0-~]", ""):gsub("\xC2[\x80-\x9F]", ""):gsub("[\1-\8\11-\31\127]", "")
  local kept
  line, kept = line:gsub("%z", "\27")
  return kept > 0 and line .. "\27[0m" or line
end

---What is shown of a line of a log. One that goes back to its beginning, as bars of progress do, becomes several.
---@param line string
---@param to "pipe"|"terminal"|"colors" a pipe gets it as it is, a terminal without what could harm it
---@return string[]
function M.log_lines(line, to)
  local lines = {}
  for part in line:gmatch "[^\r\n]+" do
    lines[#lines + 1] = to == "pipe" and part or harmless(part, to == "colors")
  end
  return #lines > 0 and lines or { "" }
end

return M

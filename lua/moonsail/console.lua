--- Words for the person who runs a recipe: lines, tables, a question.

local effect = require "host.effect"
local errors = require "moonsail.errors"
local terminal = require "host.terminal"

local M = {}

-- A display that redraws itself makes room for the text.
local write = effect.define("console.write", { write = false }, function(session, text)
  if session:reports "print" then return session:report("print", text) end
  terminal.write("stdout", text)
end)

-- Not when nobody can answer: a release must not hang, nor go on unasked.
local ask = effect.define("console.ask", { write = false }, function(question)
  if not (terminal.is_terminal "stdin" and terminal.is_terminal "stderr") then
    errors.raise("usage", ("there is nobody to ask: %s"):format(question),
      "Start moonsail in a terminal, or let the recipe take the answer as a parameter.")
  end
  terminal.write("stderr", question .. " [y/N] ")
  local answer = io.stdin:read "l" or ""
  return answer:lower():match "^%s*(%a*)" or ""
end)

---@class moonsail.Column
---@field key string|integer of a row
---@field title? string default the key

-- A text is a record's field and the title; of rows that are lists it is the title only.
local function columns_of(rows, columns)
  local list, is_list = {}, rows[1] ~= nil and rows[1][1] ~= nil
  for i, column in ipairs(columns or {}) do
    if type(column) ~= "table" then column = { key = is_list and i or column, title = column } end
    list[i] = { key = column.key, title = tostring(column.title or column.key) }
  end
  for i = 1, columns and 0 or #(rows[1] or {}) do list[i] = { key = i } end
  return list
end

local function width_of(text)
  return utf8.len(text) or #text
end

-- Rows of texts, each as wide as its column needs; numbers stand at the right.
local function align(lines, right)
  local widths = {}
  for _, line in ipairs(lines) do
    for i, text in ipairs(line) do widths[i] = math.max(widths[i] or 0, width_of(text)) end
  end
  local texts = {}
  for l, line in ipairs(lines) do
    local cells = {}
    for i, text in ipairs(line) do
      local space = (" "):rep(widths[i] - width_of(text))
      cells[i] = right[i] and space .. text or text .. space
    end
    texts[l] = table.concat(cells, "  "):gsub(" +$", "") .. "\n"
  end
  return table.concat(texts)
end

-- One line, and nothing that a terminal would obey: much of it comes from outside.
local function cell(value)
  return value == nil and "" or tostring(value):gsub("%s", " "):gsub("%c", "")
end

---The text of a table, as `sail.table` prints it.
---@param rows table[] records, or lists
---@param columns? (string|moonsail.Column)[] titles of lists, fields of records; none: lists without a head
---@return string
function M.format_table(rows, columns)
  local list, lines, right = columns_of(rows, columns), {}, {}
  if columns then
    lines[1] = {}
    for i, column in ipairs(list) do lines[1][i] = column.title end
  end
  for _, row in ipairs(rows) do
    local line = {}
    for i, column in ipairs(list) do
      local value = row[column.key]
      if right[i] ~= false and value ~= nil then right[i] = type(value) == "number" end
      line[i] = cell(value)
    end
    lines[#lines + 1] = line
  end
  return align(lines, right)
end

---What a recipe gets.
---@param session moonsail.Session
---@return table<string, function>
function M.fields(session)
  return {
    ---Writes its arguments to standard output, as `print` does.
    print = function(...)
      local texts = table.pack(...)
      for i = 1, texts.n do texts[i] = tostring(texts[i]) end
      write(session, table.concat(texts, "\t") .. "\n")
    end,

    ---Writes rows as an aligned table.
    ---@param rows table[] records, or lists
    ---@param columns? (string|moonsail.Column)[] titles of lists, fields of records; none: lists without a head
    table = function(rows, columns)
      write(session, M.format_table(rows, columns))
    end,

    ---Asks whoever sits at the terminal. Raises `usage` when there is no terminal.
    ---@param question string
    ---@return boolean
    confirm = function(question)
      local answer = ask(tostring(question))
      return answer == "y" or answer == "yes"
    end,
  }
end

return M

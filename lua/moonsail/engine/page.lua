--- The query parameters of lists.
local date = require "moonsail.engine.date"
local refusal = require "moonsail.engine.refusal"

local M = {}

local PER_PAGE, MAX_PER_PAGE = 20, 100

---A whole number of a query.
---@param query table<string, string>
---@param name string
---@param default integer
---@param least integer
---@return integer
function M.number(query, name, default, least)
  local text = query[name]
  if not text then return default end
  local value = text:find "^%d+$" and #text <= 9 and tonumber(text)
  if not value or value < least then
    refusal.raise(400, ("%s: found %q, expected a whole number from %d"):format(name, text, least))
  end
  return value
end

---@param query table<string, string>
---@return integer page from 1
---@return integer per_page
function M.of(query)
  local page = M.number(query, "page", 1, 1)
  return page, math.min(M.number(query, "per_page", PER_PAGE, 1), MAX_PER_PAGE)
end

---One of some words of a query.
---@param query table<string, string>
---@param name string
---@param words string[]
---@return string? word nil when the query does not have it
function M.word(query, name, words)
  local text = query[name]
  for _, word in ipairs(words) do
    if text == word then return word end
  end
  if text then
    refusal.raise(400, ("%s: found %q, expected %s"):format(name, text, table.concat(words, ", ")))
  end
end

---A date of a query.
---@param query table<string, string>
---@param name string
---@return number? seconds since 1970; nil when the query does not have it
function M.date(query, name)
  local text = query[name]
  if not text then return nil end
  return date.read(text)
    or refusal.raise(400, ("%s: found %q, expected a date such as 2016-11-18T12:38:16Z"):format(name, text))
end

---A list in the order that a query asks for, or as it is.
---@generic T: table
---@param query table<string, string>
---@param items T[]
---@param fields string[] by which it may be sorted
---@return T[]
function M.sorted(query, items, fields)
  local field = M.word(query, "sort_by", fields)
  local descending = M.word(query, "sort_direction", { "ASC", "DESC" }) == "DESC"
  if not field then return items end
  local sorted = table.move(items, 1, #items, 1, {})
  table.sort(sorted, function(a, b)
    if descending then a, b = b, a end
    return a[field] < b[field]
  end)
  return sorted
end

---The part of a list that is on the page.
---@generic T
---@param query table<string, string>
---@param items T[]
---@return T[]
function M.slice(query, items)
  local page, per_page = M.of(query)
  return table.move(items, (page - 1) * per_page + 1, math.min(page * per_page, #items), 1, {})
end

---The same for lists that are whole unless a page is asked for.
---@generic T
---@param query table<string, string>
---@param items T[]
---@return T[]
function M.slice_if_asked(query, items)
  return (query.page or query.per_page) and M.slice(query, items) or items
end

return M

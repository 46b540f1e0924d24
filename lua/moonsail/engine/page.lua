--- The query parameters of lists.
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

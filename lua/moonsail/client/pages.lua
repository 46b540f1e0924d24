--- Lists that come in pages. Source: https://buddy.works/docs/api/getting-started/overview

local view = require "moonsail.client.view"

local M = {}

local SMALLEST_PAGE = 20 -- the API's default; a page with fewer entries is the last one

local function is_last(answer, entries, page, per_page)
  local pages = math.tointeger(view.field(answer, "total_page_count"))
  if pages then return page >= pages end
  return #entries < math.min(per_page, SMALLEST_PAGE)
end

local function address(path, page, per_page)
  return ("%s%spage=%d&per_page=%d"):format(path, path:find("?", 1, true) and "&" or "?", page, per_page)
end

local function identity(entry)
  return view.field(entry, "id") or view.field(entry, "revision") or view.field(entry, "name")
end

-- Without those that stood on the page before: new entries at the top move old ones down, and a server that does not
-- know pages gives the first one for ever.
local function news(entries, before)
  local fresh, ids = {}, {}
  for _, entry in ipairs(entries) do
    local id = identity(entry)
    if id ~= nil then ids[id] = true end
    if id == nil or not before[id] then fresh[#fresh + 1] = entry end
  end
  return fresh, ids
end

---Goes through a list, and asks for a page when it comes to it.
---@async
---@param get fun(path: string): table reads one page
---@param path string may have a query
---@param key string of the entries in the answer, such as "executions"
---@param per_page integer
---@return fun(): table? # the next entry
function M.each(get, path, key, per_page)
  local page, last, entries, index, before = 0, false, {}, 0, {}
  return function()
    index = index + 1
    while index > #entries and not last do
      page, index = page + 1, 1
      local answer = get(address(path, page, per_page))
      local listed = view.list(answer, key)
      entries, before = news(listed, before)
      last = is_last(answer, listed, page, per_page) or #entries == 0
    end
    return entries[index]
  end
end

---All entries of a list.
---@async
---@param get fun(path: string): table
---@param path string
---@param key string
---@param limit? integer
---@return table[]
function M.all(get, path, key, limit)
  local all = {}
  for entry in M.each(get, path, key, math.min(limit or 100, 100)) do
    all[#all + 1] = entry
    if #all == limit then break end
  end
  return all
end

return M

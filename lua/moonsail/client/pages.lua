--- Lists that come in pages. Source: https://buddy.works/docs/api/getting-started/overview

local view = require "moonsail.client.view"

local M = {}

local SMALLEST_PAGE = 20 -- the API's default; a page with fewer entries is the last one

local function is_last(answer, entries, page, per_page)
  local pages = math.tointeger(answer.total_page_count)
  if pages then return page >= pages end
  return #entries < math.min(per_page, SMALLEST_PAGE)
end

---Goes through a list, and asks for a page when it comes to it.
---@async
---@param get fun(path: string): table reads one page
---@param path string
---@param key string of the entries in the answer, such as "executions"
---@param per_page integer
---@return fun(): table? # the next entry
function M.each(get, path, key, per_page)
  local page, last, entries, index, first = 0, false, {}, 0, nil
  return function()
    index = index + 1
    if index > #entries and not last then
      page, index = page + 1, 1
      local answer = get(("%s?page=%d&per_page=%d"):format(path, page, per_page))
      entries = view.list(answer, key)
      last = is_last(answer, entries, page, per_page)
      -- A server that does not know pages gives the first one for ever.
      local id = entries[1] and (entries[1].id or entries[1].name)
      if page > 1 and id == first then entries, last = {}, true end
      first = first or id
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

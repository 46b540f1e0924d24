--- Going through a pipeline's list, a page a look, from the newest execution down to the oldest that is followed. Pages
--- are as large as that part of the list was last time, so that little is read for nothing.

local view = require "moonsail.client.view"

local M = {}

local SMALL, LARGE = 100, 1000 -- entries; the API's documents name no largest page
local LEAST = 20
local SLACK = 5 -- executions that may be started between two looks
local GROWTH = 5 -- of the pages, until they are as large as they have to be

---@class moonsail.Sweep
---@field poller moonsail.Poller
---@field number integer counted up, so that it can be told what this one has met
---@field page integer to be read next
---@field per_page integer
---@field largest integer page that the server gives
---@field first? integer id on the first page
---@field reach integer place in the list of the last that is followed, in the sweep before
---@field reached integer the same, so far
local Sweep = {}
Sweep.__index = Sweep

---@param poller moonsail.Poller
---@return moonsail.Sweep
function M.new(poller)
  return setmetatable({
    poller = poller, number = 1, page = 1, per_page = LEAST, largest = LARGE, reach = 0, reached = 0,
  }, Sweep)
end

local function lowest(entries)
  local id = math.maxinteger
  for _, entry in pairs(entries) do id = math.min(id, entry.execution.id) end
  return id
end

---The pages that one sweep takes.
---@return integer
function Sweep:pages()
  return math.ceil(self.reach / self.largest)
end

local function begin(self, size)
  self.number, self.page, self.reached = self.number + 1, 1, 0
  self.per_page = math.min(math.max(size, LEAST), self.largest)
end

---Begins at the top of the list again, once a sweep is at its end.
function Sweep:begin()
  self.reach = self.reached
  begin(self, math.max(self.reach, self.poller.count) + SLACK)
end

---A page was refused. Returns whether a smaller one may be taken.
---@return boolean
function Sweep:shrink()
  if self.per_page <= SMALL then return false end
  self.largest = SMALL
  begin(self, SMALL)
  return true
end

---Those that this sweep has not met; the longest missing first.
---@return moonsail.Followed[]
function Sweep:unseen()
  local entries = {}
  for _, entry in pairs(self.poller.followed) do
    if entry.sweep < self.number then entries[#entries + 1] = entry end
  end
  table.sort(entries, function(a, b)
    if a.sweep ~= b.sweep then return a.sweep < b.sweep end
    return a.execution.id < b.execution.id
  end)
  return entries
end

-- The list goes from the newest to the oldest, so what is missing and newer than a page's last is not in it. A server
-- that knows no pages gives the first one again.
local function is_complete(self, answer, listed, unseen)
  local pages = math.tointeger(view.field(answer, "total_page_count"))
  if #unseen == 0 or #listed < LEAST or pages and self.page >= pages then return true end
  local first, last = math.tointeger(view.field(listed[1], "id")), math.tointeger(view.field(listed[#listed], "id"))
  if self.page == 1 then
    self.first = first
  elseif first == self.first then
    return true
  end
  return last == nil or last <= lowest(unseen)
end

-- A server may give less than it is asked for.
local function learn_size(self, answer)
  local size = math.tointeger(view.field(answer, "page_size"))
  if size and size >= LEAST and size < self.per_page then self.largest = size end
end

-- The pages are too small: larger ones from the top on, or else the next.
local function go_on(self)
  if self.per_page < self.largest then return begin(self, GROWTH * self.per_page) end
  self.page = self.page + 1
end

---Reads the next page, and shows each what it says of it. Returns those that the list does not hold, once the sweep is
---at its end. Raises what reading raises.
---@async
---@return moonsail.Followed[]?
function Sweep:read()
  local poller = self.poller
  local answer = poller:get(("%s?page=%d&per_page=%d"):format(poller.path, self.page, self.per_page))
  local listed = view.list(answer, "executions")
  learn_size(self, answer)
  for place, short in ipairs(listed) do
    local entry = poller.followed[view.field(short, "id")]
    if entry and entry:is_told_by(short) then
      entry.sweep = self.number
      self.reached = (self.page - 1) * #listed + place
      entry:show(short)
    end
  end
  -- A large page has become a megabyte of garbage, and every pipeline has its own.
  if #listed > LARGE / 4 then collectgarbage "step" end
  local unseen = self:unseen()
  if is_complete(self, answer, listed, unseen) then return unseen end
  go_on(self)
end

---Whether the list can be read, and does not hold an execution. One that it does hold is shown what it says.
---@async
---@param entry moonsail.Followed
---@return boolean
function Sweep:is_without(entry)
  local poller = self.poller
  local answer = poller:get(("%s?page=1&per_page=%d"):format(poller.path, LEAST))
  for _, short in ipairs(view.list(answer, "executions")) do
    if not entry.over and entry:is_told_by(short) then
      entry:show(short)
      return false
    end
  end
  return type(view.field(answer, "executions")) == "table"
end

return M

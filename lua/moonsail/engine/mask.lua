--- Masks values in a stream of text, also those that are split over two pieces of it.
local M = {}

M.MASK = "••••"

local Mask = {}
Mask.__index = Mask

---@param values string[] what must not be seen
function M.new(values)
  local self = setmetatable({ held = "" }, Mask)
  self:hide(values)
  return self
end

---From now on these are what must not be seen.
---@param values string[]
function Mask:hide(values)
  local kept = {}
  for _, value in ipairs(values) do
    if value ~= "" then table.insert(kept, value) end
  end
  table.sort(kept, function(a, b) return #a > #b end) -- of two that begin alike the longer one is masked
  self.values = kept
end

-- Where, from `from` on, the text ends with the beginning of a value; nil when it does not.
local function unfinished(value, text, from)
  local at = math.max(from, #text - #value + 2)
  local first = value:sub(1, 1)
  while true do
    at = text:find(first, at, true)
    if not at or value:sub(1, #text - at + 1) == text:sub(at) then return at end
    at = at + 1
  end
end

local function earliest_unfinished(values, text, from)
  local earliest
  for _, value in ipairs(values) do
    local at = unfinished(value, text, from)
    if at and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end

-- The first whole value from `from` on. `places` remembers where each value stands next.
local function first_value(values, text, from, places)
  local start, length
  for index, value in ipairs(values) do
    local at = places[index]
    if at and at < from then
      at = text:find(value, from, true)
      places[index] = at
    end
    if at and (not start or at < start) then start, length = at, #value end
  end
  return start, length
end

---The text that may be shown now. What could be the beginning of a value is held back until the next piece.
---@param piece string
---@param last? boolean nothing follows, so nothing is held back
---@return string
function Mask:feed(piece, last)
  local values = self.values
  if #values == 0 and self.held == "" then return piece end
  local text, shown, from, places = self.held .. piece, {}, 1, {}
  for index in ipairs(values) do places[index] = 0 end
  while true do
    local start, length = first_value(values, text, from, places)
    local hold = not last and earliest_unfinished(values, text, from)
    if hold and not (start and start < hold) then
      table.insert(shown, text:sub(from, hold - 1))
      self.held = text:sub(hold)
      return table.concat(shown)
    elseif not start then
      table.insert(shown, text:sub(from))
      self.held = ""
      return table.concat(shown)
    end
    table.insert(shown, text:sub(from, start - 1))
    table.insert(shown, M.MASK)
    from = start + length
  end
end

return M

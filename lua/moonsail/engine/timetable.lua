--- What is due when: a heap, the earliest on top. Holds numbers only, so that it can be long.
local M = {}

---@class engine.Timetable
local Timetable = {}
Timetable.__index = Timetable

---@return engine.Timetable
function M.new()
  return setmetatable({ due = {}, pipelines = {}, numbers = {} }, Timetable)
end

function Timetable:swap(a, b)
  for _, column in pairs(self) do column[a], column[b] = column[b], column[a] end
end

---@param due number seconds since 1970
---@param pipeline integer
---@param number integer
function Timetable:add(due, pipeline, number)
  local at = #self.due + 1
  self.due[at], self.pipelines[at], self.numbers[at] = due, pipeline, number
  while at > 1 and self.due[at // 2] > due do
    self:swap(at, at // 2)
    at = at // 2
  end
end

-- Moves the top one down to where it belongs.
function Timetable:sink()
  local due, at = self.due, 1
  while true do
    local least = 2 * at
    if due[least + 1] and due[least + 1] < due[least] then least = least + 1 end
    if not due[least] or due[at] <= due[least] then return end
    self:swap(at, least)
    at = least
  end
end

---When the next one is due.
---@return number? seconds since 1970; nil when there is none
function Timetable:next()
  return self.due[1]
end

---Takes the next one if it is due.
---@param now number seconds since 1970
---@return integer? pipeline
---@return integer number
---@return number due
function Timetable:take(now)
  local due, pipeline, number = self.due[1], self.pipelines[1], self.numbers[1]
  if not due or due > now then return nil end
  self:swap(1, #self.due)
  for _, column in pairs(self) do column[#column] = nil end
  self:sink()
  return pipeline, number, due
end

return M

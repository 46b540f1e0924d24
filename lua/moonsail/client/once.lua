--- Work that many tasks need and one of them does, while the others wait for it.

local task = require "host.task"

local M = {}

local function release(pending)
  pending.owner.pending = nil
  pending.event:notify()
end

local pending_mt = { __close = release }

---Returns a function that gives what `fn(...)` gave when it was first called, which must not be nil or false. When
---that fails or is cancelled, only its caller is told, and the next one tries again.
---@generic T
---@param fn fun(...): T
---@return fun(...): T
function M.new(fn)
  local self = {}
  return function(...)
    while not self.value do
      if self.pending then
        self.pending.event:wait()
      else
        local pending <close> = setmetatable({ owner = self, event = task.event() }, pending_mt)
        self.pending = pending
        self.value = fn(...)
      end
    end
    return self.value
  end
end

return M

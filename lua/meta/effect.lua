---@meta host.effect
--- The boundary: the one function that every effect of a recipe crosses.

---@class host.effect
local effect = {}

---@class host.effect.Definition
---@field write boolean whether it changes the world (and so may not be repeated blindly)

---Defines a kind of effect and returns the function that performs it: calling it crosses the boundary.
---Arguments and results should be plain data.
---@param name string such as "execution.run"; each name once a host
---@param definition host.effect.Definition
---@param perform function performs it, in live mode
---@return function
function effect.define(name, definition, perform) end

---Calls `fn(crossing)` after each effect that crosses, with { name, write, path, step, seconds, ok }. nil ends it.
---@param fn? fun(crossing: table)
function effect.observe(fn) end

---From now on no effect is performed: each raises `problem` instead. nil ends it.
---@param problem any
function effect.refuse(problem) end

return effect

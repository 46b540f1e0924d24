---@meta host.json
--- JSON for an API: integers stay integers, empty lists stay lists, null is a value, keys are written in order.

---@class host.json
---@field null userdata the JSON null; truthy, so compare with it
local json = {}

---@param text string
---@param options? { max_depth?: integer } default 128, at most 1000
---@return any value nil when the text is not JSON
---@return string? message what is wrong and at which path, such as "actions[2].name: bad UTF-8 at byte 31"; both count from 1
---@return "json"? code
function json.decode(text, options) end

---Raises, with the path, on what JSON cannot hold: functions, cycles, NaN, mixed keys, bad UTF-8.
---Keys are sorted by byte. An empty table is `{}` unless it is a `json.list`.
---@param value any
---@param options? { indent?: integer } spaces a level, at most 16; default none, on one line
---@return string
function json.encode(value, options) end

---Marks a table as a list, so that it is written as `[]` when empty. Returns it.
---@generic T: table
---@param t T
---@return T
function json.list(t) end

---@param t any
---@return boolean
function json.is_list(t) end

return json

---@meta host.terminal
--- What stands at the other end of standard input, output and error.

---@class host.terminal
local terminal = {}

---@param stream "stdin"|"stdout"|"stderr"
---@return boolean
function terminal.is_terminal(stream) end

---@return integer columns 80 when unknown
---@return integer rows 24 when unknown
function terminal.size() end

---Writes all of it, at once, without a buffer of its own.
---@param stream "stdout"|"stderr"
---@param text string
---@return true? ok
---@return string? message
---@return string? code such as "EPIPE"
function terminal.write(stream, text) end

return terminal

---@meta host.process
--- Child processes, each in a process group of its own.

---@class host.process
local process = {}

---@class host.process.Options
---@field command string[] program (looked up in the child's PATH) and arguments; no shell in between
---@field directory? string
---@field environment? table<string, string> the whole environment of the child, whose PATH is searched for the program;
--- default: this process's own
---@field input? string written to its standard input, which is then closed; default: empty
---@field merge? boolean one pipe for standard output and error, so that their order is kept

---@class host.Process
---@field pid integer
local Process = {}

---@param options host.process.Options
---@return host.Process?
---@return string? message
---@return string? code such as "ENOENT"
function process.spawn(options) end

---The next piece of output, as it comes; nil at the end, and when another task closes the process. Output that nobody
---reads holds the child up, not our memory. After the process has exited the end is also reached when a descendant keeps
---the pipe open but silent for 0.2 s. One task reads at a time. Cancelling it closes the process.
---@async
---@return string? chunk
---@return ("stdout"|"stderr"|string)? stream always "stdout" when merged; the message when reading failed
---@return string? code when reading failed
function Process:read() end

---@class host.process.Status
---@field code? integer exit code
---@field signal? string such as "SIGKILL", when a signal ended it

---Waits for the process itself, not its descendants. Giving up, such as in `task.timeout`, does it no harm.
---@async
---@return host.process.Status
function Process:wait() end

---Sends a signal to the whole process group; default "SIGTERM". No effect when nobody is left in it.
---@param signal? string
---@return true? ok
---@return string? message
---@return string? code such as "EPERM", when the whole group has become another user's
function Process:kill(signal) end

---Ends what is left of the group (SIGKILL) and frees everything. Also `<close>`, and when the reader is cancelled.
function Process:close() end

---Spawns, reads everything, waits, closes. A cancelled `run` leaves nothing of the group behind.
---@async
---@param options host.process.Options|{ max_bytes?: integer } output beyond max_bytes (16 MiB) is an error, "too_large"
---@return (host.process.Status|{ stdout: string, stderr: string })?
---@return string? message
---@return string? code
function process.run(options) end

return process

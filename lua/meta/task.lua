---@meta host.task
--- Tasks: coroutines on the host's one loop. A call that waits looks like a plain call.
--- Structured: a task owns what it spawns. When its function returns it waits for its children; when
--- it fails or is cancelled it cancels them first. An error of a child that nobody joined is its parent's error.
--- Cancelling raises at the task's wait, runs its `<close>` variables, and passes through `pcall`.

---@class host.task
local task = {}

---@class host.Task
---@field status "ready"|"running"|"waiting"|"done"|"failed"|"cancelled"
---@field path string where it stands in the tree of tasks, such as "1.3"
local Task = {}

---Starts `fn(...)` as a child of the running task; it first runs when this task waits.
---@param fn function
---@return host.Task
function task.spawn(fn, ...) end

---Waits for the task's end. Returns what its function returned; raises what it raised. May be called again.
---@async
function Task:join() end

---Asks the task and its children to stop. Does not wait: join it for that. No effect once it has ended.
---@param reason? string
function Task:cancel(reason) end

---@async
---@param seconds number
function task.sleep(seconds) end

---Lets every other ready task run once.
---@async
function task.yield() end

---Runs `fn(...)` as a child and cancels it when the time is over. Errors of `fn` are raised.
---@async
---@param seconds number
---@return true|nil # true and then fn's results; or nil when the time was over
---@return any message
---@return any code "timeout"
function task.timeout(seconds, fn, ...) end

---Runs all functions at once. The first error cancels the others and is raised.
---@async
---@param fns function[]
---@return any[] results first result of each, in the order of `fns`; nil becomes `false`-free hole (use .n)
function task.all(fns) end

---Runs all functions at once, returns the first one's result and index, cancels the others.
---@async
---@param fns function[]
---@return any result
---@return integer index
function task.race(fns) end

---Runs `fn(item, index)` for each item, at most `limit` at once. The first error cancels the others and is raised.
---@async
---@param items any[]
---@param options { limit?: integer }
---@param fn fun(item: any, index: integer): any
---@return any[] results in the order of `items`; field `n` is their number
function task.map(items, options, fn) end

---Runs `fn(...)` so that a cancellation waits until it has returned.
---@async
function task.shield(fn, ...) end

---@return host.Task
function task.current() end

---@class host.Event
local Event = {}

---Something to wait for. `notify` wakes everybody who waits at that moment, and hands them its arguments.
---@return host.Event
function task.event() end

---@async
---@param seconds? number longest wait
---@return boolean notified false when the time was over; then follow the arguments of notify
function Event:wait(seconds) end

function Event:notify(...) end

---@class host.Simulation
local Simulation = {}

---From here on all time is simulated: `now`, `monotonic`, sleeps, every time limit. It stands still while anything can
---run, and then jumps to what is due next, so hours pass at once and durations come out exactly. Both ends of a
---connection within this process may take part. While something outside is under way (a child process, a worker thread,
---another process's server) it goes with the real time. A loop of `task.yield` is something that runs.
---
---    local clock <close> = task.simulate()
---
---Raises when time is simulated already. Closing it, or its collection, goes back to real time: what is set then keeps
---what remains of it, and `monotonic` goes on from where it was.
---@param start? number what `now` begins with, in seconds since 1970; default 2030-01-01T00:00:00Z
---@return host.Simulation
function task.simulate(start) end

function Simulation:close() end

---The wall clock, in seconds since 1970, with a fraction.
---@return number
function task.now() end

---A clock that only goes forward, in seconds.
---@return number
function task.monotonic() end

return task

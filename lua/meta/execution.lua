---@meta host.execution
--- The safety kernel: a validated, immutable request to run a pipeline, its exact bytes, and its one sending.

---@class host.execution
---@field fields string[] the names that a request may have, sorted
local execution = {}

---@class host.execution.Fault
---@field path string such as "variables.pass.encrypted" or "actions_to_run[2]"
---@field found string such as "string \"URGENT\""
---@field expected string such as "LOW, NORMAL or HIGH"
---@field nearest? string the nearest right name, for a misspelt field or value

---@class host.ExecutionRequest immutable; tostring is the masked JSON
local ExecutionRequest = {}

---Makes a request from the short form (`branch = "master"`, `variables = { version = "1.0", pass =
---{ value = "x", encrypted = true } }`, `to_revision`/`revision = "HEAD"`) or the API's own form; both give the same bytes.
---`delay_until` may be a time from now ("3h10m"), which becomes the instant that it is. A field that is json.null is a
---fault, as is a table with a metatable. The values of variables are never shown in one.
---Source: POST …/executions, "Run an execution".
---@param fields table
---@return host.ExecutionRequest? request nil when there is any fault
---@return host.execution.Fault[]? faults every fault, in the order of their paths
function execution.request(fields) end

---The exact bytes that are sent. Same request, same bytes.
---@return string
function ExecutionRequest:json() end

---The same with every encrypted value as "••••".
---@return string
function ExecutionRequest:masked() end

---A copy of this request with some fields replaced (short or API form), validated anew.
---@param fields table
---@return host.ExecutionRequest?
---@return host.execution.Fault[]?
function ExecutionRequest:with(fields) end

---@class host.execution.Outcome
---@field outcome "accepted"|"refused"|"unsent"|"uncertain"
---@field status? integer the HTTP status, when an answer came
---@field execution? table the decoded execution, when accepted
---@field message? string why not
---@field code? string the code of host.http, or "json" for an answer that was not an execution
---@field response? host.http.Response

---Sends the request once: POST to `url`. `accepted`: a 2xx that holds an execution. `refused`: the API's own 4xx, or a redirect.
---`unsent`: no byte left. `uncertain`: anything else; it may or may not run. Not cancelled half way; a task that is
---cancelled already sends nothing, unless it is shielded.
---@async
---@param request host.ExecutionRequest
---@param target { url: string, headers?: table<string, string>, timeout?: number }
---@return host.execution.Outcome
function execution.submit(request, target) end

---The name among `names` that is nearest to `name`, or nil when none is near.
---@param name string
---@param names string[]
---@return string?
function execution.nearest(name, names) end

return execution

--- What a failed exchange means: from an answer, or from none, to the error that a recipe sees.

local errors = require "moonsail.errors"
local json = require "host.json"

local M = {}

-- Text from outside goes to a terminal: no control characters, and not without end.
local function clean(text)
  text = text:gsub("%s+", " "):gsub("%c", ""):gsub("^ +", ""):gsub(" +$", "")
  return #text > 500 and text:sub(1, utf8.offset(text, 0, 500) - 1) .. "…" or text
end

local function add_message(messages, value)
  if type(value) == "string" and value ~= "" then messages[#messages + 1] = clean(value) end
end

---The API's own words: `{"errors":[{"message":…}]}`, or the `error` and `message` of its gateways.
---@param response host.http.Response
---@return string? message nil when there are none
function M.message(response)
  local body = json.decode(response.body)
  if type(body) ~= "table" then return nil end
  local messages = {}
  for _, entry in ipairs(type(body.errors) == "table" and body.errors or {}) do
    add_message(messages, type(entry) == "table" and entry.message or entry)
  end
  if #messages == 0 then add_message(messages, body.error) end
  if #messages == 0 then add_message(messages, body.message) end
  return #messages > 0 and table.concat(messages, "; ") or nil
end

---Whether an answer is a page for people.
---@param response host.http.Response
---@return boolean
function M.is_html(response)
  return response.body:find("^%s*<") ~= nil
end

-- Buddy answers 429, and in older editions 403 with these words.
local function says_rate_limit(response, message)
  return response.status == 429
    or response.status == 403 and message ~= nil and message:lower():find("rate limit", 1, true) ~= nil
end

---Whether the API has refused a request because there were too many.
---@param response host.http.Response
---@return boolean
function M.is_rate_limit(response)
  return says_rate_limit(response, response.status == 403 and M.message(response) or nil)
end

local function scope_hint(response, scope)
  local has = response.headers["x-oauth-scopes"]
  if has and (" " .. has:gsub(",", " ") .. " "):find((" %s "):format(scope), 1, true) then
    return "The token has the scope for it, so its user lacks the right: ask for it in the project's settings."
  end
  return ("The token needs the scope %s%s."):format(scope, has and ", and it has: " .. clean(has) or "")
end

local function hint_for(response, context)
  local status = response.status
  if status == 401 then
    return ("The token from %s is wrong or expired, or may not enter this workspace: make a new one."):format(
      context.token_source or "the settings")
  end
  if status == 403 then
    return scope_hint(response, context.method == "GET" and "EXECUTION_INFO" or "EXECUTION_RUN")
  end
  if status >= 500 then return "The fault is the server's. Try again later." end
  return ("The request was %s %s."):format(context.method, context.url)
end

local function redirect(response, context)
  local target = clean(response.headers.location or "nowhere")
  return errors.new("api",
    ("%s redirects to %s (%d), which is not followed with the token"):format(context.url, target, response.status),
    "If that address is the right one, set it as BUDDY_API_ENDPOINT.", { status = response.status, url = context.url })
end

---@class moonsail.ExchangeContext what was asked
---@field method string
---@field url string
---@field token_source? string

---The error for an answer that is not a success.
---@param response host.http.Response
---@param context moonsail.ExchangeContext
---@return moonsail.Error err of kind `api`; `transient` when the same read may succeed later, `foreign` when it is not
---  in the API's own words, so that it may be a proxy's
function M.answer(response, context)
  local status = response.status
  if status >= 300 and status < 400 then return redirect(response, context) end
  local message = M.message(response)
  local limited = says_rate_limit(response, message)
  local facts = {
    status = status,
    url = context.url,
    transient = (limited or status >= 500) and true or nil,
    foreign = not message or nil,
  }
  if limited then
    return errors.new("api", "the API's rate limit is used up", "Wait until it renews, or ask for less.", facts)
  end
  message = message or (M.is_html(response) and "with a page of HTML") or "without a reason"
  local verb = status >= 500 and "failed" or "refused"
  return errors.new("api", ("the API %s (%d): %s"):format(verb, status, message), hint_for(response, context), facts)
end

---The error for a success whose body is not what was promised.
---@param response host.http.Response
---@param context moonsail.ExchangeContext
---@param fault string
---@return moonsail.Error
function M.body(response, context, fault)
  local facts = { status = response.status, url = context.url, transient = true }
  if M.is_html(response) then
    return errors.new("api", context.url .. " answered with HTML, not JSON",
      "It does not look like Buddy's API: check BUDDY_API_ENDPOINT, such as https://api.buddy.works.", facts)
  end
  return errors.new("api", ("the answer of %s cannot be read: %s"):format(context.url, clean(fault)),
    "Check BUDDY_API_ENDPOINT; if it is right, the fault is the server's.", facts)
end

local network_hints = {
  resolve = "Check the host's name and the network.",
  connect = "Check that the server runs and that nothing blocks the way to it.",
  tls = "Check the server's certificate; the file of a private CA is named by CURL_CA_BUNDLE.",
  timeout = "The server did not answer in time. Try again later.",
  too_large = "It is not an answer of Buddy's API: check BUDDY_API_ENDPOINT.",
}

---The error for an exchange without a whole answer.
---@param message string
---@param code string of host.http
---@param context moonsail.ExchangeContext
---@return moonsail.Error err of kind `network`
function M.network(message, code, context)
  local lasting = code == "tls" or code == "too_large" or code == "redirects"
  local what, hint = errors.split(clean(message))
  return errors.new("network", ("%s %s: %s"):format(context.method, context.url, what),
    hint or network_hints[code] or "Try again.", { code = code, url = context.url, transient = not lasting or nil })
end

return M

--- Names of branches, tags and pull requests, and the patterns with which a pipeline says which of them it runs on.
local M = {}

---@alias engine.RefKind "branch"|"tag"|"pull_request"

local PREFIXES = { branch = "refs/heads/", tag = "refs/tags/", pull_request = "refs/" }

---Whether git could have a branch or tag of this name, so that "main~1" is never taken for one.
---@param name string
---@return boolean
function M.valid(name)
  return not (name == "" or name:find "[%c\127 ~^:?*%[\\]" or name:find("..", 1, true) or name:find("@{", 1, true)
    or name:find "^[-/]" or name:find "[/.]$" or name:find("//", 1, true) or name:find "%.lock$")
end

---The name with its kind, such as refs/heads/main, refs/tags/v1 or refs/pull/1.
---@param kind engine.RefKind
---@param name string for a pull request "pull/1"
---@return string
function M.full(kind, name)
  return PREFIXES[kind] .. name
end

---What to ask git for: a pull request's commits are at refs/pull/N/head.
---@param kind engine.RefKind
---@param name string
---@return string
function M.in_repository(kind, name)
  return M.full(kind, name) .. (kind == "pull_request" and "/head" or "")
end

---The kind and short name of a full name.
---@param full string
---@return engine.RefKind? kind
---@return string name
function M.split(full)
  local branch, tag, pull = full:match "^refs/heads/(.+)", full:match "^refs/tags/(.+)", full:match "^refs/(pull/%d+)$"
  if branch then return "branch", branch end
  if tag then return "tag", tag end
  if pull then return "pull_request", pull end
  return nil, full
end

---Whether a pattern has a wildcard.
---@param pattern string
---@return boolean
function M.is_wild(pattern)
  return pattern:find("*", 1, true) ~= nil
end

local function matches(pattern, text)
  if not M.is_wild(pattern) then return pattern == text end
  return text:find("^" .. pattern:gsub("[^%w*]", "%%%0"):gsub("%*", ".*") .. "$") ~= nil
end

---Whether a pattern covers a ref. A full pattern is compared with the full name, a short one with the name of a
---branch or tag; pull requests are covered by patterns that name them (`pull/*`, `refs/pull/*`).
---@param pattern string
---@param kind engine.RefKind
---@param name string
---@return boolean
function M.covers(pattern, kind, name)
  if pattern:find "^refs/" then return matches(pattern, M.full(kind, name)) end
  if kind == "pull_request" and not pattern:find "^pull/" then return false end
  return matches(pattern, name)
end

return M

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

---Whether a pattern may cover more than one ref.
---@param pattern string
---@return boolean
function M.is_wild(pattern)
  return pattern:find("*", 1, true) ~= nil or M.is_expression(pattern)
end

---Whether a pattern is a regular expression: the whole of it stands in parentheses.
---@param pattern string
---@return boolean
function M.is_expression(pattern)
  return pattern:find "^%(.*%)$" ~= nil
end

-- A bound on the work for one ref, as an expression may backtrack for years.
local LIMIT = "(*LIMIT_MATCH=100000)"

---Whether the engine can use a pattern.
---@param pattern string
---@return boolean ok
---@return string? message
function M.check(pattern)
  if not pattern:find "^%(" then return true end
  if not M.is_expression(pattern) then return false, "a regular expression stands in parentheses, the whole of it" end
  local found, rex = pcall(require, "rex_pcre2")
  if not found then return false, "regular expressions need the package lua-rex-pcre2" end
  local ok, problem = pcall(rex.new, pattern)
  return ok, not ok and "is not a regular expression: " .. problem or nil
end

-- One that gives up for its limit covers nothing.
local function expression_matches(pattern, text)
  local rex = require "rex_pcre2"
  local ok, start = pcall(rex.find, text, LIMIT .. "\\A(?:" .. pattern .. ")\\z")
  return ok and start ~= nil
end

---Whether text fits a pattern in which * stands for any text. Each piece between two is looked for once, from the
---left, so that the work is bounded.
---@param pattern string
---@param text string
---@return boolean
function M.matches(pattern, text)
  local first, rest = pattern:match "^([^*]*)%*(.*)$"
  if not first then return pattern == text end
  local middle, last = rest:match "^(.-)([^*]*)$"
  local from, ends = #first + 1, #text - #last
  if text:sub(1, #first) ~= first or text:sub(ends + 1) ~= last then return false end
  for piece in middle:gmatch "[^*]+" do
    local _, at = text:find(piece, from, true)
    if not at then return false end
    from = at + 1
  end
  return from <= ends + 1
end

---Whether a pattern covers a ref. A full pattern and a regular expression are compared with the full name, a short
---one with the name of a branch or tag; pull requests are covered by patterns that name them (`pull/*`,
---`refs/pull/*`, `(refs/pull/.*)`).
---@param pattern string that :check has found good
---@param kind engine.RefKind
---@param name string
---@return boolean
function M.covers(pattern, kind, name)
  local full = M.full(kind, name)
  if M.is_expression(pattern) then return expression_matches(pattern, full) end
  if pattern:find "^refs/" then return M.matches(pattern, full) end
  if kind == "pull_request" and not pattern:find "^pull/" then return false end
  return M.matches(pattern, name)
end

return M

--- The effects of the client that any of its objects may need. The first argument is the session that performs it;
--- what follows, and what comes back, is plain data.

local effect = require "host.effect"

local M = {}

---Reads from the API. Raises an `api` or a `network` error.
---@type fun(session: moonsail.Session, path: string): any
M.get = effect.define("api.get", { write = false }, function(session, path)
  return session:transport().get(path)
end)

---Changes something through the API, once. Raises an `api`, `network` or `uncertain` error.
---@type fun(session: moonsail.Session, method: string, path: string, body: any): any
M.write = effect.define("api.write", { write = true }, function(session, method, path, body)
  return session:transport().write(method, path, body)
end)

---Which workspace and project are meant, once the settings and the engine have been asked.
---@type fun(session: moonsail.Session, workspace: string?, project: string?): { workspace: string, project: string }
M.place = effect.define("api.place", { write = false }, function(session, workspace, project)
  return session:place(workspace, project)
end)

---Which workspace is meant, in the same way.
---@type fun(session: moonsail.Session, workspace: string?): string
M.workspace = effect.define("api.workspace", { write = false }, function(session, workspace)
  return session:workspace(workspace)
end)

return M

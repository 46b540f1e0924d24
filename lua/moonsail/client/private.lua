--- What the objects that a recipe holds know and do not show: by object, a table with its `session` (of a project) and
--- `path()` (of a project or pipeline: where its API begins, looked up at first use). So a recipe reaches the world
--- through effects and through nothing else, and every field of an object is plain data.

---@type table<table, { session?: moonsail.Session, path: fun(): string }>
return setmetatable({}, { __mode = "k" })

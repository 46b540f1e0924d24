--- What the objects that a recipe holds know and do not show. By object, of a workspace, project or pipeline: a table
--- with its `session`, `path()` (where its API begins) and `place()` (the names in that path), both looked up at first
--- use. So a recipe reaches the world through effects and through nothing else, and every field of an object is plain
--- data.

---@class moonsail.Place
---@field workspace string
---@field project? string
---@field pipeline? string|integer as it was asked for

---@class moonsail.Private
---@field session moonsail.Session
---@field path fun(): string
---@field place fun(): moonsail.Place

---@type table<table, moonsail.Private>
return setmetatable({}, { __mode = "k" })

local moonsail = require "spec.support.moonsail"
local process = require "host.process"
local store = require "host.store"
local task = require "host.task"

describe("host.store", function()
  local folder, db

  before_each(function()
    folder = moonsail.folder()
    db = assert(store.open(folder.path .. "/state.db"))
    db:execute "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, value)"
  end)

  after_each(function()
    db:close()
    getmetatable(folder).__close(folder)
  end)

  local function stat(path)
    return assert(process.run { command = { "stat", "-c", "%a", path } }).stdout:match "%d+"
  end

  describe(".open", function()
    it("makes files that only their owner can read", function()
      db:prepare("INSERT INTO items (name) VALUES (?)"):run "x"
      assert(db:durable())
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        assert.equal("600", stat(folder.path .. "/state.db" .. suffix))
      end
    end)

    it("tells why it cannot", function()
      local none, message, code = store.open(folder.path .. "/no/such/folder.db")
      assert.is_nil(none)
      assert.matches("folder.db", message, 1, true)
      assert.is_string(code)
    end)
  end)

  describe("a statement", function()
    it("keeps values as they are", function()
      local insert = db:prepare "INSERT INTO items (name, value) VALUES (?, ?)"
      for i, value in ipairs { 7, 1.5, "text", "a\0b", math.maxinteger, math.mininteger } do
        assert.same({ 1, i }, { insert:run("n" .. i, value) })
      end
      insert:run("nothing", nil)
      insert:run("yes", true)
      local values = {}
      local rows = db:prepare("SELECT * FROM items ORDER BY id"):rows()
      for i, row in ipairs(rows) do values[i] = row.value or "absent" end
      assert.same({ 7, 1.5, "text", "a\0b", math.maxinteger, math.mininteger, "absent", 1 }, values)
      assert.equal("integer", math.type(values[1]))
    end)

    it("takes named parameters from a table", function()
      db:prepare("INSERT INTO items (name, value) VALUES (:name, :value)"):run { name = "a", value = 2 }
      assert.same({ id = 1, name = "a", value = 2 }, db:prepare("SELECT * FROM items WHERE name = :n"):row { n = "a" })
    end)

    it("gives nil for no row, and can be run again", function()
      local find = db:prepare "SELECT id FROM items WHERE name = ?"
      assert.is_nil(find:row "a")
      db:execute "INSERT INTO items (name) VALUES ('a')"
      assert.same({ id = 1 }, find:row "a")
      assert.same({ { id = 1 } }, find:rows "a")
      assert.same({}, find:rows "b")
    end)

    it("raises with the words of SQL and of SQLite", function()
      assert.error_matches(function() db:prepare "SELEKT 1" end, "SELEKT")
      assert.error_matches(function() db:execute "INSERT INTO missing VALUES (1)" end, "no such table")
      assert.has_error(function() db:prepare("INSERT INTO items (name) VALUES (?)"):run {} end)
      db:execute "INSERT INTO items (id) VALUES (1)"
      assert.error_matches(function() db:prepare("INSERT INTO items (id) VALUES (?)"):run(1) end, "UNIQUE")
    end)

    it("takes as many values as it has parameters", function()
      local insert = db:prepare "INSERT INTO items (name, value) VALUES (?, ?)"
      assert.error_matches(function() insert:run "a" end, "2 parameters, got 1")
      assert.error_matches(function() insert:run("a", 1, 2) end, "2 parameters, got 3")
      assert.error_matches(function() insert:run { name = "a" } end, "has no name")
    end)

    it("knows the columns of a table that has been altered", function()
      db:execute "INSERT INTO items (name) VALUES ('a')"
      local all = db:prepare "SELECT * FROM items"
      assert.same({ id = 1, name = "a" }, all:row())
      db:execute "ALTER TABLE items ADD COLUMN more DEFAULT 5"
      db:execute "ALTER TABLE items RENAME COLUMN name TO title"
      assert.same({ id = 1, title = "a", more = 5 }, all:row())
    end)

    it("cannot begin or end the transaction that all share", function()
      for _, sql in ipairs { "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a" } do
        assert.error_matches(function() db:execute(sql) end, "atomically")
      end
    end)

    it("may outlive its store, in either order", function()
      local other = assert(store.open ":memory:")
      local one = other:prepare "SELECT 1 AS one"
      other = nil -- luacheck: ignore 311
      collectgarbage()
      assert.same({ one = 1 }, one:row())
      one = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
    end)

    it("cannot be used after its store has closed", function()
      local find = db:prepare "SELECT 1 AS one"
      db:close()
      assert.has_error(function() find:row() end)
      assert.has_error(function() db:execute "SELECT 1" end)
      db:close()
    end)
  end)

  describe(":atomically", function()
    local function count()
      return db:prepare("SELECT count(*) AS n FROM items"):row().n
    end

    it("returns what the function returns", function()
      assert.same({ 1, 2 }, { db:atomically(function()
        db:execute "INSERT INTO items (name) VALUES ('a')"
        return 1, 2
      end) })
      assert.equal(1, count())
    end)

    it("undoes everything when it raises, and only that", function()
      db:execute "INSERT INTO items (name) VALUES ('before')"
      assert.has_error(function()
        db:atomically(function()
          db:execute "INSERT INTO items (name) VALUES ('a')"
          error("no", 0)
        end)
      end, "no")
      assert.equal(1, count())
      db:atomically(function()
        db:execute "INSERT INTO items (name) VALUES ('outer')"
        pcall(db.atomically, db, function()
          db:execute "INSERT INTO items (name) VALUES ('inner')"
          error "inner"
        end)
      end)
      assert.equal(2, count())
    end)
  end)

  describe(":durable", function()
    it("waits for one commit that all of a turn share, and another process sees it", function()
      local insert = db:prepare "INSERT INTO items (name) VALUES (?)"
      task.map({ "a", "b", "c" }, {}, function(name)
        insert:run(name)
        assert(db:durable())
      end)
      local reader <close> = assert(store.open(folder.path .. "/state.db"))
      assert.equal(3, reader:prepare("SELECT count(*) AS n FROM items"):row().n)
    end)

    it("survives kill -9", function()
      db:close()
      local script = [[
        local db = assert(require("host.store").open "state.db")
        db:execute "INSERT INTO items (name) VALUES ('kept')"
        assert(db:durable())
        print "on disk"
        io.stdout:flush()
        require("host.task").sleep(1e6)
      ]]
      local child <close> = assert(process.spawn {
        command = { moonsail.path, "eval", script }, directory = folder.path, merge = true,
      })
      assert.equal("on disk\n", child:read())
      child:kill "SIGKILL"
      assert.equal("SIGKILL", child:wait().signal)
      db = assert(store.open(folder.path .. "/state.db"))
      assert.equal("kept", db:prepare("SELECT name FROM items"):row().name)
    end)

    it("is told of by close", function()
      db:execute "INSERT INTO items (name) VALUES ('a')"
      assert.is_true(db:close())
    end)

    it("tells it later when nobody has waited", function()
      assert(db:durable())
      db:execute "CREATE TABLE parents (id PRIMARY KEY)"
      db:execute "CREATE TABLE children (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
      assert(db:durable())
      db:execute "INSERT INTO children VALUES (1)"
      task.sleep(0)
      local ok, message, code = db:durable()
      assert.same({ nil, "SQLITE_CONSTRAINT" }, { ok, code })
      assert.matches("rolled back", message)
      assert.is_true(db:durable())
      assert.same({}, db:prepare("SELECT * FROM children"):rows())
    end)

    it("tells everybody who waits when the disk is full, and undoes what they wrote", function()
      assert(db:durable())
      local pages = db:prepare("PRAGMA page_count"):row().page_count
      db:execute("PRAGMA max_page_count = " .. pages + 1)
      local insert = db:prepare "INSERT INTO items (name) VALUES (?)"
      local outcomes = task.map({ "a", "b" }, {}, function()
        local written, raised = pcall(insert.run, insert, ("x"):rep(100000))
        local ok, message = db:durable()
        return { failed = not written or not ok, why = not written and raised or message }
      end)
      for _, outcome in ipairs(outcomes) do
        assert.is_true(outcome.failed)
        assert.matches("full", outcome.why)
      end
      db:execute "PRAGMA max_page_count = 100000"
      insert:run "fits"
      assert(db:durable())
      assert.same({ { name = "fits" } }, db:prepare("SELECT name FROM items"):rows())
    end)
  end)

  it("inserts a hundred thousand rows in one turn", function()
    local insert = db:prepare "INSERT INTO items (name, value) VALUES (?, ?)"
    for i = 1, 100000 do insert:run("name", i) end
    assert(db:durable())
    assert.equal(100000, db:prepare("SELECT count(*) AS n FROM items"):row().n)
  end)

  it("refuses a second writer with a clear error", function()
    assert(db:durable())
    local second <close> = assert(store.open(folder.path .. "/state.db"))
    second:execute "PRAGMA busy_timeout = 0"
    db:execute "INSERT INTO items (name) VALUES ('a')"
    local ok, message = pcall(second.execute, second, "INSERT INTO items (name) VALUES ('b')")
    assert.is_false(ok)
    assert.matches("locked", message)
  end)
end)

local process = require "host.process"
local repository = require "spec.support.repository"
local store = require "host.store"
local support = require "spec.support.engine"

local BUDDY = [[
- pipeline: quick
  actions: [ { action: Nap, type: SLEEP, sleep_in_sec: 0 } ]
]]

-- What version 1 made, as far as later ones change it.
local VERSION_1 = [[
create table pipeline (id integer primary key, identifier text not null unique,
  status text not null default 'INITIAL', revision text);
create table action (id integer primary key, pipeline integer not null references pipeline, name text not null,
  type text not null, trigger_time text not null, status text not null default 'INITIAL', unique (pipeline, name));
create table execution (pipeline integer not null references pipeline, number integer not null, status text not null,
  priority text not null, revision text not null, from_revision text, ref_kind text not null, ref_name text not null,
  comment text not null, refresh integer not null, clear_cache integer not null, secret integer not null,
  request text not null, delay_until real, created real not null, started real, finished real,
  primary key (pipeline, number)) without rowid;
create table action_execution (id integer primary key, pipeline integer not null, number integer not null,
  position integer not null, action integer not null references action, status text not null,
  progress integer not null default 0, started real, finished real, message text, process text,
  unique (pipeline, number, position));
create table log (action_execution integer not null references action_execution, first integer not null,
  lines integer not null, text text not null, primary key (action_execution, first));
insert into pipeline (id, identifier) values (1, 'quick');
insert into action values (1, 1, 'Nap', 'SLEEP', 'ON_EVERY_EXECUTION', 'SUCCESSFUL');
insert into execution values (1, 1, 'SUCCESSFUL', 'HIGH', '%s', null, 'branch', 'main', 'first', 0, 1, 0, '{}', null,
  1.5, 2.5, 3.5);
insert into action_execution values (1, 1, 1, 1, 1, 'SUCCESSFUL', 100, 2.5, 3.5, null, null);
insert into log values (1, 0, 2, 'one
two');
insert into execution values (1, 2, 'ENQUEUED', 'NORMAL', '%s', null, 'branch', 'main', 'queued', 0, 0, 0, '{}', null,
  4.5, null, null);
insert into execution values (1, 3, 'ENQUEUED', 'NORMAL', '%s', null, 'branch', 'main', 'secret', 0, 0, 1, '{}', null,
  4.5, null, null);
pragma user_version = 1;
]]

describe("engine schema", function()
  local repo, folder, sha

  before_each(function()
    repo, folder = repository.new(), repository.folder()
    sha = repo:commit { ["buddy.yml"] = BUDDY }
    assert(process.run { command = { "mkdir", "-m", "700", folder.path .. "/state" } })
  end)

  after_each(function()
    repo:close()
    folder:close()
  end)

  local function write(sql)
    local db <close> = assert(store.open(folder.path .. "/state/engine.db"))
    db:execute(sql)
  end

  it("brings a store of the version before up to date, with its executions", function()
    write(VERSION_1:format(sha, sha, sha))
    local e <close> = support.start(repo, { state = folder.path .. "/state" })
    local list = e:get(e:executions "quick")
    assert.equal(3, list.total_element_count)
    local first = e:again(list.executions[3])
    assert.same({ 1, "SUCCESSFUL", "HIGH", "first", "CLICK" },
      { first.id, first.status, first.priority, first.comment, first.triggered_on })
    assert.same({ "one", "two" }, e:log(first, "Nap"))
    assert.equal("SUCCESSFUL", e:finished(list.executions[2]).status)
    local lost = e:again(list.executions[1])
    assert.equal("FAILED", lost.status)
    assert.matches("cannot be read", e:action(lost, "Nap").error_message)
    assert.equal(4, e:run("quick").id)
  end)

  it("finds its own store up to date", function()
    for id = 1, 3 do
      local e <close> = support.start(repo, { state = folder.path .. "/state" })
      assert.equal(id, e:finished(e:run "quick").id)
    end
  end)

  it("leaves a store of a newer version alone", function()
    write "pragma user_version = 1000"
    local ok, message = pcall(support.start, repo, { state = folder.path .. "/state" })
    assert.is_false(ok)
    assert.matches("made by a newer moonsail", message)
  end)
end)

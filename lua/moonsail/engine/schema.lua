--- What the engine keeps, and the statements with which it does.
local M = {}

local VERSION = 2

-- What makes a store of one version the next one. A request whose encrypted variables were only in memory cannot run.
local MIGRATIONS = {
  [[
    alter table execution add column triggered_on text not null default 'CLICK';
    alter table execution add column sealed text;
    alter table execution add column attempt integer not null default 1;
    alter table execution add column caller_pipeline integer;
    alter table execution add column caller_number integer;
    update execution set sealed = '' where secret = 1;
    alter table execution drop column secret;
    alter table action_execution add column approver integer;
    alter table action_execution add column approved real;
    alter table action_execution add column passed text;
    alter table action_execution add column outputted text;
  ]],
}

local TABLES = [[
create table if not exists setting (name text primary key, value text not null) without rowid;

create table if not exists pipeline (
  id integer primary key,
  identifier text not null unique,
  status text not null default 'INITIAL',   -- of the execution that started last
  revision text);

create table if not exists action (
  id integer primary key,
  pipeline integer not null references pipeline,
  name text not null,
  type text not null,
  trigger_time text not null,
  status text not null default 'INITIAL',
  unique (pipeline, name));

create table if not exists member (
  id integer primary key,
  email text not null unique,
  name text not null);

create table if not exists execution (
  pipeline integer not null references pipeline,
  number integer not null,                  -- from 1 within the pipeline
  status text not null,
  priority text not null,
  revision text not null,
  from_revision text,
  ref_kind text not null,
  ref_name text not null,
  comment text not null,
  refresh integer not null,
  clear_cache integer not null,
  request text not null,                    -- with encrypted values masked
  delay_until real,                         -- dates are in seconds since 1970
  created real not null,
  started real,
  finished real,
  triggered_on text not null default 'CLICK',
  sealed text,                              -- the whole request, if it has encrypted values; see host.secret
  attempt integer not null default 1,       -- one more with each RETRY
  caller_pipeline integer,                  -- the execution that asked for this one
  caller_number integer,
  primary key (pipeline, number)) without rowid;

create table if not exists action_execution (
  id integer primary key,
  pipeline integer not null,
  number integer not null,
  position integer not null,                -- from 1, in the order of the pipeline
  action integer not null references action,
  status text not null,
  progress integer not null default 0,
  started real,
  finished real,
  message text,
  process text,                             -- what runs it, see orphan.lua
  approver integer,                         -- the member who let it go on
  approved real,
  passed text,                              -- JSON of the variables that were given to it, encrypted values masked
  outputted text,                           -- and of those that it gave
  unique (pipeline, number, position));

create table if not exists log (
  action_execution integer not null references action_execution,
  first integer not null,                   -- the number of the first line, from 0
  lines integer not null,
  text text not null,
  primary key (action_execution, first));

create table if not exists kept_variable (  -- settable ones of buddy.yml that an action has changed
  level text not null,
  owner integer not null,                   -- the pipeline or action
  key text not null,
  value text,                               -- null when it is encrypted
  sealed text,                              -- see host.secret
  primary key (level, owner, key)) without rowid;

create table if not exists variable (       -- those of the API, see stored_variables.lua
  id integer primary key autoincrement,     -- an id is never given twice
  level text not null,
  owner integer not null,
  key text not null,
  value text,                               -- null when it is encrypted
  sealed text,                              -- see host.secret
  settable integer not null,
  run_only_settable integer not null,
  description text not null,
  unique (level, owner, key));

create table if not exists webhook (
  id integer primary key autoincrement,     -- an id is never given twice
  target_url text not null,
  events text not null,                     -- JSON lists
  projects text not null,
  name text not null,
  sealed text,                              -- the secret key, see host.secret
  configured integer not null);             -- by the options of the engine's start

create table if not exists delivery (
  sequence integer primary key autoincrement,
  id text not null,
  webhook integer not null references webhook,
  event text not null,
  body text not null,                       -- JSON, without the secret key
  due real not null,
  attempts integer not null default 0,
  posted real,                              -- the last attempt,
  status integer,                           -- the answer to it,
  problem text,                             -- or why there is none
  ended real);                              -- delivered, or given up

create index if not exists delivery_of_webhook on delivery (webhook, ended, sequence);

create table if not exists seen_ref (       -- see ref_watch.lua
  name text primary key,                    -- in full
  revision text not null) without rowid;

create table if not exists folder (
  path text primary key,
  revision text) without rowid;             -- null while it is being checked out
]]

local STATEMENTS = {
  setting = "select value from setting where name = ?",
  set_setting = "insert or replace into setting (name, value) values (?, ?)",

  pipelines = "select * from pipeline order by id",
  add_pipeline = "insert into pipeline (identifier) values (?)",
  touch_pipeline = "update pipeline set status = ?2, revision = coalesce(?3, revision) where id = ?1",

  actions = "select * from action order by id",
  add_action = "insert into action (pipeline, name, type, trigger_time) values (?, ?, ?, ?)",
  change_action = "update action set type = ?2, trigger_time = ?3 where id = ?1",
  touch_action = "update action set status = ?2 where id = ?1",

  members = "select * from member order by id",
  add_member = "insert into member (email, name) values (?, ?)",

  add_execution = [[
    insert into execution (pipeline, number, status, priority, revision, from_revision, ref_kind, ref_name, comment,
      refresh, clear_cache, sealed, request, delay_until, created, triggered_on, caller_pipeline, caller_number)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
  execution = "select * from execution where pipeline = ? and number = ?",
  executions = [[
    select * from execution where pipeline = ?1 and number <= ?2 order by number desc limit ?3]],
  last_outcome = [[
    select status from execution where pipeline = ?1 and number < ?2 and status in ('SUCCESSFUL', 'FAILED')
    order by number desc limit 1]],
  failures_in_a_row = [[
    select count(*) as count from (
      select status from execution where pipeline = ?1 and finished is not null order by number desc limit ?2)
    where status = 'FAILED']],
  last_executions = "select pipeline, max(number) as number, revision from execution group by pipeline",
  unfinished = [[
    select pipeline, number, status, priority, revision, delay_until from execution
    where finished is null order by pipeline, number]],
  start_execution = "update execution set status = 'INPROGRESS', started = ?3 where pipeline = ?1 and number = ?2",
  comment_execution = "update execution set comment = ?3 where pipeline = ?1 and number = ?2",
  change_execution = "update execution set status = ?3 where pipeline = ?1 and number = ?2",
  finish_execution = "update execution set status = ?3, finished = ?4 where pipeline = ?1 and number = ?2",
  hurry_execution = "update execution set delay_until = null where pipeline = ?1 and number = ?2",
  retry_execution = [[
    update execution set status = 'ENQUEUED', attempt = attempt + 1, delay_until = null, started = null, finished = null
    where pipeline = ?1 and number = ?2]],
  forget_logs = [[
    delete from log where action_execution in (select id from action_execution where pipeline = ?1 and number = ?2)]],
  forget_actions = "delete from action_execution where pipeline = ?1 and number = ?2",

  add_action_execution = [[
    insert into action_execution (pipeline, number, position, action, status) values (?, ?, ?, ?, ?)]],
  action_executions = [[
    select e.*, a.name, a.type, a.trigger_time, a.status as last_status from action_execution e
    join action a on a.id = e.action where e.pipeline = ? and e.number = ? order by e.position]],
  start_action = "update action_execution set status = 'INPROGRESS', started = ?2 where id = ?1",
  progress_action = "update action_execution set progress = ?2 where id = ?1",
  finish_action = [[
    update action_execution set status = ?2, finished = ?3, message = ?4,
      progress = case ?2 when 'SUCCESSFUL' then 100 else progress end
    where id = ?1]],
  set_process = "update action_execution set process = ?2 where id = ?1",
  change_action_execution = "update action_execution set status = ?2 where id = ?1",
  approve_action = [[
    update action_execution set status = 'INPROGRESS', approver = ?2, approved = ?3, passed = ?4, outputted = ?5
    where id = ?1]],

  add_log = "insert into log (action_execution, first, lines, text) values (?, ?, ?, ?)",
  read_log = [[
    select first, text from log
    where action_execution = ?1 and first + lines > ?2 and first < ?3 order by first]],
  log_length = [[
    select first + lines as length from log where action_execution = ? order by first desc limit 1]],

  kept_variable = "select value, sealed from kept_variable where level = ? and owner = ? and key = ?",
  keep_variable = "insert or replace into kept_variable (level, owner, key, value, sealed) values (?, ?, ?, ?, ?)",

  variables = "select * from variable where level = ? and owner = ? order by key",
  variable = "select * from variable where id = ?",
  variable_named = "select id from variable where level = ? and owner = ? and key = ?",
  add_variable = [[
    insert into variable (level, owner, key, value, sealed, settable, run_only_settable, description)
    values (?, ?, ?, ?, ?, ?, ?, ?)]],
  update_variable = [[
    update variable set key = ?2, value = ?3, sealed = ?4, settable = ?5, run_only_settable = ?6, description = ?7
    where id = ?1]],
  remove_variable = "delete from variable where id = ?",

  webhooks = "select * from webhook order by id",
  webhook = "select * from webhook where id = ?",
  add_webhook = [[
    insert into webhook (target_url, events, projects, name, sealed, configured) values (?, ?, ?, ?, ?, ?)]],
  update_webhook = "update webhook set target_url = ?2, events = ?3, projects = ?4, name = ?5 where id = ?1",
  set_webhook_secret = "update webhook set sealed = ?2 where id = ?1",
  remove_webhook = "delete from webhook where id = ?",

  add_delivery = "insert into delivery (id, webhook, event, body, due) values (?, ?, ?, ?, ?)",
  next_delivery = "select * from delivery where webhook = ? and ended is null order by sequence limit 1",
  waiting_webhooks = "select distinct webhook from delivery where ended is null",
  postpone_delivery = [[
    update delivery set due = ?2, attempts = ?3, posted = ?4, status = ?5, problem = ?6 where sequence = ?1]],
  finish_delivery = [[
    update delivery set ended = ?2, attempts = ?3, posted = ?4, status = ?5, problem = ?6 where sequence = ?1]],
  give_up_deliveries = [[
    update delivery set ended = ?2, problem = 'too much waited' where webhook = ?1 and ended is null and sequence <= (
      select sequence from delivery where webhook = ?1 and ended is null order by sequence desc limit 1 offset ?3)]],
  forget_deliveries = [[
    delete from delivery where webhook = ?1 and ended is not null and sequence not in (
      select sequence from delivery where webhook = ?1 and ended is not null order by sequence desc limit ?2)]],
  deliveries = [[
    select * from delivery where webhook = ? and (attempts > 0 or ended is not null) order by sequence desc limit ?]],
  remove_deliveries = "delete from delivery where webhook = ?",

  seen_refs = "select * from seen_ref",
  see_ref = "insert or replace into seen_ref (name, revision) values (?, ?)",
  forget_ref = "delete from seen_ref where name = ?",

  folder = "select revision from folder where path = ?",
  set_folder = "insert or replace into folder (path, revision) values (?, ?)",
  forget_folder = "delete from folder where path = ?",
}

---Makes what is missing, takes the store for this process alone, and prepares the statements.
---@param store host.Store
---@return table<string, host.Statement> sql raises when another process has the store, or a newer engine made it
function M.prepare(store)
  store:execute "pragma locking_mode = exclusive"
  local version = store:prepare("pragma user_version"):row().user_version
  if version > VERSION then
    error("it was made by a newer moonsail; use that one, or another folder", 0)
  end
  if version > 0 then
    for step = version, VERSION - 1 do store:execute(MIGRATIONS[step]) end
  end
  store:execute(TABLES)
  store:execute(("pragma user_version = %d"):format(VERSION))
  local sql = {}
  for name, text in pairs(STATEMENTS) do sql[name] = store:prepare(text) end
  return sql
end

return M

/* Prepared SQL. Owns the databases, their statements and their transactions: what is written during a turn of the
 * loop is one transaction, committed once at the turn's end for everybody who wrote. */
#include "host.h"
#include "library.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_CLASS "host.Store"
#define STATEMENT_CLASS "host.Statement"

enum { BUSY_TIMEOUT_MS = 1000, SQL_HEAD = 60 };

#define SQLITE_FUNCTIONS(X)                                                                                            \
  X(sqlite3_bind_double)                                                                                               \
  X(sqlite3_bind_int64)                                                                                                \
  X(sqlite3_bind_null)                                                                                                 \
  X(sqlite3_bind_parameter_count)                                                                                      \
  X(sqlite3_bind_parameter_name)                                                                                       \
  X(sqlite3_bind_text64)                                                                                               \
  X(sqlite3_busy_timeout)                                                                                              \
  X(sqlite3_changes64)                                                                                                 \
  X(sqlite3_clear_bindings)                                                                                            \
  X(sqlite3_close)                                                                                                     \
  X(sqlite3_column_blob)                                                                                               \
  X(sqlite3_column_bytes)                                                                                              \
  X(sqlite3_column_count)                                                                                              \
  X(sqlite3_column_double)                                                                                             \
  X(sqlite3_column_int64)                                                                                              \
  X(sqlite3_column_name)                                                                                               \
  X(sqlite3_column_text)                                                                                               \
  X(sqlite3_column_type)                                                                                               \
  X(sqlite3_errmsg)                                                                                                    \
  X(sqlite3_errstr)                                                                                                    \
  X(sqlite3_exec)                                                                                                      \
  X(sqlite3_finalize)                                                                                                  \
  X(sqlite3_get_autocommit)                                                                                            \
  X(sqlite3_last_insert_rowid)                                                                                         \
  X(sqlite3_open_v2)                                                                                                   \
  X(sqlite3_prepare_v3)                                                                                                \
  X(sqlite3_reset)                                                                                                     \
  X(sqlite3_sql)                                                                                                       \
  X(sqlite3_step)                                                                                                      \
  X(sqlite3_stmt_readonly)                                                                                             \
  X(sqlite3_stmt_status)

typedef struct Sqlite {
  SQLITE_FUNCTIONS(LIBRARY_MEMBER)
} Sqlite;

typedef struct Store Store;
typedef struct Statement Statement;
typedef struct DurableWait DurableWait;

/* What became of a turn's transaction. */
typedef struct Outcome {
  int code; /* SQLITE_OK, or why it was rolled back */
  char message[200];
} Outcome;

struct Stores {
  Sqlite sqlite;
  TurnHook hook; /* one for all stores, so that it needs no store to be alive */
  Store *first;
};

struct Store {
  Host *host;
  const Sqlite *sqlite;
  sqlite3 *db; /* NULL once closed */
  Store *next;
  Statement *statements;
  DurableWait *waiters;
  Outcome turn;   /* of the transaction that is open */
  Outcome untold; /* of an earlier one that was lost, and nobody waited for it */
  bool writing;   /* a transaction was begun in this turn */
};

/* User values: its store, and the names of its columns. */
enum { OF_STORE = 1, OF_NAMES = 2 };

struct Statement {
  Store *store;
  sqlite3_stmt *stmt; /* NULL once its store has closed */
  Statement *previous, *next;
  int parameters;
  int columns;
  int prepared; /* how often SQLite had prepared it anew when the names were taken; -1: not yet */
  bool writes;
};

struct DurableWait {
  Wait wait;
  Store *store;
  DurableWait *next;
  Outcome outcome;
};

/* ---- Errors. */

static const char *code_name(int code) {
  static const char *const names[] = {
    "SQLITE_OK",       "SQLITE_ERROR",      "SQLITE_INTERNAL", "SQLITE_PERM",      "SQLITE_ABORT", "SQLITE_BUSY",
    "SQLITE_LOCKED",   "SQLITE_NOMEM",      "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_CORRUPT",
    "SQLITE_NOTFOUND", "SQLITE_FULL",       "SQLITE_CANTOPEN", "SQLITE_PROTOCOL",  "SQLITE_EMPTY", "SQLITE_SCHEMA",
    "SQLITE_TOOBIG",   "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_MISUSE",    "SQLITE_NOLFS", "SQLITE_AUTH",
    "SQLITE_FORMAT",   "SQLITE_RANGE",      "SQLITE_NOTADB",
  };
  size_t primary = (size_t)(code & 0xff); /* the rest of it says which kind of, say, SQLITE_IOERR */
  return primary < sizeof names / sizeof *names ? names[primary] : "SQLITE_ERROR";
}

static const char *hint_for(int code) {
  switch (code & 0xff) {
  case SQLITE_BUSY: return "; another process or store is writing to it, so try again once it has finished";
  case SQLITE_FULL: return "; make room and try again";
  default: return "";
  }
}

/* [-0, +0, e] SQL's head, SQLite's reason, what to do. */
static int raise_sql(lua_State *L, const Store *store, int code, const char *sql) {
  size_t length = strcspn(sql, "\n");
  const char *more = sql[length] != '\0' || length > SQL_HEAD ? "..." : "";
  lua_pushlstring(L, sql, length > SQL_HEAD ? SQL_HEAD : length);
  return luaL_error(L, "%s%s: %s (%s)%s", lua_tostring(L, -1), more, store->sqlite->sqlite3_errmsg(store->db),
                    code_name(code), hint_for(code));
}

static void note(Outcome *outcome, int code, const char *message) {
  outcome->code = code;
  snprintf(outcome->message, sizeof outcome->message, "what was written was rolled back: %s%s", message,
           hint_for(code));
}

/* ---- The turn's transaction. */

static bool in_transaction(const Store *store) {
  return store->sqlite->sqlite3_get_autocommit(store->db) == 0;
}

static int execute_plain(const Store *store, const char *sql) {
  return store->sqlite->sqlite3_exec(store->db, sql, NULL, NULL, NULL);
}

/* Before each write. One writer's failure may have undone what others wrote in this turn (a full disk does):
 * then nobody may go on as if it had not. */
static void begin(lua_State *L, Store *store) {
  if (store->turn.code != SQLITE_OK)
    luaL_error(L, "%s", store->turn.message);
  if (store->writing)
    return;
  int code = execute_plain(store, "BEGIN IMMEDIATE");
  if (code != SQLITE_OK)
    raise_sql(L, store, code, "BEGIN IMMEDIATE");
  store->writing = true;
  host_after_turn(store->host, &store->host->stores->hook);
}

/* After a failed step: has it taken the whole transaction with it? */
static void check_transaction(Store *store, int code) {
  if (store->writing && !in_transaction(store))
    note(&store->turn, code, store->sqlite->sqlite3_errmsg(store->db));
}

static void commit(Store *store) {
  if (store->turn.code == SQLITE_OK && in_transaction(store)) {
    int code = execute_plain(store, "COMMIT");
    if (code != SQLITE_OK)
      note(&store->turn, code, store->sqlite->sqlite3_errmsg(store->db));
  }
  if (in_transaction(store))
    execute_plain(store, "ROLLBACK");
}

static void end_turn(Store *store) {
  if (!store->writing)
    return;
  commit(store);
  Outcome outcome = store->turn;
  store->turn.code = SQLITE_OK;
  store->writing = false;
  if (outcome.code != SQLITE_OK && store->waiters == NULL)
    store->untold = outcome;
  DurableWait *waiters = store->waiters;
  store->waiters = NULL;
  for (DurableWait *durable = waiters, *next; durable != NULL; durable = next) {
    next = durable->next;
    durable->outcome = outcome;
    task_wake(&durable->wait);
  }
}

static void on_turn_end(Host *host, TurnHook *hook) {
  (void)hook;
  for (Store *store = host->stores->first; store != NULL; store = store->next)
    end_turn(store);
}

/* ---- Opening. */

/* [-0, +0|+3, m] The library and the list of stores; NULL when it cannot be loaded, with nil, message, code pushed. */
static struct Stores *stores_of(lua_State *L) {
  static const char *const names[] = { SQLITE_FUNCTIONS(LIBRARY_NAME) };
  Host *host = host_of(L);
  if (host->stores != NULL)
    return host->stores;
  char message[200] = "out of memory";
  struct Stores *stores = calloc(1, sizeof *stores);
  if (stores == NULL ||
      !library_load("libsqlite3.so.0", names, LIBRARY_COUNT(names), &stores->sqlite, message, sizeof message)) {
    free(stores);
    host_fail(L, "ELIBACC", "%s; install libsqlite3-0", message);
    return NULL;
  }
  stores->hook.run = on_turn_end;
  host->stores = stores;
  return stores;
}

/* Makes the file before SQLite does, so that it is private from the first moment; -wal and -shm take its mode. A file
 * that is there is not opened: closing it again would drop the locks that this process may hold on it. */
static int make_private(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd >= 0)
    return close(fd);
  struct stat status;
  if (errno != EEXIST || stat(path, &status) != 0)
    return -1;
  if (!S_ISREG(status.st_mode) || (status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
    return 0;
  return chmod(path, S_IRUSR | S_IWUSR);
}

static int configure(Store *store) {
  store->sqlite->sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
  return execute_plain(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
}

static int fail_open(lua_State *L, Store *store, const char *path, int code) {
  const Sqlite *sqlite = store->sqlite;
  host_fail(L, code_name(code), "cannot open %s: %s%s", path,
            store->db != NULL ? sqlite->sqlite3_errmsg(store->db) : sqlite->sqlite3_errstr(code), hint_for(code));
  sqlite->sqlite3_close(store->db);
  store->db = NULL;
  return 3;
}

static int l_open(lua_State *L) {
  size_t length;
  const char *path = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length > 0 && strlen(path) == length, 1, "must be a path or \":memory:\"");
  struct Stores *stores = stores_of(L);
  if (stores == NULL)
    return 3;
  Store *store = lua_newuserdatauv(L, sizeof *store, 0);
  memset(store, 0, sizeof *store);
  luaL_setmetatable(L, STORE_CLASS);
  store->host = host_of(L);
  store->sqlite = &stores->sqlite;
  if (strcmp(path, ":memory:") != 0 && make_private(path) != 0)
    return host_fail(L, "SQLITE_CANTOPEN", "cannot open %s: %s", path, strerror(errno));
  int code = store->sqlite->sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  if (code == SQLITE_OK)
    code = configure(store);
  if (code != SQLITE_OK)
    return fail_open(L, store, path, code);
  store->next = stores->first;
  stores->first = store;
  return 1;
}

/* ---- Closing. */

static void detach_statement(Statement *statement) {
  Store *store = statement->store;
  store->sqlite->sqlite3_finalize(statement->stmt);
  statement->stmt = NULL;
  if (statement->previous != NULL)
    statement->previous->next = statement->next;
  else
    store->statements = statement->next;
  if (statement->next != NULL)
    statement->next->previous = statement->previous;
}

static void unlink_store(Store *store) {
  Store **link = &store->host->stores->first;
  while (*link != store)
    link = &(*link)->next;
  *link = store->next;
}

static void close_store(Store *store) {
  if (store->db == NULL)
    return;
  end_turn(store);
  while (store->statements != NULL)
    detach_statement(store->statements);
  store->sqlite->sqlite3_close(store->db);
  store->db = NULL;
  unlink_store(store);
}

static int l_store_gc(lua_State *L) {
  close_store(luaL_checkudata(L, 1, STORE_CLASS));
  return 0;
}

static Store *check_store(lua_State *L) {
  Store *store = luaL_checkudata(L, 1, STORE_CLASS);
  luaL_argcheck(L, store->db != NULL, 1, "the store is closed");
  return store;
}

static int push_outcome(lua_State *L, const Outcome *outcome) {
  if (outcome->code != SQLITE_OK)
    return host_fail(L, code_name(outcome->code), "%s", outcome->message);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_store_close(lua_State *L) {
  Store *store = luaL_checkudata(L, 1, STORE_CLASS);
  close_store(store);
  Outcome outcome = store->untold;
  store->untold.code = SQLITE_OK;
  return push_outcome(L, &outcome);
}

/* ---- Plain SQL. */

static int step_all(const Sqlite *sqlite, sqlite3_stmt *stmt) {
  int code;
  do
    code = sqlite->sqlite3_step(stmt);
  while (code == SQLITE_ROW);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The first statement of `sql`, which moves on to the next. It is held by the userdata on top while Lua may raise. */
static void execute_next(lua_State *L, Store *store, const char **sql) {
  const Sqlite *sqlite = store->sqlite;
  Statement *statement = lua_touserdata(L, -1);
  const char *start = *sql + strspn(*sql, " \t\r\n;");
  int code = sqlite->sqlite3_prepare_v3(store->db, start, -1, 0, &statement->stmt, sql);
  if (code != SQLITE_OK)
    raise_sql(L, store, code, start);
  if (statement->stmt == NULL)
    return;
  if (!sqlite->sqlite3_stmt_readonly(statement->stmt))
    begin(L, store);
  code = step_all(sqlite, statement->stmt);
  sqlite->sqlite3_finalize(statement->stmt);
  statement->stmt = NULL;
  if (code != SQLITE_OK) {
    check_transaction(store, code);
    raise_sql(L, store, code, start);
  }
}

static Statement *new_statement(lua_State *L, Store *store) {
  Statement *statement = lua_newuserdatauv(L, sizeof *statement, 2);
  memset(statement, 0, sizeof *statement);
  statement->prepared = -1;
  luaL_setmetatable(L, STATEMENT_CLASS);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, OF_STORE);
  statement->store = store;
  statement->next = store->statements;
  if (statement->next != NULL)
    statement->next->previous = statement;
  store->statements = statement;
  return statement;
}

static int l_execute(lua_State *L) {
  Store *store = check_store(L);
  const char *sql = luaL_checkstring(L, 2);
  new_statement(L, store);
  while (*sql != '\0')
    execute_next(L, store, &sql);
  return 0;
}

/* ---- Statements. */

static int l_prepare(lua_State *L) {
  Store *store = check_store(L);
  const char *sql = luaL_checkstring(L, 2);
  const Sqlite *sqlite = store->sqlite;
  Statement *statement = new_statement(L, store);
  const char *rest;
  int code = sqlite->sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->stmt, &rest);
  if (code != SQLITE_OK)
    return raise_sql(L, store, code, sql);
  luaL_argcheck(L, statement->stmt != NULL, 2, "holds no SQL statement");
  luaL_argcheck(L, rest[strspn(rest, " \t\r\n;")] == '\0', 2, "must be one SQL statement; use execute for several");
  statement->parameters = sqlite->sqlite3_bind_parameter_count(statement->stmt);
  statement->writes = !sqlite->sqlite3_stmt_readonly(statement->stmt);
  return 1;
}

static int l_statement_gc(lua_State *L) {
  Statement *statement = luaL_checkudata(L, 1, STATEMENT_CLASS);
  if (statement->store != NULL && statement->store->db != NULL)
    detach_statement(statement);
  statement->store = NULL;
  return 0;
}

static Statement *check_statement(lua_State *L) {
  Statement *statement = luaL_checkudata(L, 1, STATEMENT_CLASS);
  luaL_argcheck(L, statement->stmt != NULL, 1, "the statement's store is closed");
  return statement;
}

/* The value at `index` stays where it is until the statement has been reset, so SQLite need not copy it. */
static int bind_value(lua_State *L, const Statement *statement, int parameter, int index) {
  const Sqlite *sqlite = statement->store->sqlite;
  sqlite3_stmt *stmt = statement->stmt;
  size_t length;
  const char *text;
  switch (lua_type(L, index)) {
  case LUA_TNONE:
  case LUA_TNIL: return sqlite->sqlite3_bind_null(stmt, parameter);
  case LUA_TBOOLEAN: return sqlite->sqlite3_bind_int64(stmt, parameter, lua_toboolean(L, index));
  case LUA_TNUMBER:
    return lua_isinteger(L, index) ? sqlite->sqlite3_bind_int64(stmt, parameter, lua_tointeger(L, index))
                                   : sqlite->sqlite3_bind_double(stmt, parameter, lua_tonumber(L, index));
  case LUA_TSTRING:
    text = lua_tolstring(L, index, &length);
    return sqlite->sqlite3_bind_text64(stmt, parameter, text, length, SQLITE_STATIC, SQLITE_UTF8);
  default: return SQLITE_MISMATCH;
  }
}

static void raise_bind(lua_State *L, const Statement *statement, int parameter, int index, int code) {
  const char *name = statement->store->sqlite->sqlite3_bind_parameter_name(statement->stmt, parameter);
  lua_pushfstring(L, "parameter %d", parameter);
  if (name == NULL)
    name = lua_tostring(L, -1);
  if (code == SQLITE_MISMATCH)
    luaL_error(L, "%s is a %s, expected nil, boolean, number or string", name, luaL_typename(L, index));
  luaL_error(L, "%s: %s (%s)", name, statement->store->sqlite->sqlite3_errstr(code), code_name(code));
}

/* statement, { name = value } */
static void bind_names(lua_State *L, const Statement *statement) {
  for (int i = 1; i <= statement->parameters; i++) {
    const char *name = statement->store->sqlite->sqlite3_bind_parameter_name(statement->stmt, i);
    if (name == NULL || name[0] == '?')
      luaL_error(L, "parameter %d has no name, so a table cannot give its value", i);
    lua_pushstring(L, name + 1);
    lua_rawget(L, 2); /* the table keeps it alive */
    int code = bind_value(L, statement, i, -1);
    if (code != SQLITE_OK)
      raise_bind(L, statement, i, -1, code);
    lua_pop(L, 1);
  }
}

/* statement, values... */
static void bind_values(lua_State *L, const Statement *statement) {
  int count = lua_gettop(L) - 1;
  if (count != statement->parameters)
    luaL_error(L, "the statement has %d parameters, got %d values", statement->parameters, count);
  for (int i = 1; i <= count; i++) {
    int code = bind_value(L, statement, i, i + 1);
    if (code != SQLITE_OK)
      raise_bind(L, statement, i, i + 1, code);
  }
}

/* statement, parameters... Ready to be stepped. It is reset first, in case an earlier use ran out of memory. */
static Statement *start(lua_State *L) {
  Statement *statement = check_statement(L);
  statement->store->sqlite->sqlite3_reset(statement->stmt);
  if (lua_istable(L, 2) && lua_gettop(L) == 2)
    bind_names(L, statement);
  else
    bind_values(L, statement);
  if (statement->writes)
    begin(L, statement->store);
  return statement;
}

/* Forgets the parameters, and raises unless `code`, of the last step, is a good one. */
static void finish(lua_State *L, const Statement *statement, int code) {
  const Sqlite *sqlite = statement->store->sqlite;
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    sqlite->sqlite3_reset(statement->stmt);
    check_transaction(statement->store, code);
    raise_sql(L, statement->store, code, sqlite->sqlite3_sql(statement->stmt));
  }
  sqlite->sqlite3_reset(statement->stmt);
  if (statement->parameters > 0)
    sqlite->sqlite3_clear_bindings(statement->stmt);
}

static int l_run(lua_State *L) {
  Statement *statement = start(L);
  const Sqlite *sqlite = statement->store->sqlite;
  finish(L, statement, sqlite->sqlite3_step(statement->stmt));
  lua_pushinteger(L, statement->writes ? sqlite->sqlite3_changes64(statement->store->db) : 0);
  lua_pushinteger(L, sqlite->sqlite3_last_insert_rowid(statement->store->db));
  return 2;
}

/* [-0, +1, m] The list of column names, taken anew when a change of the schema may have changed them. */
static void push_names(lua_State *L, Statement *statement) {
  const Sqlite *sqlite = statement->store->sqlite;
  int prepared = sqlite->sqlite3_stmt_status(statement->stmt, SQLITE_STMTSTATUS_REPREPARE, 0);
  if (prepared == statement->prepared) {
    lua_getiuservalue(L, 1, OF_NAMES);
    return;
  }
  int columns = sqlite->sqlite3_column_count(statement->stmt);
  lua_createtable(L, columns, 0);
  for (int i = 0; i < columns; i++) {
    lua_pushstring(L, sqlite->sqlite3_column_name(statement->stmt, i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, OF_NAMES);
  statement->columns = columns;
  statement->prepared = prepared;
}

static void push_column(lua_State *L, const Statement *statement, int column, int type) {
  const Sqlite *sqlite = statement->store->sqlite;
  const void *bytes;
  switch (type) {
  case SQLITE_INTEGER: lua_pushinteger(L, sqlite->sqlite3_column_int64(statement->stmt, column)); return;
  case SQLITE_FLOAT: lua_pushnumber(L, sqlite->sqlite3_column_double(statement->stmt, column)); return;
  default:
    bytes = type == SQLITE_TEXT ? (const void *)sqlite->sqlite3_column_text(statement->stmt, column)
                                : sqlite->sqlite3_column_blob(statement->stmt, column);
    lua_pushlstring(L, bytes, (size_t)sqlite->sqlite3_column_bytes(statement->stmt, column));
  }
}

/* names -> names, row */
static void push_row(lua_State *L, const Statement *statement) {
  lua_createtable(L, 0, statement->columns);
  for (int i = 0; i < statement->columns; i++) {
    int type = statement->store->sqlite->sqlite3_column_type(statement->stmt, i);
    if (type == SQLITE_NULL)
      continue;
    lua_rawgeti(L, -2, i + 1);
    push_column(L, statement, i, type);
    lua_rawset(L, -3);
  }
}

static int l_row(lua_State *L) {
  Statement *statement = start(L);
  int code = statement->store->sqlite->sqlite3_step(statement->stmt);
  if (code == SQLITE_ROW) {
    push_names(L, statement);
    push_row(L, statement);
  } else {
    lua_pushnil(L);
  }
  finish(L, statement, code);
  return 1;
}

static int l_rows(lua_State *L) {
  Statement *statement = start(L);
  lua_newtable(L);
  int list = lua_gettop(L);
  int code;
  for (lua_Integer n = 1; (code = statement->store->sqlite->sqlite3_step(statement->stmt)) == SQLITE_ROW; n++) {
    if (n == 1)
      push_names(L, statement);
    push_row(L, statement);
    lua_rawseti(L, list, n);
  }
  finish(L, statement, code);
  lua_settop(L, list);
  return 1;
}

/* ---- Savepoints and waiting. */

static int l_atomically(lua_State *L) {
  Store *store = check_store(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  begin(L, store);
  int code = execute_plain(store, "SAVEPOINT atomically");
  if (code != SQLITE_OK)
    return raise_sql(L, store, code, "SAVEPOINT");
  lua_settop(L, 2);
  bool ok = lua_pcall(L, 0, LUA_MULTRET, 0) == LUA_OK; /* a wait cannot cross this call */
  if (store->db != NULL && in_transaction(store))
    execute_plain(store, ok ? "RELEASE atomically" : "ROLLBACK TO atomically; RELEASE atomically");
  return ok ? lua_gettop(L) - 1 : lua_error(L);
}

static void durable_cancel(Wait *wait) {
  DurableWait *durable = (DurableWait *)wait;
  DurableWait **link = &durable->store->waiters;
  while (*link != durable)
    link = &(*link)->next;
  *link = durable->next;
}

static int durable_finish(lua_State *L, Wait *wait) {
  return push_outcome(L, &((DurableWait *)wait)->outcome);
}

static int l_durable(lua_State *L) {
  Store *store = check_store(L);
  if (!store->writing) {
    Outcome outcome = store->untold;
    store->untold.code = SQLITE_OK;
    return push_outcome(L, &outcome);
  }
  task_check(L);
  DurableWait *durable = lua_newuserdatauv(L, sizeof *durable, 0);
  durable->store = store;
  durable->next = store->waiters;
  store->waiters = durable;
  return task_wait(L, &durable->wait, durable_cancel, durable_finish);
}

/* ---- The module. */

void store_close(Host *host) {
  if (host->stores == NULL)
    return;
  while (host->stores->first != NULL)
    close_store(host->stores->first);
  free(host->stores);
  host->stores = NULL;
}

int luaopen_host_store(lua_State *L) {
  static const luaL_Reg store[] = {
    { "atomically", l_atomically }, { "close", l_store_close }, { "durable", l_durable }, { "execute", l_execute },
    { "prepare", l_prepare },       { "__close", l_store_gc },  { "__gc", l_store_gc },   { NULL, NULL },
  };
  static const luaL_Reg statement[] = {
    { "row", l_row }, { "rows", l_rows }, { "run", l_run }, { "__gc", l_statement_gc }, { NULL, NULL },
  };
  static const luaL_Reg module[] = { { "open", l_open }, { NULL, NULL } };
  host_class(L, STORE_CLASS, store);
  host_class(L, STATEMENT_CLASS, statement);
  luaL_newlib(L, module);
  return 1;
}

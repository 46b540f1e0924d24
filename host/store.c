/* Prepared SQL. Owns the databases and their transactions: what is written during a turn of the loop is one
 * transaction, committed once at the turn's end for everybody who wrote. statement.c owns the statements. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_CLASS "host.Store"

enum { BUSY_TIMEOUT_MS = 1000, SQL_HEAD = 60 };

struct DurableWait {
  Wait wait;
  Store *store;
  DurableWait *next;
  Outcome outcome;
};

/* ---- Errors. */

const char *store_code_name(int code) {
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
  case SQLITE_AUTH: return "; transactions are the store's own: use atomically";
  default: return "";
  }
}

int store_raise(lua_State *L, const Store *store, int code, const char *sql) {
  size_t length = strcspn(sql, "\n");
  const char *more = sql[length] != '\0' || length > SQL_HEAD ? "..." : "";
  lua_pushlstring(L, sql, length > SQL_HEAD ? SQL_HEAD : length);
  return luaL_error(L, "%s%s: %s (%s)%s", lua_tostring(L, -1), more, store->sqlite->sqlite3_errmsg(store->db),
                    store_code_name(code), hint_for(code));
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

static int execute_own(Store *store, const char *sql) {
  store->own = true;
  int code = store->sqlite->sqlite3_exec(store->db, sql, NULL, NULL, NULL);
  store->own = false;
  return code;
}

/* Nobody else begins or ends a transaction that many share. */
static int authorize(void *data, int action, const char *first, const char *second, const char *database,
                     const char *trigger) {
  (void)first, (void)second, (void)database, (void)trigger;
  const Store *store = data;
  bool control = action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT;
  return control && !store->own ? SQLITE_DENY : SQLITE_OK;
}

/* One writer's failure may have undone what others wrote in this turn (a full disk does): then nobody may go on as if
 * it had not. */
void store_begin(lua_State *L, Store *store, const char *sql) {
  if (store->turn.code != SQLITE_OK)
    luaL_error(L, "%s", store->turn.message);
  if (store->writing)
    return;
  int code = execute_own(store, "BEGIN IMMEDIATE");
  if (code != SQLITE_OK)
    store_raise(L, store, code, sql);
  store->writing = true;
  host_after_turn(store->host, &store->host->stores->hook);
}

void store_check_transaction(Store *store, int code) {
  if (store->writing && !in_transaction(store))
    note(&store->turn, code, store->sqlite->sqlite3_errmsg(store->db));
}

static void commit(Store *store) {
  if (store->turn.code == SQLITE_OK && in_transaction(store)) {
    int code = execute_own(store, "COMMIT");
    if (code != SQLITE_OK)
      note(&store->turn, code, store->sqlite->sqlite3_errmsg(store->db));
  }
  if (in_transaction(store))
    execute_own(store, "ROLLBACK");
}

static void end_turn(Store *store) {
  if (!store->writing)
    return;
  commit(store);
  if (store->wiping)
    execute_own(store, "PRAGMA wal_checkpoint(TRUNCATE)"); /* the log has the pages as they were */
  Outcome outcome = store->turn;
  store->turn.code = SQLITE_OK;
  store->writing = store->wiping = false;
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
  store->sqlite->sqlite3_set_authorizer(store->db, authorize, store);
  return execute_own(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                            "PRAGMA secure_delete = ON");
}

static int fail_open(lua_State *L, Store *store, const char *path, int code) {
  const Sqlite *sqlite = store->sqlite;
  host_fail(L, store_code_name(code), "cannot open %s: %s%s", path,
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
    statement_detach(store->statements);
  store->sqlite->sqlite3_close(store->db);
  store->db = NULL;
  unlink_store(store);
}

static int l_store_gc(lua_State *L) {
  close_store(luaL_checkudata(L, 1, STORE_CLASS));
  return 0;
}

Store *store_check(lua_State *L) {
  Store *store = luaL_checkudata(L, 1, STORE_CLASS);
  luaL_argcheck(L, store->db != NULL, 1, "the store is closed");
  return store;
}

static int push_outcome(lua_State *L, const Outcome *outcome) {
  if (outcome->code != SQLITE_OK)
    return host_fail(L, store_code_name(outcome->code), "%s", outcome->message);
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

/* ---- Savepoints and waiting. */

static int l_atomically(lua_State *L) {
  Store *store = store_check(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  store_begin(L, store, "SAVEPOINT");
  int code = execute_own(store, "SAVEPOINT atomically");
  if (code != SQLITE_OK)
    return store_raise(L, store, code, "SAVEPOINT");
  lua_settop(L, 2);
  bool ok = lua_pcall(L, 0, LUA_MULTRET, 0) == LUA_OK; /* a wait cannot cross this call */
  if (store->db != NULL && in_transaction(store))
    execute_own(store, ok ? "RELEASE atomically" : "ROLLBACK TO atomically; RELEASE atomically");
  return ok ? lua_gettop(L) - 1 : lua_error(L);
}

static int l_wipe(lua_State *L) {
  Store *store = store_check(L);
  store_begin(L, store, "wipe");
  store->wiping = true;
  return 0;
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
  Store *store = store_check(L);
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
    { "atomically", l_atomically }, { "close", l_store_close }, { "durable", l_durable },
    { "execute", l_execute },       { "prepare", l_prepare },   { "wipe", l_wipe },
    { "__close", l_store_gc },      { "__gc", l_store_gc },     { NULL, NULL },
  };
  static const luaL_Reg module[] = { { "open", l_open }, { NULL, NULL } };
  host_class(L, STORE_CLASS, store);
  statement_open_class(L);
  luaL_newlib(L, module);
  return 1;
}

/* What the parts of host.store share: store.c and statement.c. */
#ifndef MOONSAIL_STORE_H
#define MOONSAIL_STORE_H

#include "host.h"
#include "library.h"
#include "task.h"

#include <sqlite3.h>

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
  X(sqlite3_set_authorizer)                                                                                            \
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
  bool wiping;    /* and what it overwrites is to be on disk no more */
  bool own;       /* what is being prepared is the store's own */
};

/* ---- store.c */

/* [-0, +0, e] The open store at index 1. */
Store *store_check(lua_State *L);

/* [-0, +0, e] Before each write, `sql`: it belongs to the turn's transaction, which the first one begins. Raises when
 * that cannot be had, or when it has already been rolled back. */
void store_begin(lua_State *L, Store *store, const char *sql);

/* After a failed step: when it has taken the whole transaction with it, everybody who wrote in this turn is told. */
void store_check_transaction(Store *store, int code);

/* [-0, +0, e] Raises SQL's head, SQLite's reason, what to do. */
int store_raise(lua_State *L, const Store *store, int code, const char *sql);

/* "SQLITE_BUSY" and the like. */
const char *store_code_name(int code);

/* ---- statement.c */

/* Makes the metatable of statements. */
void statement_open_class(lua_State *L);

/* Its store closes, or Lua has no more use for it. */
void statement_detach(Statement *statement);

/* The store's methods `execute` and `prepare`. */
int l_execute(lua_State *L);
int l_prepare(lua_State *L);

#endif

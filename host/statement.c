/* Statements: SQL prepared once and run with parameters, and SQL that is run once. Owns each sqlite3_stmt; a
 * transaction is store.c's affair. */
#include "store.h"

#include <string.h>

#define STATEMENT_CLASS "host.Statement"

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

/* ---- From SQL to a Statement. */

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

void statement_detach(Statement *statement) {
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

static int l_statement_gc(lua_State *L) {
  Statement *statement = luaL_checkudata(L, 1, STATEMENT_CLASS);
  if (statement->store != NULL && statement->store->db != NULL)
    statement_detach(statement);
  statement->store = NULL;
  return 0;
}

int l_prepare(lua_State *L) {
  Store *store = store_check(L);
  const char *sql = luaL_checkstring(L, 2);
  const Sqlite *sqlite = store->sqlite;
  Statement *statement = new_statement(L, store);
  const char *rest;
  int code = sqlite->sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->stmt, &rest);
  if (code != SQLITE_OK)
    return store_raise(L, store, code, sql);
  luaL_argcheck(L, statement->stmt != NULL, 2, "holds no SQL statement");
  luaL_argcheck(L, rest[strspn(rest, " \t\r\n;")] == '\0', 2, "must be one SQL statement; use execute for several");
  statement->parameters = sqlite->sqlite3_bind_parameter_count(statement->stmt);
  statement->writes = !sqlite->sqlite3_stmt_readonly(statement->stmt);
  return 1;
}

/* ---- SQL that is run once. */

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
    store_raise(L, store, code, start);
  if (statement->stmt == NULL)
    return;
  if (!sqlite->sqlite3_stmt_readonly(statement->stmt))
    store_begin(L, store, start);
  code = step_all(sqlite, statement->stmt);
  sqlite->sqlite3_finalize(statement->stmt);
  statement->stmt = NULL;
  if (code != SQLITE_OK) {
    store_check_transaction(store, code);
    store_raise(L, store, code, start);
  }
}

int l_execute(lua_State *L) {
  Store *store = store_check(L);
  const char *sql = luaL_checkstring(L, 2);
  new_statement(L, store);
  while (*sql != '\0')
    execute_next(L, store, &sql);
  return 0;
}

/* ---- Parameters. */

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
  luaL_error(L, "%s: %s (%s)", name, statement->store->sqlite->sqlite3_errstr(code), store_code_name(code));
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

/* ---- Running one. */

static Statement *check_statement(lua_State *L) {
  Statement *statement = luaL_checkudata(L, 1, STATEMENT_CLASS);
  luaL_argcheck(L, statement->stmt != NULL, 1, "the statement's store is closed");
  return statement;
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
    store_begin(L, statement->store, statement->store->sqlite->sqlite3_sql(statement->stmt));
  return statement;
}

/* Forgets the parameters, and raises unless `code`, of the last step, is a good one. */
static void finish(lua_State *L, const Statement *statement, int code) {
  const Sqlite *sqlite = statement->store->sqlite;
  if (code != SQLITE_DONE && code != SQLITE_ROW) {
    sqlite->sqlite3_reset(statement->stmt);
    store_check_transaction(statement->store, code);
    store_raise(L, statement->store, code, sqlite->sqlite3_sql(statement->stmt));
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

void statement_open_class(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "row", l_row }, { "rows", l_rows }, { "run", l_run }, { "__gc", l_statement_gc }, { NULL, NULL },
  };
  host_class(L, STATEMENT_CLASS, methods);
}

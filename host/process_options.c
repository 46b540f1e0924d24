/* What is asked for: the table of options, checked and turned into what execve takes. */
#include "process.h"

#include <stdlib.h>
#include <string.h>

#define RUN_LIMIT ((size_t)16 * 1024 * 1024)

/* The string at `index`, which must stay where it is; `what` names it. */
static char *check_bytes(lua_State *L, int index, const char *what, size_t *length) {
  if (lua_type(L, index) != LUA_TSTRING)
    luaL_argerror(L, 1, lua_pushfstring(L, "%s is a %s, expected a string", what, luaL_typename(L, index)));
  return (char *)lua_tolstring(L, index, length);
}

static char *check_text(lua_State *L, int index, const char *what) {
  size_t length;
  char *text = check_bytes(L, index, what, &length);
  if (strlen(text) != length)
    luaL_argerror(L, 1, lua_pushfstring(L, "%s contains a NUL byte", what));
  return text;
}

/* [-0, +1, -] pushes an option and returns its type */
static int push_option(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, 1);
}

static void check_names(lua_State *L, const char *const names[]) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
    bool known = false;
    for (const char *const *name = names; *name != NULL && !known; name++)
      known = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), *name) == 0;
    if (!known)
      luaL_argerror(L, 1, lua_pushfstring(L, "no option is called '%s'", luaL_tolstring(L, -2, NULL)));
  }
}

/* [-0, +2, e] pushes the array that execve takes, above what keeps its strings alive. */
static char **check_command(lua_State *L) {
  int type = push_option(L, "command");
  size_t count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
  if (count == 0) {
    luaL_argerror(L, 1, "command must be a list of strings, the program first");
    return NULL;
  }
  int command = lua_gettop(L);
  char **arguments = lua_newuserdatauv(L, (count + 1) * sizeof *arguments, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, command, (lua_Integer)i + 1);
    arguments[i] = check_text(L, -1, "command's program or argument");
    lua_pop(L, 1);
  }
  arguments[count] = NULL;
  luaL_argcheck(L, *arguments[0] != '\0', 1, "command's program is an empty string");
  return arguments;
}

/* [-0, +1, e] pushes a list of "NAME=value" from the table on top; returns its length. */
static size_t push_variables(lua_State *L) {
  int table = lua_gettop(L), list = table + 1, name = table + 2, value = table + 3;
  size_t count = 0;
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_settop(L, name)) {
    const char *key = check_text(L, name, "a name in environment");
    if (*key == '\0' || strchr(key, '=') != NULL)
      luaL_argerror(L, 1, lua_pushfstring(L, "environment has the name '%s'", key));
    lua_pushfstring(L, "environment.%s", key);
    lua_pushfstring(L, "%s=%s", key, check_text(L, value, lua_tostring(L, -1)));
    lua_rawseti(L, list, (lua_Integer)++count);
  }
  return count;
}

static int compare_variables(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* [-0, +0|+3, e] pushes the array that execve takes, sorted: a child sees the same order at each start. */
static char **check_environment(lua_State *L) {
  int type = push_option(L, "environment");
  if (type == LUA_TNIL)
    return NULL;
  luaL_argcheck(L, type == LUA_TTABLE, 1, "environment must be a table of strings by name");
  size_t count = push_variables(L);
  int list = lua_gettop(L);
  char **environment = lua_newuserdatauv(L, (count + 1) * sizeof *environment, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    environment[i] = (char *)lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  environment[count] = NULL;
  qsort(environment, count, sizeof *environment, compare_variables);
  return environment;
}

void process_check_request(lua_State *L, const char *const names[], Request *r) {
  check_names(L, names);
  lua_settop(L, 1);
  *r = (Request){ .max_bytes = RUN_LIMIT };
  r->arguments = check_command(L);
  r->environment = check_environment(L);
  if (push_option(L, "directory") != LUA_TNIL)
    r->directory = check_text(L, -1, "directory");
  if (push_option(L, "input") != LUA_TNIL)
    r->input = check_bytes(L, -1, "input", &r->input_length);
  push_option(L, "merge");
  r->merge = lua_toboolean(L, -1);
  if (push_option(L, "max_bytes") != LUA_TNIL) {
    luaL_argcheck(L, lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0, 1,
                  "max_bytes must be an integer, not negative");
    r->max_bytes = (size_t)lua_tointeger(L, -1);
  }
}

/* Faults, and the shapes of tables. Nothing here knows what a request may hold. */
#include "execution_check.h"

#include "json.h"
#include "nearest.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  MAX_ENTRIES = 10000, /* of one table */
  MAX_NAMES = 16,      /* that a map may have */
  DESCRIBED = TEXT_QUOTE_SIZE + 16,
};

/* ---- Faults. */

static void set_string(lua_State *L, const char *name, const char *value) {
  if (value == NULL)
    return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

void check_fault_near(Check *c, const char *found, const char *expected, const char *nearest) {
  lua_State *L = c->L;
  char path[PATH_SIZE];
  if (c->count == 0) {
    lua_newtable(L);
    lua_replace(L, c->faults);
  }
  lua_createtable(L, 0, 4);
  set_string(L, "path", path_print(path, c->step) > 0 ? path : "request");
  set_string(L, "found", found);
  set_string(L, "expected", expected);
  set_string(L, "nearest", nearest);
  lua_rawseti(L, c->faults, ++c->count);
}

void check_fault(Check *c, const char *found, const char *expected) {
  check_fault_near(c, found, expected, NULL);
}

const char *check_kind(lua_State *L) {
  switch (lua_type(L, -1)) {
  case LUA_TNIL: return "nothing";
  case LUA_TBOOLEAN: return "a boolean";
  case LUA_TNUMBER: return "a number";
  case LUA_TSTRING: return "a string";
  case LUA_TTABLE: return "a table";
  case LUA_TFUNCTION: return "a function";
  case LUA_TTHREAD: return "a coroutine";
  default: return json_is_null(L, -1) ? "null" : "a userdata";
  }
}

static const char *describe(lua_State *L, char text[DESCRIBED]) {
  char quoted[TEXT_QUOTE_SIZE];
  size_t length;
  const char *string;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN: snprintf(text, DESCRIBED, "boolean %s", lua_toboolean(L, -1) ? "true" : "false"); break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1))
      snprintf(text, DESCRIBED, "number %lld", (long long)lua_tointeger(L, -1));
    else
      snprintf(text, DESCRIBED, "number %.14g", lua_tonumber(L, -1));
    break;
  case LUA_TSTRING:
    string = lua_tolstring(L, -1, &length);
    text_quote(quoted, string, length);
    snprintf(text, DESCRIBED, "string %s", quoted);
    break;
  default: return check_kind(L);
  }
  return text;
}

void check_fault_value(Check *c, const char *expected, const char *nearest) {
  char text[DESCRIBED];
  check_fault_near(c, describe(c->L, text), expected, nearest);
}

/* By number where they differ in a number: actions_to_run[2] comes before actions_to_run[10]. */
static int compare_paths(const void *left, const void *right) {
  const Key *a = left, *b = right;
  int order = strverscmp(a->text, b->text);
  return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

void check_push_faults(Check *c) {
  lua_State *L = c->L;
  size_t count = (size_t)c->count;
  luaL_pushfail(L);
  lua_createtable(L, (int)count, 0);
  Key *keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
  for (size_t i = 0; i < count; i++) {
    keys[i].index = (lua_Integer)i + 1;
    lua_rawgeti(L, c->faults, keys[i].index);
    lua_getfield(L, -1, "path");
    keys[i].text = lua_tolstring(L, -1, &keys[i].length); /* which the fault keeps */
    lua_pop(L, 2);
  }
  qsort(keys, count, sizeof *keys, compare_paths);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, c->faults, keys[i].index);
    lua_rawseti(L, -3, (lua_Integer)i + 1);
  }
  lua_pop(L, 1);
}

/* ---- Tables. */

static const char *shape_fault(const Shape *shape) {
  if (shape->names + shape->items > MAX_ENTRIES)
    return "a table with more entries than any request needs";
  if (shape->other != NULL || (shape->names > 0 && shape->items > 0))
    return "a table whose keys are neither all names nor all indices";
  if (shape->first < 1 || shape->last > (lua_Integer)shape->items)
    return "a list with holes";
  return NULL;
}

bool check_table(Check *c, const char *expected, Key keys[], size_t room, Shape *shape) {
  lua_State *L = c->L;
  if (!lua_istable(L, -1)) {
    check_fault(c, check_kind(L), expected);
    return false;
  }
  if (lua_getmetatable(L, -1)) {
    lua_pop(L, 1);
    if (!json_is_list(L, -1)) {
      check_fault(c, "a table with a metatable", "a plain table");
      return false;
    }
  }
  *shape = shape_of(L, keys, room);
  const char *found = shape_fault(shape);
  if (found != NULL)
    check_fault(c, found, expected);
  return found == NULL;
}

/* Its place among the names, or `count`. */
static int find_name(const char *const names[], int count, const char *name, size_t length) {
  int i = 0;
  while (i < count && !(names[i][0] == name[0] && strlen(names[i]) == length && memcmp(names[i], name, length) == 0))
    i++;
  return i;
}

/* [-0, +1, m] pushes "one of a, b, c" */
static void push_choice(lua_State *L, const char *const names[], int count) {
  Key keys[MAX_NAMES];
  luaL_Buffer b;
  for (int i = 0; i < count; i++)
    keys[i] = (Key){ names[i], strlen(names[i]), i };
  keys_sort(keys, (size_t)count);
  luaL_buffinit(L, &b);
  for (int i = 0; i < count; i++) {
    luaL_addstring(&b, i == 0 ? "one of " : ", ");
    luaL_addlstring(&b, keys[i].text, keys[i].length);
  }
  luaL_pushresult(&b);
}

static void fault_unknown(Check *c, const char *const names[], int count, const char *name, size_t length) {
  Step step = { .outer = c->step, .key = name, .length = length };
  c->step = &step;
  push_choice(c->L, names, count);
  check_fault_near(c, "an unknown name", lua_tostring(c->L, -1), nearest_of(name, length, names, (size_t)count));
  lua_pop(c->L, 1);
  c->step = step.outer;
}

bool check_map(Check *c, const char *const names[], int count, const char *expected) {
  lua_State *L = c->L;
  int map = lua_gettop(L);
  Shape shape;
  if (!check_table(c, expected, NULL, 0, &shape))
    return false;
  if (shape.items > 0) { /* would be a slip here, such as branch = { "master" } */
    check_fault(c, "a list", expected);
    return false;
  }
  lua_settop(L, map + count);
  for (lua_pushnil(L); lua_next(L, map);) { /* map, values..., name, value */
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    int place = find_name(names, count, name, length);
    if (place < count) {
      lua_replace(L, map + 1 + place);
    } else {
      fault_unknown(c, names, count, name, length);
      lua_pop(L, 1);
    }
  }
  return true;
}

void check_member(Check *c, const char *name, int index, CheckValue *check, const char *expected) {
  Step step = { .outer = c->step, .key = name, .length = strlen(name) };
  c->step = &step;
  lua_pushvalue(c->L, index);
  check(c, expected);
  lua_pop(c->L, 1);
  c->step = step.outer;
}

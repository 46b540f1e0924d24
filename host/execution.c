/* The safety kernel: what may be asked of a pipeline, checked whole before anything is sent; the exact bytes of it;
 * and its one sending. A request is its bytes, so nothing can change it. This file is the request as Lua sees it. */
#include "execution.h"

#include "host.h"
#include "json.h"
#include "nearest.h"

#include <string.h>

/* fields => request, or nil and the faults; returns how many values these are. */
static int compose(lua_State *L) {
  Writer out;
  int given = lua_gettop(L);
  writer_open(&out, L);
  if (!execution_check(L, given, &out))
    return 2;
  ExecutionRequest *request = lua_newuserdatauv(L, sizeof *request + out.length + 1, 0);
  request->length = out.length;
  memcpy(request->bytes, out.data, out.length);
  request->bytes[out.length] = '\0';
  luaL_setmetatable(L, EXECUTION_CLASS);
  return 1;
}

static int l_request(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  return compose(L);
}

static ExecutionRequest *check_request(lua_State *L) {
  return luaL_checkudata(L, 1, EXECUTION_CLASS);
}

static int l_json(lua_State *L) {
  const ExecutionRequest *request = check_request(L);
  lua_pushlstring(L, request->bytes, request->length);
  return 1;
}

static int l_masked(lua_State *L) {
  execution_push_masked(L, check_request(L));
  return 1;
}

static int l_eq(lua_State *L) {
  const ExecutionRequest *a = luaL_testudata(L, 1, EXECUTION_CLASS), *b = luaL_testudata(L, 2, EXECUTION_CLASS);
  lua_pushboolean(L, a != NULL && b != NULL && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0);
  return 1;
}

/* changes, fields => changes, fields */
static void change(lua_State *L, int changes, int fields) {
  lua_getfield(L, changes, "revision");
  lua_getfield(L, changes, "to_revision");
  if (!lua_isnil(L, -2) && lua_isnil(L, -1)) /* the short name replaces the long one */
    lua_setfield(L, fields, "to_revision");
  lua_settop(L, fields);
  for (lua_pushnil(L); lua_next(L, changes);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, fields);
  }
}

static int l_with(lua_State *L) {
  const ExecutionRequest *request = check_request(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_getmetatable(L, 2) && !json_is_list(L, 2)) {
    lua_settop(L, 2);
    return compose(L); /* finds this fault, before a metamethod can run */
  }
  lua_settop(L, 2);
  lua_pushlstring(L, request->bytes, request->length);
  json_decode(L, 3);
  lua_replace(L, 3);
  change(L, 2, 3);
  return compose(L);
}

static int l_nearest(lua_State *L) {
  Nearest nearest = { 0 };
  nearest.wanted = luaL_checklstring(L, 1, &nearest.length);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushnil(L); /* wanted, names, nearest */
  lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
  for (lua_Integer i = 1; i <= count; i++) {
    size_t length;
    luaL_argcheck(L, lua_rawgeti(L, 2, i) == LUA_TSTRING, 2, "a list of strings expected");
    const char *name = lua_tolstring(L, -1, &length);
    if (nearest_consider(&nearest, name, length))
      lua_copy(L, -1, 3);
    lua_pop(L, 1);
  }
  return 1;
}

int luaopen_host_execution(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "__eq", l_eq },       { "__tostring", l_masked }, { "json", l_json },
    { "masked", l_masked }, { "with", l_with },         { NULL, NULL },
  };
  static const luaL_Reg functions[] = {
    { "nearest", l_nearest },
    { "request", l_request },
    { "submit", execution_submit },
    { NULL, NULL },
  };
  host_class(L, EXECUTION_CLASS, methods);
  luaL_newlib(L, functions);
  execution_push_fields(L);
  lua_setfield(L, -2, "fields");
  return 1;
}

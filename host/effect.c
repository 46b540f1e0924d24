/* The boundary: every effect of a recipe crosses `cross`. It numbers the effect (task path, step) and performs it.
 * What stands on this boundary sees the whole of what a recipe does to the world; nothing else leads there. */
#include "alarm.h"
#include "host.h"
#include "task.h"

static const char names_key = 'n';
static const char observer_key = 'o';
static const char refusal_key = 'r';

/* The upvalues of an effect. */
enum { NAME = 1, WRITE, PERFORM };

/* The stack during a crossing that is observed, below the effect's arguments or results. */
enum { STARTED = 1, STEP };

/* [-0, +0, e] tells the observer, who may raise */
static void tell(lua_State *L, bool ok) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &observer_key) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_createtable(L, 0, 6);
  lua_pushvalue(L, lua_upvalueindex(NAME));
  lua_setfield(L, -2, "name");
  lua_pushvalue(L, lua_upvalueindex(WRITE));
  lua_setfield(L, -2, "write");
  task_push_path(L, task_current(host_of(L)));
  lua_setfield(L, -2, "path");
  lua_pushvalue(L, STEP);
  lua_setfield(L, -2, "step");
  lua_pushnumber(L, (lua_Number)clock_monotonic_ns(host_of(L)) / 1e9 - lua_tonumber(L, STARTED));
  lua_setfield(L, -2, "seconds");
  lua_pushboolean(L, ok);
  lua_setfield(L, -2, "ok");
  lua_call(L, 1, 0);
}

/* L: started, step, results... or error */
static int finish_observed(lua_State *L, int status, lua_KContext context) {
  (void)context;
  bool ok = status == LUA_OK || status == LUA_YIELD;
  if (!ok && task_is_cancellation(L, -1))
    return lua_error(L);
  tell(L, ok);
  return ok ? lua_gettop(L) - STEP : lua_error(L);
}

static int finish(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L);
}

static int cross(lua_State *L) {
  Task *task = task_current(host_of(L));
  if (task == NULL)
    return luaL_error(L, "%s: an effect outside of a task", lua_tostring(L, lua_upvalueindex(NAME)));
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &refusal_key) != LUA_TNIL)
    return lua_error(L);
  lua_pop(L, 1);
  lua_Integer step = task_next_step(task);
  int nargs = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(PERFORM));
  lua_insert(L, 1);
  bool observed = lua_rawgetp(L, LUA_REGISTRYINDEX, &observer_key) != LUA_TNIL;
  lua_pop(L, 1);
  if (!observed) {
    lua_callk(L, nargs, LUA_MULTRET, 0, finish);
    return finish(L, LUA_OK, 0);
  }
  lua_pushnumber(L, (lua_Number)clock_monotonic_ns(host_of(L)) / 1e9);
  lua_pushinteger(L, step);
  lua_rotate(L, 1, 2);
  return finish_observed(L, lua_pcallk(L, nargs, LUA_MULTRET, 0, 0, finish_observed), 0);
}

static int l_define(lua_State *L) {
  luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_settop(L, 3);
  luaL_argexpected(L, lua_getfield(L, 2, "write") == LUA_TBOOLEAN, 2, "table with a boolean field 'write'");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 5) != LUA_TNIL)
    return luaL_error(L, "the effect '%s' is defined already", lua_tostring(L, 1));
  lua_pushvalue(L, 1);
  lua_pushboolean(L, 1);
  lua_rawset(L, 5);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 4);
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, cross, 3);
  return 1;
}

static int l_observe(lua_State *L) {
  if (!lua_isnoneornil(L, 1))
    luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &observer_key);
  return 0;
}

static int l_refuse(lua_State *L) {
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &refusal_key);
  return 0;
}

int luaopen_host_effect(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "define", l_define },
    { "observe", l_observe },
    { "refuse", l_refuse },
    { NULL, NULL },
  };
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
  luaL_newlib(L, functions);
  return 1;
}

/* A wait inside a recipe's own coroutine belongs to the task that runs it: the coroutine's yield is handed up to the
 * task, and the task's resumption down to the coroutine. So generators made with coroutine.wrap may call any primitive.
 * Cancellation is not an error that code can handle: the protected calls here let it pass. */
#include "coroutine.h"

#include "task.h"

typedef enum Caller { RESUME, WRAP } Caller;

static int resumed(lua_State *L, int status, lua_KContext context);
static int wrap_resumed(lua_State *L, int status, lua_KContext context);

/* L: caller's stack. The coroutine has ended with an error, which is on top of it. */
static int fail(lua_State *L, lua_State *co, Caller caller) {
  if (caller == WRAP || task_is_cancellation(co, -1)) {
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD)
      lua_resetthread(co); /* runs its <close> variables; the error stays on top */
  }
  lua_xmove(co, L, 1);
  if (task_is_cancellation(L, -1))
    return lua_error(L);
  if (caller == RESUME) {
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
  }
  if (lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

/* Runs `co`, with nargs arguments on its stack, to its next yield or its end. */
static int run(lua_State *L, lua_State *co, int nargs, Caller caller) {
  int count;
  bool blocked = task_block(L);
  int status = lua_resume(co, L, nargs, &count);
  task_unblock(L, blocked);
  if (status == LUA_YIELD && task_is_waiting(co)) {
    task_push_waiting(L);
    return lua_yieldk(L, 1, (lua_KContext)co, caller == WRAP ? wrap_resumed : resumed);
  }
  if (status != LUA_OK && status != LUA_YIELD)
    return fail(L, co, caller);
  if (!lua_checkstack(L, count + 1)) {
    lua_pop(co, count);
    return luaL_error(L, "too many results to resume");
  }
  if (caller == RESUME)
    lua_pushboolean(L, 1);
  lua_xmove(co, L, count);
  return count + (caller == RESUME);
}

static int resumed(lua_State *L, int status, lua_KContext context) {
  (void)status;
  lua_State *co = (lua_State *)context;
  lua_pop(co, 1); /* the mark of its wait */
  return run(L, co, 0, RESUME);
}

static int wrap_resumed(lua_State *L, int status, lua_KContext context) {
  (void)status;
  lua_State *co = (lua_State *)context;
  lua_pop(co, 1);
  return run(L, co, 0, WRAP);
}

static const char *status_of(lua_State *L, lua_State *co) {
  if (L == co)
    return "running";
  if (lua_status(co) == LUA_YIELD)
    return task_is_waiting(co) ? "normal" : "suspended";
  if (lua_status(co) != LUA_OK)
    return "dead";
  lua_Debug frame;
  if (lua_getstack(co, 0, &frame))
    return "normal";
  return lua_gettop(co) == 0 ? "dead" : "suspended";
}

/* Moves the arguments on top of L to `co`. Returns NULL, or why it cannot be resumed. */
static const char *hand_over(lua_State *L, lua_State *co, int nargs) {
  const char *status = status_of(L, co);
  if (status[0] == 'd')
    return "cannot resume dead coroutine";
  if (status[0] != 's')
    return "cannot resume non-suspended coroutine";
  if (!lua_checkstack(co, nargs))
    return "too many arguments to resume";
  lua_xmove(L, co, nargs);
  return NULL;
}

static lua_State *check_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  return co;
}

static int l_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  int nargs = lua_gettop(L) - 1;
  const char *refusal = hand_over(L, co, nargs);
  if (refusal != NULL) {
    lua_pushboolean(L, 0);
    lua_pushstring(L, refusal);
    return 2;
  }
  return run(L, co, nargs, RESUME);
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int nargs = lua_gettop(L);
  const char *refusal = hand_over(L, co, nargs);
  if (refusal != NULL)
    return luaL_error(L, "%s", refusal);
  return run(L, co, nargs, WRAP);
}

static int l_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

static int l_status(lua_State *L) {
  lua_pushstring(L, status_of(L, check_coroutine(L)));
  return 1;
}

static int l_close(lua_State *L) {
  lua_State *co = check_coroutine(L);
  const char *status = status_of(L, co);
  if (status[0] != 'd' && status[0] != 's')
    return luaL_error(L, "cannot close a %s coroutine", status);
  if (lua_resetthread(co) == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

/* Stack: true, results... (the first `extra` values are not the caller's), or ..., error */
static int finish_call(lua_State *L, int status, lua_KContext extra) {
  if (status == LUA_OK || status == LUA_YIELD)
    return lua_gettop(L) - (int)extra;
  if (task_is_cancellation(L, -1))
    return lua_error(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int l_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  return finish_call(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_call), 0);
}

static int handle_error(lua_State *L) {
  if (task_is_cancellation(L, 1))
    return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static int l_xpcall(lua_State *L) {
  int top = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handle_error, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* function, handler, true, function, args... */
  return finish_call(L, lua_pcallk(L, top - 2, LUA_MULTRET, 2, 2, finish_call), 2);
}

void coroutine_install(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "close", l_close }, { "resume", l_resume }, { "status", l_status }, { "wrap", l_wrap }, { NULL, NULL },
  };
  lua_getglobal(L, "coroutine");
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
  lua_register(L, "pcall", l_pcall);
  lua_register(L, "xpcall", l_xpcall);
}

/* host.process: child processes, as Lua calls them. How one starts, is read and ends is in the other parts: see
 * process.h. */
#include "process.h"

#include <signal.h>
#include <string.h>

static Owner *check_owner(lua_State *L) {
  return luaL_checkudata(L, 1, PROCESS_CLASS);
}

static Process *check_open(lua_State *L) {
  Process *p = check_owner(L)->process;
  luaL_argcheck(L, p != NULL, 1, "the process is closed");
  return p;
}

static int l_spawn(lua_State *L) {
  static const char *const names[] = { "command", "directory", "environment", "input", "merge", NULL };
  Request request;
  process_check_request(L, names, &request);
  return process_push(L, &request, false);
}

static void on_reader_cancelled(Wait *wait) {
  process_release(((Reader *)wait)->owner->process);
}

/* Suspends the task until the process is ready for it. */
static int await_reader(lua_State *L, Owner *owner, WaitFinish finish) {
  Reader *reader = lua_newuserdatauv(L, sizeof *reader, 0);
  reader->owner = owner;
  owner->process->reader = reader;
  return task_wait(L, &reader->wait, on_reader_cancelled, finish);
}

static int finish_read(lua_State *L, Wait *wait) {
  Process *p = ((Reader *)wait)->owner->process;
  if (p == NULL) { /* closed by another task */
    lua_pushnil(L);
    return 1;
  }
  p->reader = NULL;
  return process_push_output(L, p);
}

static int l_read(lua_State *L) {
  Process *p = check_open(L);
  luaL_argcheck(L, p->reader == NULL, 1, "another task is reading from the process");
  task_check(L);
  return process_is_ready(p) ? process_push_output(L, p) : await_reader(L, p->owner, finish_read);
}

static void push_signal_name(lua_State *L, int signum) {
  lua_pushliteral(L, "SIG");
  if (sigabbrev_np(signum) != NULL)
    lua_pushstring(L, sigabbrev_np(signum));
  else
    lua_pushinteger(L, signum); /* a real-time signal */
  lua_concat(L, 2);
}

static void push_status(lua_State *L, Status status) {
  lua_createtable(L, 0, 3);
  if (status.signal != 0) {
    push_signal_name(L, status.signal);
    lua_setfield(L, -2, "signal");
  } else {
    lua_pushinteger(L, (lua_Integer)status.code);
    lua_setfield(L, -2, "code");
  }
}

static void on_waiter_cancelled(Wait *wait) {
  Waiter *w = (Waiter *)wait;
  Waiter **link = &w->process->waiters;
  while (*link != w)
    link = &(*link)->next;
  *link = w->next;
}

static int finish_wait(lua_State *L, Wait *wait) {
  push_status(L, ((Waiter *)wait)->status);
  return 1;
}

static int l_wait(lua_State *L) {
  Process *p = check_open(L);
  task_check(L);
  if (!p->running) {
    push_status(L, p->status);
    return 1;
  }
  Waiter *w = lua_newuserdatauv(L, sizeof *w, 0);
  w->process = p;
  w->next = p->waiters;
  p->waiters = w;
  return task_wait(L, &w->wait, on_waiter_cancelled, finish_wait);
}

static int check_signal(lua_State *L, int index) {
  const char *name = luaL_optstring(L, index, "SIGTERM");
  for (int signum = 1; signum < NSIG; signum++) {
    const char *known = sigabbrev_np(signum);
    if (known != NULL && strncmp(name, "SIG", 3) == 0 && strcmp(name + 3, known) == 0)
      return signum;
  }
  return luaL_argerror(L, index, lua_pushfstring(L, "no signal is called '%s'; one is \"SIGTERM\"", name));
}

static int l_kill(lua_State *L) {
  Process *p = check_open(L);
  int err = process_signal(p, check_signal(L, 2));
  if (err != 0)
    return host_fail_uv(L, err, lua_pushfstring(L, "cannot signal process group %d", (int)p->pid));
  lua_pushboolean(L, 1);
  return 1;
}

static int l_close(lua_State *L) {
  Process *p = check_owner(L)->process;
  if (p != NULL)
    process_release(p);
  return 0;
}

static int finish_run(lua_State *L, Wait *wait) {
  Owner *owner = ((Reader *)wait)->owner;
  Process *p = owner->process;
  p->reader = NULL;
  if (p->too_large || p->failure != 0) {
    size_t max_bytes = p->max_bytes;
    int failure = p->failure;
    process_release(p);
    if (failure != 0)
      return host_fail_uv(L, failure, "cannot read the process's output");
    return host_fail(L, "too_large", "the process wrote more than %zu bytes; raise max_bytes, or spawn it and read",
                     max_bytes);
  }
  push_status(L, p->status);
  process_set_output(L, p);
  process_release(p);
  return 1;
}

static int l_run(lua_State *L) {
  static const char *const names[] = { "command", "directory", "environment", "input", "merge", "max_bytes", NULL };
  Request request;
  process_check_request(L, names, &request);
  task_check(L);
  int count = process_push(L, &request, true);
  if (count != 1)
    return count;
  return await_reader(L, lua_touserdata(L, -1), finish_run);
}

/* [-0, +1, -] `pid`, or a method */
static int l_index(lua_State *L) {
  Owner *owner = check_owner(L);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL && lua_rawequal(L, 2, lua_upvalueindex(2)))
    lua_pushinteger(L, owner->pid);
  return 1;
}

int luaopen_host_process(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "read", l_read },  { "wait", l_wait },     { "kill", l_kill }, { "close", l_close },
    { "__gc", l_close }, { "__close", l_close }, { NULL, NULL },
  };
  static const luaL_Reg functions[] = { { "spawn", l_spawn }, { "run", l_run }, { NULL, NULL } };
  host_class(L, PROCESS_CLASS, methods);
  luaL_getmetatable(L, PROCESS_CLASS);
  lua_getfield(L, -1, "__index");
  lua_pushliteral(L, "pid");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}

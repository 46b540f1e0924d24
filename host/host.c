/* The host's life: it opens the loop and the Lua state, and closes everything in reverse. */
#include "host.h"

#include "alarm.h"
#include "memory.h"
#include "module.h"
#include "task.h"

#include <lualib.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void host_after_turn(Host *host, TurnHook *hook) {
  if (hook->queued)
    return;
  hook->queued = true;
  hook->next = host->hooks;
  host->hooks = hook;
}

void host_run_hooks(Host *host) {
  TurnHook *hook = host->hooks;
  host->hooks = NULL;
  while (hook != NULL) {
    TurnHook *next = hook->next;
    hook->queued = false;
    hook->run(host, hook);
    hook = next;
  }
}

int host_fail(lua_State *L, const char *code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  luaL_pushfail(L);
  char message[1024];
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  lua_pushstring(L, message);
  lua_pushstring(L, code);
  return 3;
}

int host_fail_uv(lua_State *L, int err, const char *what) {
  return host_fail(L, uv_err_name(err), "%s: %s", what, uv_strerror(err));
}

void host_class(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_pushstring(L, name); /* what getmetatable answers; the real one stays out of reach */
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  for (const luaL_Reg *method = methods; method->name != NULL; method++) {
    lua_pushcfunction(L, method->func);
    lua_setfield(L, method->name[0] == '_' && method->name[1] == '_' ? -3 : -2, method->name);
  }
  lua_setfield(L, -2, "__index");
}

/* L: host, directory of the Lua modules or nil */
static int open_lua(lua_State *L) {
  const char *directory = lua_tostring(L, 2);
  lua_pushboolean(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV"); /* LUA_PATH and LUA_INIT are not for us */
  luaL_openlibs(L);
  module_install(L, directory);
  return 0;
}

/* Only out of memory, outside of every protected call. */
static int on_panic(lua_State *L) {
  fprintf(stderr, "moonsail: cannot go on: %s\n", lua_tostring(L, -1));
  return 0;
}

static bool open_all(Host *host) {
  lua_State *L = host->L;
  lua_atpanic(L, on_panic);
  *(Host **)lua_getextraspace(L) = host;
  lua_pushcfunction(L, open_lua);
  lua_pushlightuserdata(L, host);
  lua_pushstring(L, getenv("MOONSAIL_LUA")); /* a developer's setting: load lua/ from there */
  if (lua_pcall(L, 2, 0, 0) != LUA_OK)
    return false;
  return alarms_open(host) && tasks_open(host);
}

Host *host_new(void) {
  Host *host = calloc(1, sizeof *host);
  if (host == NULL)
    return NULL;
  if (uv_loop_init(&host->loop) != 0) {
    free(host);
    return NULL;
  }
  signal(SIGPIPE, SIG_IGN); /* a peer that has gone is an error of the write, not the end of the host */
  host->memory = memory_open();
  if (host->memory != NULL)
    host->L = lua_newstate(memory_allocate, host->memory);
  if (host->L == NULL || !open_all(host)) {
    host_close(host);
    return NULL;
  }
  return host;
}

static void count_open(uv_handle_t *handle, void *count) {
  if (!uv_is_closing(handle))
    ++*(int *)count;
}

bool host_close(Host *host) {
  server_close(host);
  sockets_close(host);
  process_close(host);
  repository_close(host);
  store_close(host);
  http_close(host);
  alarms_close(host);
  if (host->L != NULL)
    lua_close(host->L);
  memory_close(host->memory);
  int open = 0;
  uv_walk(&host->loop, count_open, &open);
  if (open == 0) {
    uv_run(&host->loop, UV_RUN_DEFAULT); /* the close callbacks */
    uv_loop_close(&host->loop);
  }
  tasks_close(host);
  free(host);
  return open == 0;
}

/* The host: owns the loop, the Lua state and the lifetimes of everything below them.
 * There are no globals: each C function takes the Host, and Lua-callable ones find it with host_of(). */
#ifndef MOONSAIL_HOST_H
#define MOONSAIL_HOST_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

typedef struct Host Host;
typedef struct TurnHook TurnHook;

/* Work that is saved up during a turn of the loop and done once at its end, such as one commit for all. */
struct TurnHook {
  void (*run)(Host *host, TurnHook *hook);
  TurnHook *next;
  bool queued;
};

/* clock.c */
typedef struct Clock {
  bool stands;         /* simulated */
  uint64_t now_ns;     /* while it stands */
  uint64_t stopped_ns; /* when it began to */
  double wall;         /* the seconds since 1970 at that moment */
  uint64_t offset_ns;  /* while it goes: what it is ahead of the system's */
} Clock;

struct Host {
  uv_loop_t loop;
  Clock clock;
  bool sent_inside;      /* to a peer in this process, since simulation.c last waited for such */
  int output_error;      /* terminal.c; of the first failed write to standard output whose reader is still there */
  struct Memory *memory; /* memory.c */
  lua_State *L;
  TurnHook *hooks;             /* due at the end of this turn, newest first */
  struct Tasks *tasks;         /* task.c */
  struct Alarms *alarms;       /* alarm.c */
  struct Http *http;           /* http.c; NULL until the first request */
  struct Repositories *git;    /* repository.c; NULL until the first repository is opened */
  struct Stores *stores;       /* store.c; NULL until the first store is opened */
  struct Listening *listening; /* listening.c */
  struct Servers *servers;     /* server.c; NULL until the first listen */
  struct Sockets *sockets;     /* socket.c; NULL until the first connect or listen */
  struct Processes *processes; /* process.c; NULL until the first spawn */
};

static inline Host *host_of(lua_State *L) {
  return *(Host **)lua_getextraspace(L);
}

/* Opens the loop and the Lua state with all host.* modules in package.preload. NULL when out of memory. */
Host *host_new(void);

/* Closes every primitive, the Lua state and the loop. Returns false if a handle had been left open. */
bool host_close(Host *host);

/* Runs hook->run once at the end of the current turn; queueing it twice is queueing it once. */
void host_after_turn(Host *host, TurnHook *hook);

/* Runs what is due; those that are queued meanwhile are due in the next turn. */
void host_run_hooks(Host *host);

/* [-0, +3, m] The world's failure: return host_fail(L, code, format, ...) pushes nil, message, code. */
int host_fail(lua_State *L, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same from a libuv error number; `what` says what was being done, such as "cannot listen on 127.0.0.1:80". */
int host_fail_uv(lua_State *L, int err, const char *what);

/* [-0, +1, m] Makes a class and pushes it: a metatable with __name, its own __index, the methods, and a locked
 * __metatable. `methods` may hold metamethods too (names that begin with "__"). */
void host_class(lua_State *L, const char *name, const luaL_Reg *methods);

/* The modules' open functions, as package.preload wants them: [-0, +1, m] */
int luaopen_host_effect(lua_State *L);
int luaopen_host_execution(lua_State *L);
int luaopen_host_http(lua_State *L);
int luaopen_host_json(lua_State *L);
int luaopen_host_lockfile(lua_State *L);
int luaopen_host_process(lua_State *L);
int luaopen_host_repository(lua_State *L);
int luaopen_host_secret(lua_State *L);
int luaopen_host_server(lua_State *L);
int luaopen_host_socket(lua_State *L);
int luaopen_host_store(lua_State *L);
int luaopen_host_task(lua_State *L);
int luaopen_host_terminal(lua_State *L);

/* What each primitive keeps open for the whole host; called by host_close before the loop is drained.
 * Stops and closes handles; must cope with never having been used. */
void http_close(Host *host);
void process_close(Host *host);
void repository_close(Host *host);
void server_close(Host *host);
void sockets_close(Host *host);
void store_close(Host *host);

/* Whether something of theirs is under way outside of this process: a child, a worker's thread, an exchange with a
 * peer that is not ours. The simulated clock goes with the real one until it has come (simulation.c). */
bool http_is_outside(const Host *host);
bool process_is_outside(const Host *host);
bool repository_is_outside(const Host *host);
bool socket_is_outside(const Host *host);

/* How many requests are under way to servers of this process, and how many answers their handlers still owe. */
int http_count_inside(const Host *host);
int server_count_owed(const Host *host);

#endif

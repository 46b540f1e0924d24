/* Several tasks at once, waited for together: all, map with a limit, race.
 * One loop serves the three: start children while there is room, take in those that have ended, wait. The first
 * error, or in a race the first result, cancels the others; nothing is left running when the call returns. */
#include "task_group.h"

#include "task.h"

#include <string.h>

typedef struct Group Group;

/* Room for a running child. */
typedef struct Slot {
  Group *group;
  Task *task; /* NULL when free */
  lua_Integer index;
  struct Slot *next; /* among the free or the ended */
} Slot;

struct Group {
  Wait wait;
  Host *host;
  bool mapping; /* calls one function with each item; otherwise each item is a function */
  bool racing;
  bool stopping; /* starts no more */
  bool failed;
  lua_Integer winner;
  lua_Integer count;
  lua_Integer next;
  lua_Integer running;
  lua_Integer room;
  Slot *free;
  Slot *ended;
  Slot **last_ended;
  Slot slots[];
};

/* The stack during a call. RESULTS holds a child's task until it has ended, and then its first result. */
enum { ITEMS = 1, FUNCTION, RESULTS, GROUP, OUTCOME };

static void on_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)host;
  (void)co;
  (void)ok;
  (void)count;
  Slot *slot = data;
  Group *group = slot->group;
  slot->next = NULL;
  *group->last_ended = slot;
  group->last_ended = &slot->next;
  task_wake(&group->wait);
}

static void start_child(lua_State *L, Group *group) {
  lua_Integer index = group->next;
  int nargs = 0;
  if (group->mapping) {
    lua_pushvalue(L, FUNCTION);
    lua_rawgeti(L, ITEMS, index);
    lua_pushinteger(L, index);
    nargs = 2;
  } else {
    lua_rawgeti(L, ITEMS, index);
  }
  Slot *slot = group->free;
  slot->task = task_start(L, task_current(group->host), nargs, on_ended, slot);
  slot->index = index;
  group->free = slot->next;
  group->next++;
  group->running++;
  task_push(L, slot->task);
  lua_rawseti(L, RESULTS, index);
}

/* Cancels every child that still runs. */
static void stop(Group *group, const char *reason) {
  group->stopping = true;
  for (lua_Integer i = 0; i < group->room; i++) {
    if (group->slots[i].task != NULL)
      task_cancel(group->host, group->slots[i].task, reason);
  }
}

static int protected_results(lua_State *L) {
  return task_push_results(L, task_at(L, 1));
}

/* Replaces the child by its first result; notes the first outcome that ends the group. */
static void take_in(lua_State *L, Group *group, Slot *slot) {
  lua_Integer index = slot->index;
  slot->task = NULL;
  slot->next = group->free;
  group->free = slot;
  group->running--;
  lua_pushcfunction(L, protected_results);
  lua_rawgeti(L, RESULTS, index);
  bool ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
  if ((!ok || group->racing) && !group->stopping) {
    group->failed = !ok;
    group->winner = index;
    lua_pushvalue(L, -1);
    lua_replace(L, OUTCOME);
    stop(group, ok ? "another one was first" : "another one failed");
  }
  if (!ok) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  lua_rawseti(L, RESULTS, index);
}

/* While children may still point to it, the group outlives even an error in this call. */
static void anchor(lua_State *L, Group *group, bool on) {
  if (on)
    lua_pushvalue(L, GROUP);
  else
    lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, group);
}

static int step(lua_State *L, Wait *wait) {
  Group *group = (Group *)wait;
  for (;;) {
    while (group->ended != NULL) {
      Slot *slot = group->ended;
      group->ended = slot->next;
      if (group->ended == NULL)
        group->last_ended = &group->ended;
      take_in(L, group, slot);
    }
    while (!group->stopping && group->free != NULL && group->next <= group->count)
      start_child(L, group);
    if (group->running > 0)
      return task_wait(L, &group->wait, NULL, step);
    anchor(L, group, false);
    task_check_cancelled(L);
    if (group->failed) {
      lua_pushvalue(L, OUTCOME);
      return lua_error(L);
    }
    if (group->racing) {
      lua_pushvalue(L, OUTCOME);
      lua_pushinteger(L, group->winner);
      return 2;
    }
    lua_pushvalue(L, RESULTS);
    return 1;
  }
}

/* L: items, function or nil */
static int run_group(lua_State *L, bool mapping, bool racing, lua_Integer limit) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, ITEMS);
  luaL_argcheck(L, count <= 1000000, 1, "a million items at most");
  task_check(L);
  lua_Integer room = limit < count ? limit : count;
  lua_createtable(L, (int)count, 1);
  lua_pushinteger(L, count);
  lua_setfield(L, RESULTS, "n");
  Group *group = lua_newuserdatauv(L, sizeof *group + (size_t)room * sizeof(Slot), 0);
  memset(group, 0, sizeof *group);
  group->host = host_of(L);
  group->mapping = mapping;
  group->racing = racing;
  group->count = count;
  group->room = room;
  group->next = 1;
  group->last_ended = &group->ended;
  for (lua_Integer i = room - 1; i >= 0; i--) {
    group->slots[i] = (Slot){ .group = group, .next = group->free };
    group->free = &group->slots[i];
  }
  lua_pushnil(L); /* OUTCOME */
  anchor(L, group, true);
  return step(L, &group->wait);
}

static void check_functions(lua_State *L) {
  luaL_checktype(L, ITEMS, LUA_TTABLE);
  lua_settop(L, ITEMS);
  lua_Integer count = (lua_Integer)lua_rawlen(L, ITEMS);
  for (lua_Integer i = 1; i <= count; i++) {
    if (lua_rawgeti(L, ITEMS, i) != LUA_TFUNCTION)
      luaL_error(L, "item %I is a %s, expected a function", (LUAI_UACINT)i, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  lua_pushnil(L);
}

int l_all(lua_State *L) {
  check_functions(L);
  return run_group(L, false, false, LUA_MAXINTEGER);
}

int l_race(lua_State *L) {
  check_functions(L);
  luaL_argcheck(L, lua_rawlen(L, ITEMS) > 0, 1, "at least one function expected");
  return run_group(L, false, true, LUA_MAXINTEGER);
}

int l_map(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_settop(L, 3);
  lua_getfield(L, 2, "limit");
  lua_Integer limit = luaL_optinteger(L, 4, LUA_MAXINTEGER);
  luaL_argcheck(L, limit >= 1, 2, "a limit of at least 1 expected");
  lua_settop(L, 3);
  lua_remove(L, 2);
  return run_group(L, true, false, limit);
}

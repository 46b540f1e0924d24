/* host.task as Lua sees it: tasks, sleeping, events, and time limits. Several tasks at once: task_group.c. */
#include "alarm.h"
#include "simulation.h"
#include "task.h"
#include "task_group.h"

#include <math.h>
#include <string.h>

#define EVENT_CLASS "host.Event"
#define SIMULATION_CLASS "host.Simulation"
#define SIMULATED_START 1893456000.0 /* 2030-01-01T00:00:00Z: always the same, so that dates are */

static lua_Number check_seconds(lua_State *L, int arg) {
  lua_Number seconds = luaL_checknumber(L, arg);
  luaL_argcheck(L, seconds >= 0, arg, "a time in seconds, not negative, expected");
  return seconds;
}

/* ---- Tasks. */

static int l_spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  Task *parent = task_current(host_of(L));
  if (parent == NULL)
    return luaL_error(L, "cannot spawn outside of a task");
  task_check_cancelled(L);
  task_push(L, task_start(L, parent, lua_gettop(L) - 1, NULL, NULL));
  return 1;
}

static int l_current(lua_State *L) {
  Task *task = task_current(host_of(L));
  if (task == NULL)
    return 0;
  task_push(L, task);
  return 1;
}

static int l_join(lua_State *L) {
  return task_join(L, task_at(L, 1));
}

static int l_cancel(lua_State *L) {
  task_cancel(host_of(L), task_at(L, 1), luaL_optstring(L, 2, NULL));
  return 0;
}

static int l_task_index(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  if (strcmp(name, "status") == 0)
    lua_pushstring(L, task_state(task_at(L, 1)));
  else if (strcmp(name, "path") == 0)
    task_push_path(L, task_at(L, 1));
  else
    lua_getfield(L, lua_upvalueindex(1), name);
  return 1;
}

static int finish_shield(lua_State *L, int status, lua_KContext context) {
  task_unshield((Task *)context);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) : lua_error(L);
}

static int l_shield(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  Task *task = task_current(host_of(L));
  if (task == NULL)
    return luaL_error(L, "cannot shield outside of a task");
  task_shield(task);
  int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, (lua_KContext)task, finish_shield);
  return finish_shield(L, status, (lua_KContext)task);
}

static int l_traceback(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  task_push_traceback(L);
  return 1;
}

/* ---- Sleeping. */

typedef struct Sleep {
  Wait wait;
  Alarm alarm;
  Host *host;
} Sleep;

static void on_sleep_over(Host *host, Alarm *alarm) {
  (void)host;
  Sleep *sleep = (Sleep *)((char *)alarm - offsetof(Sleep, alarm));
  task_wake(&sleep->wait);
}

static void sleep_cancel(Wait *wait) {
  Sleep *sleep = (Sleep *)wait;
  alarm_cancel(sleep->host, &sleep->alarm);
}

static int sleep_finish(lua_State *L, Wait *wait) {
  (void)L;
  (void)wait;
  return 0;
}

static int l_sleep(lua_State *L) {
  lua_Number seconds = check_seconds(L, 1);
  task_check(L);
  Sleep *sleep = lua_newuserdatauv(L, sizeof *sleep, 0);
  memset(sleep, 0, sizeof *sleep);
  sleep->host = host_of(L);
  if (!alarm_set(sleep->host, &sleep->alarm, seconds, on_sleep_over))
    return luaL_error(L, "not enough memory");
  return task_wait(L, &sleep->wait, sleep_cancel, sleep_finish);
}

static int l_now(lua_State *L) {
  lua_pushnumber(L, clock_wall(host_of(L)));
  return 1;
}

static int l_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)clock_monotonic_ns(host_of(L)) / 1e9);
  return 1;
}

/* ---- Simulated time. */

static int l_simulate(lua_State *L) {
  Host *host = host_of(L);
  lua_Number start = luaL_optnumber(L, 1, SIMULATED_START);
  luaL_argcheck(L, start >= 0 && start < 1e12, 1, "seconds since 1970 expected");
  if (simulation_is_on(host))
    return luaL_error(L, "time is simulated already; close that simulation first");
  bool *on = lua_newuserdatauv(L, sizeof *on, 0);
  *on = true;
  luaL_setmetatable(L, SIMULATION_CLASS);
  simulation_begin(host, start);
  return 1;
}

static int l_simulation_close(lua_State *L) {
  bool *on = luaL_checkudata(L, 1, SIMULATION_CLASS);
  if (*on && host_of(L)->alarms != NULL) /* else the host closes */
    simulation_end(host_of(L));
  *on = false;
  return 0;
}

/* ---- A time limit. */

typedef struct Limit {
  Wait wait;
  Alarm alarm;
  Task *child; /* on L's stack beside this */
  lua_Number seconds;
  bool over;
} Limit;

static void on_limit_over(Host *host, Alarm *alarm) {
  Limit *limit = (Limit *)((char *)alarm - offsetof(Limit, alarm));
  limit->over = true;
  task_cancel(host, limit->child, "its time was over");
}

static void on_limited_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)co;
  (void)ok;
  (void)count;
  Limit *limit = data;
  alarm_cancel(host, &limit->alarm);
  task_wake(&limit->wait);
}

static int limit_finish(lua_State *L, Wait *wait) {
  Limit *limit = (Limit *)wait;
  task_check_cancelled(L);
  if (limit->over && task_was_cancelled(limit->child)) {
    luaL_pushfail(L);
    lua_pushfstring(L, "timed out after %f s", limit->seconds);
    lua_pushliteral(L, "timeout");
    return 3;
  }
  lua_pushboolean(L, 1);
  return 1 + task_push_results(L, limit->child);
}

static int l_timeout(lua_State *L) {
  lua_Number seconds = check_seconds(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  task_check(L);
  Limit *limit = lua_newuserdatauv(L, sizeof *limit, 0);
  memset(limit, 0, sizeof *limit);
  limit->seconds = seconds;
  lua_insert(L, 1); /* limit, seconds, function, args... */
  if (!alarm_set(host_of(L), &limit->alarm, seconds, on_limit_over))
    return luaL_error(L, "not enough memory");
  limit->child = task_start(L, task_current(host_of(L)), lua_gettop(L) - 3, on_limited_ended, limit);
  task_push(L, limit->child);
  return task_wait(L, &limit->wait, NULL, limit_finish);
}

/* ---- Events. */

typedef struct EventWait EventWait;

/* Its user value is the mailbox: what each woken waiter was handed, by the waiter's address. */
typedef struct Event {
  EventWait *first;
  EventWait **last;
} Event;

struct EventWait {
  Wait wait;
  Alarm alarm;
  Host *host;
  Event *event; /* NULL once notified or withdrawn */
  EventWait *next;
  bool notified;
};

static Event *check_event(lua_State *L) {
  return luaL_checkudata(L, 1, EVENT_CLASS);
}

static int l_event(lua_State *L) {
  Event *event = lua_newuserdatauv(L, sizeof *event, 1);
  event->first = NULL;
  event->last = &event->first;
  luaL_setmetatable(L, EVENT_CLASS);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static void withdraw(EventWait *waiter) {
  Event *event = waiter->event;
  alarm_cancel(waiter->host, &waiter->alarm);
  if (event == NULL)
    return;
  EventWait **link = &event->first;
  while (*link != waiter)
    link = &(*link)->next;
  *link = waiter->next;
  if (event->last == &waiter->next)
    event->last = link;
  waiter->event = NULL;
}

static void event_cancel(Wait *wait) {
  withdraw((EventWait *)wait);
}

static void on_event_late(Host *host, Alarm *alarm) {
  (void)host;
  EventWait *waiter = (EventWait *)((char *)alarm - offsetof(EventWait, alarm));
  withdraw(waiter);
  task_wake(&waiter->wait);
}

/* L: event, ... */
static int event_finish(lua_State *L, Wait *wait) {
  EventWait *waiter = (EventWait *)wait;
  lua_pushboolean(L, waiter->notified);
  lua_getiuservalue(L, 1, 1);
  int mailbox = lua_gettop(L);
  if (lua_rawgetp(L, mailbox, waiter) != LUA_TTABLE) {
    lua_settop(L, mailbox - 1);
    return 1;
  }
  lua_pushnil(L);
  lua_rawsetp(L, mailbox, waiter);
  int pack = mailbox + 1;
  lua_getfield(L, pack, "n");
  int count = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, count, "too many arguments to notify");
  for (int i = 1; i <= count; i++)
    lua_rawgeti(L, pack, i);
  lua_remove(L, pack);
  lua_remove(L, mailbox);
  return 1 + count;
}

static int l_event_wait(lua_State *L) {
  Event *event = check_event(L);
  lua_Number seconds = lua_isnoneornil(L, 2) ? HUGE_VAL : check_seconds(L, 2);
  task_check(L);
  EventWait *waiter = lua_newuserdatauv(L, sizeof *waiter, 0);
  memset(waiter, 0, sizeof *waiter);
  waiter->host = host_of(L);
  if (seconds < HUGE_VAL && !alarm_set(waiter->host, &waiter->alarm, seconds, on_event_late))
    return luaL_error(L, "not enough memory");
  waiter->event = event;
  *event->last = waiter;
  event->last = &waiter->next;
  return task_wait(L, &waiter->wait, event_cancel, event_finish);
}

static int l_event_notify(lua_State *L) {
  Event *event = check_event(L);
  int count = lua_gettop(L) - 1;
  lua_getiuservalue(L, 1, 1);
  lua_insert(L, 2); /* event, mailbox, args... */
  if (count > 0) {
    lua_createtable(L, count, 1);
    lua_insert(L, 3);
    for (int i = count; i >= 1; i--)
      lua_rawseti(L, 3, i);
    lua_pushinteger(L, count);
    lua_setfield(L, 3, "n"); /* event, mailbox, pack */
  }
  while (event->first != NULL) {
    EventWait *waiter = event->first;
    if (count > 0) {
      lua_pushvalue(L, 3);
      lua_rawsetp(L, 2, waiter);
    }
    waiter->notified = true;
    withdraw(waiter);
    task_wake(&waiter->wait);
  }
  return 0;
}

int luaopen_host_task(lua_State *L) {
  static const luaL_Reg event[] = { { "wait", l_event_wait }, { "notify", l_event_notify }, { NULL, NULL } };
  static const luaL_Reg simulation[] = {
    { "close", l_simulation_close }, { "__close", l_simulation_close }, { "__gc", l_simulation_close }, { NULL, NULL }
  };
  static const luaL_Reg methods[] = { { "join", l_join }, { "cancel", l_cancel }, { NULL, NULL } };
  static const luaL_Reg functions[] = {
    { "all", l_all },
    { "current", l_current },
    { "event", l_event },
    { "map", l_map },
    { "monotonic", l_monotonic },
    { "now", l_now },
    { "race", l_race },
    { "shield", l_shield },
    { "simulate", l_simulate },
    { "sleep", l_sleep },
    { "spawn", l_spawn },
    { "timeout", l_timeout },
    { "traceback", l_traceback },
    { "yield", task_yield },
    { NULL, NULL },
  };
  host_class(L, EVENT_CLASS, event);
  host_class(L, SIMULATION_CLASS, simulation);
  luaL_getmetatable(L, "host.Task");
  luaL_newlib(L, methods);
  lua_pushcclosure(L, l_task_index, 1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}

/* Tasks: coroutines on the host's one loop, owned by one another. Here is the life of a task, and the only lua_resume
 * of one. When it runs is in task_run.c, how it waits in task_wait.c, what Lua sees of it in task_library.c. */
#include "task_internal.h"

#include "coroutine.h"

#include <stdlib.h>
#include <string.h>

#define TASK_CLASS "host.Task"
#define CANCELLATION_CLASS "host.Cancellation"

static const char *const state_names[] = { "ready", "running", "waiting", "waiting", "done", "failed", "cancelled" };

/* ---- Registry: live tasks are anchored by their address; the last failure keeps its traceback. */

static void anchor(lua_State *L, Task *task) { /* [-1, +0, m] */
  lua_rawsetp(L, LUA_REGISTRYINDEX, task);
}

static void release(lua_State *L, Task *task) {
  lua_pushnil(L); /* clearing an existing key does not allocate */
  lua_rawsetp(L, LUA_REGISTRYINDEX, task);
}

void task_push(lua_State *L, Task *task) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, task);
}

static const char traceback_key = 't';

/* L: error. The message handler of every task: remembers where the error was raised. One that a parent passes on
 * keeps the place where it began. */
static int on_error(lua_State *L) {
  if (task_is_cancellation(L, 1))
    return 1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key);
  bool known = lua_istable(L, -1) && (lua_rawgeti(L, -1, 1), lua_rawequal(L, -1, 1));
  lua_settop(L, 1);
  if (known)
    return 1;
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  luaL_traceback(L, L, NULL, 1);
  lua_rawseti(L, -2, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
  return 1;
}

/* The error is on top of L. */
void task_push_traceback(lua_State *L) {
  int error = lua_gettop(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key);
  bool known = lua_istable(L, -1) && (lua_rawgeti(L, -1, 1), lua_rawequal(L, -1, error));
  if (known)
    lua_rawgeti(L, error + 1, 2);
  else
    lua_pushnil(L);
  lua_replace(L, error + 1);
  lua_settop(L, error + 1);
}

/* ---- Cancellation, as a value. */

static const char cancellation_key = 'c';

static void push_cancellation(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &cancellation_key);
}

bool task_is_cancellation(lua_State *L, int index) {
  return lua_touserdata(L, index) == host_of(L)->tasks->cancellation;
}

int task_raise_cancellation(lua_State *L) {
  push_cancellation(L);
  return lua_error(L);
}

const char *task_reason(const Task *task) {
  for (; task != NULL; task = task->parent) {
    if (task->reason != NULL)
      return task->reason;
  }
  return "cancelled";
}

static int l_cancellation_tostring(lua_State *L) {
  lua_pushstring(L, task_reason(task_current(host_of(L))));
  return 1;
}

/* ---- Ends. */

static void check_end(Task *task);

static void unlink_from_parent(Task *task) {
  if (task->younger != NULL)
    task->younger->older = task->older;
  else if (task->parent != NULL)
    task->parent->children = task->older;
  if (task->older != NULL)
    task->older->younger = task->younger;
  task->older = task->younger = NULL;
}

bool task_is_over(const Task *task) {
  return task->state >= DONE;
}

/* From here on nothing holds the task but whoever kept its value. */
static void let_go(Task *task) {
  unlink_from_parent(task);
  task->parent = NULL;
  release(task->host->L, task);
}

/* The task and all its children are over. A failure that nobody has seen stays with the parent. */
static void end(Task *task) {
  Host *host = task->host;
  Task *parent = task->parent;
  task->state = task->failed ? (task_is_cancellation(task->co, -1) ? CANCELLED : FAILED) : DONE;
  if (task->ended != NULL) {
    task->seen = true;
    task->ended(host, task->ended_data, task->co, task->state == DONE, task->results);
  }
  task_wake_joiners(task);
  if (parent == NULL)
    return; /* anchored for whoever started it */
  if (task->state != FAILED || task->seen)
    let_go(task);
  if (parent->state == ENDING)
    check_end(parent);
}

/* The first child that failed and that nobody joined. */
static Task *unseen_failure(const Task *task) {
  Task *found = NULL;
  for (Task *child = task->children; child != NULL; child = child->older) {
    if (child->state == FAILED && !child->seen)
      found = child;
  }
  return found;
}

static bool has_live_child(const Task *task) {
  for (const Task *child = task->children; child != NULL; child = child->older) {
    if (!task_is_over(child))
      return true;
  }
  return false;
}

/* A failed child's error becomes the error of a task whose own function has returned. */
static void inherit_failure(Task *task, Task *child) {
  task->failed = true;
  lua_settop(task->co, 0);
  lua_pushvalue(child->co, -1);
  lua_xmove(child->co, task->co, 1);
  task->results = 1;
}

static void forget_failures(Task *task) {
  while (task->children != NULL)
    let_go(task->children);
}

static void cancel_children(Task *task, bool only_daemons, const char *reason);

/* The function has ended: so does the task, once its children have. */
static void check_end(Task *task) {
  Task *failure = unseen_failure(task);
  if (failure != NULL && !task->failed) {
    inherit_failure(task, failure);
    cancel_children(task, false, "a sibling failed");
  }
  if (has_live_child(task))
    return;
  forget_failures(task);
  end(task);
}

static void cancel_children(Task *task, bool only_daemons, const char *reason) {
  for (Task *child = task->children; child != NULL; child = child->older) {
    if (child->daemon || !only_daemons)
      task_cancel(task->host, child, reason);
  }
}

/* The results, or the error, are on top of co. */
static void function_ended(Task *task, int count) {
  task->results = count;
  task->state = ENDING;
  cancel_children(task, !task->failed, "its parent has ended");
  check_end(task);
}

/* ---- Running. */

/* L: the task's function, arguments... The protected call is what lets <close> variables wait after an error. */
static int finish_main(lua_State *L, int status, lua_KContext context) {
  (void)context;
  task_current(host_of(L))->failed = status != LUA_OK && status != LUA_YIELD;
  return lua_gettop(L) - 1;
}

static int task_main(lua_State *L) {
  lua_pushcfunction(L, on_error);
  lua_insert(L, 1);
  return finish_main(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, finish_main), 0);
}

/* Stack of co afterwards: what its function returned, or its error. */
static bool resume(Task *task, int *count) {
  int nargs = 0;
  if (task->started)
    lua_pop(task->co, 1); /* the mark of its wait */
  else
    nargs = lua_gettop(task->co) - 1;
  task->started = true;
  int status = lua_resume(task->co, task->host->L, nargs, count);
  if (status == LUA_YIELD && task_is_waiting(task->co))
    return false;
  if (status == LUA_YIELD) {
    lua_settop(task->co, 0);
    lua_pushliteral(task->co, "attempt to yield from outside a coroutine");
    *count = 1;
  }
  if (status != LUA_OK)
    task->failed = true;
  return true;
}

void task_run(Task *task) {
  struct Tasks *tasks = task->host->tasks;
  int count = 1;
  if (task->cancelled && !task->started) {
    task->failed = true;
    lua_settop(task->co, 0);
    push_cancellation(task->co);
    function_ended(task, 1);
    return;
  }
  Task *before = tasks->current;
  tasks->current = task;
  task->state = RUNNING;
  bool ended = resume(task, &count);
  tasks->current = before;
  if (ended)
    function_ended(task, count);
  else
    task->state = task->wait != NULL ? WAITING : READY;
}

/* ---- Starting. */

static void link_to_parent(Task *task, Task *parent) {
  task->parent = parent;
  if (parent == NULL) {
    task->number = ++task->host->tasks->roots;
    return;
  }
  task->number = ++parent->child_count;
  task->older = parent->children;
  if (parent->children != NULL)
    parent->children->younger = task;
  parent->children = task;
}

Task *task_start(lua_State *L, Task *parent, int nargs, TaskEnded ended, void *data) {
  Task *task = lua_newuserdatauv(L, sizeof *task, 1);
  memset(task, 0, sizeof *task);
  luaL_setmetatable(L, TASK_CLASS);
  task->host = host_of(L);
  task->co = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  if (!lua_checkstack(task->co, nargs + 2))
    luaL_error(L, "too many arguments to a task");
  lua_pushcfunction(task->co, task_main);
  anchor(L, task); /* function, args... */
  lua_xmove(L, task->co, nargs + 1);
  task->ended = ended;
  task->ended_data = data;
  link_to_parent(task, parent);
  task_make_ready(task);
  return task;
}

/* ---- Cancelling. */

static void interrupt(Task *task) {
  cancel_children(task, false, NULL);
  Wait *wait = task->wait;
  if (wait == NULL || wait->cancel == NULL)
    return;
  wait->task = NULL;
  task->wait = NULL;
  wait->cancel(wait);
  task->interrupted = true;
  task_make_ready(task);
}

void task_cancel(Host *host, Task *task, const char *reason) {
  (void)host;
  if (task_is_over(task) || task->cancelled)
    return;
  task->cancelled = true;
  if (reason != NULL)
    task->reason = strdup(reason); /* out of memory: cancelled without saying why */
  if (task->shields == 0)
    interrupt(task);
}

void task_check_cancelled(lua_State *L) {
  Task *task = task_current(host_of(L));
  if (task != NULL && task->cancelled && task->shields == 0)
    task_raise_cancellation(L);
}

void task_shield(Task *task) {
  task->shields++;
}

void task_unshield(Task *task) {
  if (--task->shields == 0 && task->cancelled)
    interrupt(task); /* its children; it is itself running, and is told at its next wait */
}

/* ---- Facts. */

int task_push_results(lua_State *L, Task *task) {
  if (task->state == FAILED && !task->seen)
    let_go(task);
  task->seen = true;
  if (task->state == CANCELLED) {
    task_check_cancelled(L);
    return luaL_error(L, "the task was cancelled: %s", task_reason(task));
  }
  luaL_checkstack(L, task->results, "too many results");
  if (!lua_checkstack(task->co, task->results))
    return luaL_error(L, "too many results");
  for (int i = 0; i < task->results; i++)
    lua_pushvalue(task->co, -task->results);
  lua_xmove(task->co, L, task->results);
  return task->failed ? lua_error(L) : task->results;
}

Task *task_current(Host *host) {
  return host->tasks->current;
}

Task *task_at(lua_State *L, int index) {
  return luaL_checkudata(L, index, TASK_CLASS);
}

bool task_was_cancelled(const Task *task) {
  return task->state == CANCELLED;
}

const char *task_state(const Task *task) {
  return state_names[task->state];
}

void task_push_path(lua_State *L, const Task *task) {
  if (task->parent != NULL) {
    task_push_path(L, task->parent);
    lua_pushfstring(L, "%s.%I", lua_tostring(L, -1), (LUAI_UACINT)task->number);
    lua_remove(L, -2);
  } else {
    lua_pushfstring(L, "%I", (LUAI_UACINT)task->number);
  }
}

void task_set_daemon(Task *task) {
  task->daemon = true;
}

lua_Integer task_next_step(Task *task) {
  return ++task->steps;
}

static int l_task_gc(lua_State *L) {
  Task *task = task_at(L, 1);
  free(task->reason);
  task->reason = NULL;
  return 0;
}

/* ---- Opening and closing. */

static int open_classes(lua_State *L) {
  static const luaL_Reg cancellation[] = { { "__tostring", l_cancellation_tostring }, { NULL, NULL } };
  static const luaL_Reg task[] = { { "__gc", l_task_gc }, { NULL, NULL } };
  host_class(L, TASK_CLASS, task);
  host_class(L, CANCELLATION_CLASS, cancellation);
  lua_getfield(L, -1, "__index");
  lua_pushliteral(L, "interrupted");
  lua_setfield(L, -2, "kind");
  lua_pop(L, 1);
  host_of(L)->tasks->cancellation = lua_newuserdatauv(L, 1, 0);
  luaL_setmetatable(L, CANCELLATION_CLASS);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &cancellation_key);
  lua_settop(L, 0);
  coroutine_install(L);
  return 0;
}

bool tasks_open(Host *host) {
  struct Tasks *tasks = calloc(1, sizeof *tasks);
  if (tasks == NULL)
    return false;
  tasks->last_ready = &tasks->first_ready;
  host->tasks = tasks;
  lua_pushcfunction(host->L, open_classes);
  if (lua_pcall(host->L, 0, 0, 0) == LUA_OK)
    return true;
  lua_pop(host->L, 1);
  return false;
}

void tasks_close(Host *host) {
  free(host->tasks);
  host->tasks = NULL;
}

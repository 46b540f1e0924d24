/* Waiting: how a task is suspended in an operation or for a turn of the loop, and how it joins another one.
 * Here is the only yield of a wait; the task is resumed in task.c. */
#include "task_internal.h"

/* ---- Waiting. */

bool task_block(lua_State *L) {
  Task *task = task_current(host_of(L));
  if (task == NULL || lua_isyieldable(L))
    return false;
  task->blocks++;
  return true;
}

void task_unblock(lua_State *L, bool blocked) {
  if (blocked)
    task_current(host_of(L))->blocks--;
}

void task_push_waiting(lua_State *L) {
  lua_pushlightuserdata(L, host_of(L)->tasks);
}

bool task_is_waiting(lua_State *co) {
  return lua_gettop(co) > 0 && lua_touserdata(co, -1) == host_of(co)->tasks;
}

void task_check(lua_State *L) {
  Task *task = task_current(host_of(L));
  if (task == NULL)
    luaL_error(L, "cannot wait outside of a task");
  else if (!lua_isyieldable(L) || task->blocks > 0)
    luaL_error(L, "cannot wait here: called across a C function, such as table.sort or string.gsub");
  task_check_cancelled(L);
  luaL_checkstack(L, 1, NULL);
}

static int wait_over(lua_State *L, int status, lua_KContext context) {
  (void)status;
  Task *task = task_current(host_of(L));
  if (task->interrupted) {
    task->interrupted = false;
    return task_raise_cancellation(L);
  }
  Wait *wait = (Wait *)context;
  return wait->finish(L, wait);
}

int task_wait(lua_State *L, Wait *wait, void (*cancel)(Wait *wait), WaitFinish finish) {
  Task *task = task_current(host_of(L));
  wait->task = task;
  wait->cancel = cancel;
  wait->finish = finish;
  task->wait = wait;
  task_push_waiting(L);
  return lua_yieldk(L, 1, (lua_KContext)wait, wait_over);
}

void task_wake(Wait *wait) {
  Task *task = wait->task;
  if (task == NULL)
    return;
  wait->task = NULL;
  task->wait = NULL;
  task_make_ready(task);
}

static int yield_over(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  task_check_cancelled(L);
  return 0;
}

int task_yield(lua_State *L) {
  task_check(L);
  task_make_ready(task_current(host_of(L)));
  task_push_waiting(L);
  return lua_yieldk(L, 1, 0, yield_over);
}

/* ---- Joining. */

struct JoinWait {
  Wait wait;
  Task *joined;
  struct JoinWait *next;
};

static void join_cancel(Wait *wait) {
  struct JoinWait *join = (struct JoinWait *)wait;
  struct JoinWait **link = &join->joined->joiners;
  while (*link != join)
    link = &(*link)->next;
  *link = join->next;
}

static int join_finish(lua_State *L, Wait *wait) {
  return task_push_results(L, ((struct JoinWait *)wait)->joined);
}

int task_join(lua_State *L, Task *task) {
  if (task_is_over(task))
    return task_push_results(L, task);
  for (Task *self = task_current(host_of(L)); self != NULL; self = self->parent) {
    if (self == task)
      return luaL_error(L, "a task cannot join itself or a task that waits for it");
  }
  task_check(L);
  struct JoinWait *join = lua_newuserdatauv(L, sizeof *join, 0);
  join->joined = task;
  join->next = task->joiners;
  task->joiners = join;
  return task_wait(L, &join->wait, join_cancel, join_finish);
}

void task_wake_joiners(Task *task) {
  for (struct JoinWait *join = task->joiners; join != NULL; join = join->next) {
    task->seen = true;
    task_wake(&join->wait);
  }
  task->joiners = NULL;
}

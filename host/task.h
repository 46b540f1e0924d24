/* Tasks, as the other primitives see them: how a C function waits, and how it starts a task.
 *
 *   static int l_sleep(lua_State *L) {
 *     lua_Number seconds = luaL_checknumber(L, 1);
 *     task_check(L);                                // raises while nothing is held yet
 *     Sleep *s = lua_newuserdatauv(L, sizeof *s, 0);  // stays on this stack, so it lives as long as the wait
 *     ...start; later a callback calls task_wake(&s->wait)...
 *     return task_wait(L, &s->wait, sleep_cancel, sleep_finish);
 *   }
 */
#ifndef MOONSAIL_TASK_H
#define MOONSAIL_TASK_H

#include "host.h"

typedef struct Task Task;
typedef struct Wait Wait;

/* Pushes the results of a wait that is over and returns their number, like a lua_CFunction. May raise.
 * The stack is as it was when task_wait was called. */
typedef int (*WaitFinish)(lua_State *L, Wait *wait);

/* One suspension of one task; embedded in the struct of the operation. */
struct Wait {
  Task *task;                 /* who waits; NULL before task_wait and from task_wake on */
  void (*cancel)(Wait *wait); /* stops the operation; afterwards nothing may call task_wake. Must not raise.
                                 NULL: it cannot be cut short, and `finish` sees to a cancellation itself. */
  WaitFinish finish;
};

/* ---- For the coroutine library (coroutine.c): a wait travels up through every coroutine between it and its task. */

/* Forbids waiting while L cannot yield; returns whether it did, for task_unblock. */
bool task_block(lua_State *L);
void task_unblock(lua_State *L, bool blocked);

/* Whether `co` is suspended in a wait: the mark of waiting is on top of its stack. */
bool task_is_waiting(lua_State *co);

/* [-0, +1, -] pushes that mark */
void task_push_waiting(lua_State *L);

/* Whether the value at `index` is what a cancelled task raises. */
bool task_is_cancellation(lua_State *L, int index);

/* ---- For the primitives. */

/* Raises unless the running code may wait: inside a task, not below a C function such as table.sort, not cancelled. */
void task_check(lua_State *L);

/* Suspends the running task until task_wake: return task_wait(...). After task_check it cannot fail.
 * When the task is cancelled first, `cancel` is called and the cancellation is raised here instead of `finish`. */
int task_wait(lua_State *L, Wait *wait, void (*cancel)(Wait *wait), WaitFinish finish);

/* The operation is over: the task runs `finish` in this turn of the loop. To be called from the loop, never
 * from inside the l_ function that is about to wait (finish at once instead). No effect on a wait that is over. */
void task_wake(Wait *wait);

/* Called when a task has ended, outside of any coroutine, with the task's results or its error on the top of `co`:
 * `count` values, or one error value when !ok. Must not raise. */
typedef void (*TaskEnded)(Host *host, void *data, lua_State *co, bool ok, int count);

/* [-(nargs + 1), +0, m] Starts a task from the function and arguments on top of L. It is a child of `parent` (NULL:
 * of nobody; the caller owns it). With `ended`, its failure is the caller's affair and not the parent's.
 * It first runs in this turn, or at once with task_run_now. */
Task *task_start(lua_State *L, Task *parent, int nargs, TaskEnded ended, void *data);

/* [-0, +1, m] pushes a task that has not ended */
void task_push(lua_State *L, Task *task);

/* Runs a task that was just started up to its first wait, with no Lua frame below. */
void task_run_now(Host *host, Task *task);

/* Raises the cancellation if the running task was cancelled. */
void task_check_cancelled(lua_State *L);

/* The task behind the userdata at `index`; raises if it is none. */
Task *task_at(lua_State *L, int index);

/* [-0, +count, e] pushes what an ended task returned, and returns its count; or raises what it raised. */
int task_push_results(lua_State *L, Task *task);

bool task_was_cancelled(const Task *task);

/* Why it, or a task above it, was cancelled. */
const char *task_reason(const Task *task);

/* Cancels a task and its children. */
void task_cancel(Host *host, Task *task, const char *reason);

/* The running task, NULL outside of one. */
Task *task_current(Host *host);

/* [-0, +1, m] pushes the path of a task, such as "1.3.2" */
void task_push_path(lua_State *L, const Task *task);

/* The number of the task's next effect, counted from 1. */
lua_Integer task_next_step(Task *task);

/* The task is cancelled, and not waited for, when its parent's function has ended: for what serves until then. */
void task_set_daemon(Task *task);

/* ---- For the library (task_library.c). */

int task_join(lua_State *L, Task *task); /* waits; as task_push_results */
int task_yield(lua_State *L);            /* waits for a turn of the loop */
void task_shield(Task *task);            /* holds a cancellation back until the matching task_unshield */
void task_unshield(Task *task);
const char *task_state(const Task *task); /* such as "waiting" */

/* [-0, +1, -] pushes where the error on top of L was raised, or nil when it ended no task */
void task_push_traceback(lua_State *L);

/* ---- For the host. */

/* Runs the loop until the task has ended. No Lua frame below. */
void task_run_until_ended(Host *host, Task *task);

/* Whether a task is ready, or a hook due, so that the loop must not sleep. */
bool task_is_any_due(const Host *host);

bool tasks_open(Host *host);
void tasks_close(Host *host);

#endif

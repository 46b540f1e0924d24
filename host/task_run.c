/* When tasks run: the queue of those that are ready, and the loop. */
#include "simulation.h"
#include "task_internal.h"

void task_make_ready(Task *task) {
  struct Tasks *tasks = task->host->tasks;
  task->state = READY;
  task->next_ready = NULL;
  *tasks->last_ready = task;
  tasks->last_ready = &task->next_ready;
}

void task_run_now(Host *host, Task *task) {
  struct Tasks *tasks = host->tasks;
  Task **link = &tasks->first_ready;
  while (*link != task)
    link = &(*link)->next_ready;
  *link = task->next_ready;
  if (tasks->last_ready == &task->next_ready)
    tasks->last_ready = link;
  task_run(task);
}

/* Runs the tasks that are ready now; those that become ready meanwhile run in the next turn. */
static void run_ready(struct Tasks *tasks) {
  Task *task = tasks->first_ready;
  tasks->first_ready = NULL;
  tasks->last_ready = &tasks->first_ready;
  while (task != NULL) {
    Task *next = task->next_ready;
    task_run(task);
    task = next;
  }
}

bool task_is_any_due(const Host *host) {
  return host->tasks->first_ready != NULL || host->hooks != NULL;
}

/* False when nothing is left that could ever happen. */
static bool turn(Host *host) {
  bool busy = task_is_any_due(host);
  if (simulation_is_on(host))
    return simulation_turn(host, busy);
  return uv_run(&host->loop, busy ? UV_RUN_NOWAIT : UV_RUN_ONCE) != 0 || busy;
}

void task_run_until_ended(Host *host, Task *task) {
  while (!task_is_over(task)) {
    run_ready(host->tasks);
    host_run_hooks(host);
    if (!task_is_over(task) && !turn(host) && !task_is_any_due(host))
      task_cancel(host, task, "every task waits for another one");
  }
}

/* What the parts of a task share: task.c, task_run.c and task_wait.c. */
#ifndef MOONSAIL_TASK_INTERNAL_H
#define MOONSAIL_TASK_INTERNAL_H

#include "task.h"

typedef enum TaskState { READY, RUNNING, WAITING, ENDING, DONE, FAILED, CANCELLED } TaskState;

struct Task {
  Host *host;
  lua_State *co; /* the userdata's first user value; holds the results or the error at the end */
  Task *parent;
  Task *children;        /* youngest first */
  Task *older, *younger; /* siblings */
  Task *next_ready;
  Wait *wait; /* what it is suspended in */
  struct JoinWait *joiners;
  TaskEnded ended;
  void *ended_data;
  TaskState state;
  int results; /* on top of co, once its function has ended */
  int shields;
  int blocks; /* coroutines below that cannot yield */
  bool started;
  bool cancelled;
  bool interrupted;   /* its wait was cancelled: raise when resumed */
  bool failed;        /* its function has raised */
  bool seen;          /* somebody has been told of its failure */
  bool daemon;        /* cancelled, not waited for, when its parent's function has ended */
  lua_Integer number; /* among its siblings */
  lua_Integer child_count;
  lua_Integer steps;
  char *reason; /* of the cancellation */
};

struct Tasks {
  const void *cancellation; /* the value that a cancelled task raises */
  Task *current;
  Task *first_ready;
  Task **last_ready;
  lua_Integer roots;
};

/* ---- task.c */

/* Runs it up to its next wait or its end. */
void task_run(Task *task);

/* Whether it and all its children have ended. */
bool task_is_over(const Task *task);

/* [-0, +0, v] raises what a cancelled task raises: return task_raise_cancellation(L) */
int task_raise_cancellation(lua_State *L);

/* ---- task_run.c */

/* It runs in the next round of ready tasks. To be called once until then. */
void task_make_ready(Task *task);

/* ---- task_wait.c */

/* The task is over, and whoever joins it is told how. */
void task_wake_joiners(Task *task);

#endif

/* The end: signals to the group, the reaping of its leader, and letting go. A group ends with whoever owns its
 * process. */
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define REAP_MS 2000

/* Until the leader is reaped, its number means nobody else. Afterwards the kernel still gives that number to no new
 * process as long as the group has a member. So if a process of that number exists again, the group has ended and the
 * one of that name today is a stranger's. */
int process_signal(Process *p, int signum) {
  if (!p->group_gone && !p->running && (kill(p->pid, 0) == 0 || errno != ESRCH))
    p->group_gone = true;
  if (p->group_gone || kill(-p->pid, signum) == 0)
    return 0;
  if (errno != ESRCH)
    return -errno;
  p->group_gone = true;
  return 0;
}

static void unlink_from_host(Process *p) {
  if (p->link == NULL)
    return;
  *p->link = p->next;
  if (p->next != NULL)
    p->next->link = p->link;
  p->link = NULL;
}

static void destroy(Process *p) {
  unlink_from_host(p);
  free(p);
}

static void on_closed(uv_handle_t *handle) {
  Process *p = handle->data;
  if (--p->handles == 0)
    destroy(p);
}

void process_close_handle(void *handle) {
  if (uv_handle_get_type(handle) != UV_UNKNOWN_HANDLE && !uv_is_closing(handle))
    uv_close(handle, on_closed);
}

void process_close_stream(Stream *s) {
  s->open = false;
  process_close_handle(&s->pipe);
}

void process_release(Process *p) {
  if (p->owner == NULL)
    return;
  p->owner->process = NULL;
  p->owner = NULL;
  process_signal(p, SIGKILL);
  alarm_cancel(p->host, &p->silence);
  for (int i = 0; i < 2; i++) {
    process_close_stream(&p->streams[i]);
    free(p->streams[i].data);
    p->streams[i].data = NULL;
  }
  process_close_handle(&p->input);
  if (!p->running)
    process_close_handle(&p->leader);
  if (p->reader != NULL)
    task_wake(&p->reader->wait);
  p->reader = NULL;
  if (p->handles == 0)
    destroy(p);
}

void process_on_exit(uv_process_t *leader, int64_t code, int signum) {
  Process *p = leader->data;
  p->running = false;
  p->status = (Status){ .code = code, .signal = signum };
  /* Mostly nobody is left: its number is free from now on, and must not be used again. */
  p->group_gone = p->group_gone || (kill(-p->pid, 0) != 0 && errno == ESRCH);
  for (Waiter *w = p->waiters; w != NULL; w = w->next) {
    w->status = p->status;
    task_wake(&w->wait);
  }
  p->waiters = NULL;
  if (p->owner == NULL) {
    process_close_handle(&p->leader);
    return;
  }
  process_notify(p);
}

/* Nobody can refuse SIGKILL, but who hangs in the kernel, or has become another user's, may outlive us. */
static void reap(const Process *p) {
  for (int tries = 0; tries < REAP_MS && waitpid(p->pid, NULL, WNOHANG) == 0; tries++)
    poll(NULL, 0, 1);
}

void process_close(Host *host) {
  struct Processes *processes = host->processes;
  if (processes == NULL)
    return;
  for (Process *p = processes->first; p != NULL; p = p->next)
    process_signal(p, SIGKILL);
  for (Process *p = processes->first, *next; p != NULL; p = next) {
    next = p->next;
    unlink_from_host(p);
    if (p->running)
      reap(p);
    p->running = false;
    p->reader = NULL; /* no task runs again */
    p->waiters = NULL;
    if (p->owner != NULL)
      process_release(p);
    else
      process_close_handle(&p->leader); /* closed, and not yet reaped */
  }
  free(processes);
  host->processes = NULL;
}

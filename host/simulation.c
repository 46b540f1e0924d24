/* A turn of the loop in simulated time: when to look, when to wait, and when to jump. */
#include "simulation.h"

#include "alarm.h"
#include "task.h"

#include <poll.h>

/* What our ends send each other over loopback the kernel hands over before the call returns. Only when it is very busy
 * it may leave that to a thread of its own, which runs as soon as we sleep. */
enum { GRACE_MS = 2 };

void simulation_begin(Host *host, double wall) {
  alarms_shift(host, clock_stop(host, wall));
  alarms_hold(host);
}

void simulation_end(Host *host) {
  clock_go_on(host);
  alarms_arm(host);
}

static bool is_outside(const Host *host) {
  return process_is_outside(host) || repository_is_outside(host) || http_is_outside(host) || socket_is_outside(host);
}

/* Waits for what comes from outside, or for the next alarm. It rings at its time, even if we are late. */
static bool wait_in_real_time(Host *host) {
  uint64_t began = uv_hrtime();
  alarms_arm(host);
  bool alive = uv_run(&host->loop, UV_RUN_ONCE) != 0;
  alarms_hold(host);
  uint64_t now = clock_monotonic_ns(host) + (uv_hrtime() - began);
  uint64_t due = alarms_next_ns(host);
  clock_set(host, now < due ? now : due);
  return alive;
}

static bool is_readable(Host *host, int timeout_ms) {
  struct pollfd loop = { .fd = uv_backend_fd(&host->loop), .events = POLLIN };
  return poll(&loop, 1, timeout_ms) > 0;
}

/* Whether some of so many turns gives us something to do. */
static bool look(Host *host, int turns) {
  while (turns-- > 0 && !task_is_any_due(host))
    uv_run(&host->loop, UV_RUN_NOWAIT);
  return task_is_any_due(host);
}

/* A request that no handler has, or an answer that was given and has not come. It may as well be one that a server
 * never answers, so this is asked once for each time that something was sent. */
static bool is_under_way(Host *host) {
  bool sent = host->sent_inside;
  host->sent_inside = false;
  return sent && http_count_inside(host) > server_count_owed(host);
}

/* Whether nothing more happens by itself. What the callbacks of one turn ask of the kernel, the next one sees. */
static bool is_quiet(Host *host) {
  if (look(host, 2) || is_readable(host, 0))
    return false;
  return !is_under_way(host) || (!is_readable(host, GRACE_MS) && !look(host, 1));
}

/* Nothing is left to do here at this moment. */
static bool pass_time(Host *host) {
  uint64_t due = alarms_next_ns(host);
  if (is_outside(host) || due == UINT64_MAX)
    return wait_in_real_time(host);
  clock_set(host, due);
  return true;
}

bool simulation_turn(Host *host, bool busy) {
  bool alive = true;
  if (busy)
    uv_run(&host->loop, UV_RUN_NOWAIT);
  else if (is_quiet(host))
    alive = pass_time(host);
  alarms_ring(host);
  return alive;
}

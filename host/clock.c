/* What time it is: the system's, or the one that is simulated. */
#include "clock.h"

#include <time.h>

uint64_t clock_monotonic_ns(Host *host) {
  const Clock *clock = &host->clock;
  return clock->stands ? clock->now_ns : uv_hrtime() + clock->offset_ns;
}

double clock_wall(Host *host) {
  const Clock *clock = &host->clock;
  if (clock->stands)
    return clock->wall + (double)(clock->now_ns - clock->stopped_ns) / 1e9;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* At a whole second, because times from there on can be added and compared exactly. */
uint64_t clock_stop(Host *host, double wall) {
  Clock *clock = &host->clock;
  uint64_t now = clock_monotonic_ns(host);
  clock->now_ns = clock->stopped_ns = (now / NS_PER_SECOND + 1) * NS_PER_SECOND;
  clock->wall = wall;
  clock->stands = true;
  return clock->now_ns - now;
}

void clock_go_on(Host *host) {
  Clock *clock = &host->clock;
  clock->stands = false;
  clock->offset_ns = clock->now_ns - uv_hrtime();
}

void clock_set(Host *host, uint64_t ns) {
  if (ns > host->clock.now_ns)
    host->clock.now_ns = ns;
}

/* Simulated time. The clock stands still while anything can run, and then jumps to the next alarm. What is under way
 * outside of the process takes real time, so while something is, the clock goes with the real one: a limit of a minute
 * on a child still is a minute.
 *
 * What stays real: libcurl's and libmicrohttpd's own housekeeping, signals, and the patience with a process that has
 * to be reaped. Everything with an alarm is simulated. */
#ifndef MOONSAIL_SIMULATION_H
#define MOONSAIL_SIMULATION_H

#include "host.h"

/* The wall clock shows `wall` seconds since 1970 from now on. Not while one is on. */
void simulation_begin(Host *host, double wall);

/* Back to real time. */
void simulation_end(Host *host);

static inline bool simulation_is_on(const Host *host) {
  return host->clock.stands;
}

/* A turn of the loop; with `busy`, a task is ready or a hook due, and it only looks. False when nothing is left that
 * could ever happen, as uv_run says it. */
bool simulation_turn(Host *host, bool busy);

#endif

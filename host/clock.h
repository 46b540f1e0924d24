/* The host's one clock. It is real, or simulated: then it stands still until somebody sets it forward (simulation.c).
 * It is one line of time: after a simulation it goes on from where that was left, so that no alarm changes what
 * remains of it. */
#ifndef MOONSAIL_CLOCK_H
#define MOONSAIL_CLOCK_H

#include "host.h"
#include <stdint.h>

#define NS_PER_SECOND UINT64_C(1000000000)

/* Nanoseconds on a clock that only goes forward. */
uint64_t clock_monotonic_ns(Host *host);

/* Seconds since 1970. */
double clock_wall(Host *host);

/* ---- For the simulation. */

/* From now on it stands still, at a whole second, with `wall` as the seconds since 1970. Returns how far it was set
 * forward for that. */
uint64_t clock_stop(Host *host, double wall);

/* Goes on in real time. */
void clock_go_on(Host *host);

/* Sets the clock, which stands still, forward; back it does not go. */
void clock_set(Host *host, uint64_t ns);

#endif

/* Alarms on the host's clock: plain structs in a heap behind a single uv_timer_t. */
#ifndef MOONSAIL_ALARM_H
#define MOONSAIL_ALARM_H

#include "clock.h"

typedef struct Alarm Alarm;

/* Zero it before first use. It must be cancelled before its memory goes. */
struct Alarm {
  void (*ring)(Host *host, Alarm *alarm);
  uint64_t due_ns;
  uint64_t order; /* alarms of one instant ring in the order in which they were set */
  size_t place;   /* in the heap, from 1; 0 when not set */
};

/* Rings once, `ring` called from the loop; setting it again moves it. False when out of memory. */
bool alarm_set(Host *host, Alarm *alarm, double seconds, void (*ring)(Host *host, Alarm *alarm));
void alarm_cancel(Host *host, Alarm *alarm);

/* ---- For the simulation, while the clock stands. */

/* The timer does not ring for an alarm, it only keeps the loop alive. */
void alarms_hold(Host *host);

/* The timer rings in real time for what is due next; without an alarm it stops. */
void alarms_arm(Host *host);

/* When the next one is due; UINT64_MAX when none is set. */
uint64_t alarms_next_ns(const Host *host);

/* Rings those that are due. */
void alarms_ring(Host *host);

/* The clock was set forward by this much, and what remains of each alarm must not change. */
void alarms_shift(Host *host, uint64_t ns);

bool alarms_open(Host *host);
void alarms_close(Host *host);

#endif

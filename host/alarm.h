/* The one clock of the host, and alarms on it: plain structs in a heap behind a single uv_timer_t. */
#ifndef MOONSAIL_ALARM_H
#define MOONSAIL_ALARM_H

#include "host.h"
#include <stdint.h>

typedef struct Alarm Alarm;

/* Zero it before first use. It must be cancelled before its memory goes. */
struct Alarm {
  void (*ring)(Host *host, Alarm *alarm);
  uint64_t due_ns;
  uint64_t order; /* alarms of one instant ring in the order in which they were set */
  size_t place;   /* in the heap, from 1; 0 when not set */
};

/* Nanoseconds on a clock that only goes forward. */
uint64_t clock_monotonic_ns(Host *host);

/* Seconds since 1970. */
double clock_wall(Host *host);

/* Rings once, `ring` called from the loop; setting it again moves it. False when out of memory. */
bool alarm_set(Host *host, Alarm *alarm, double seconds, void (*ring)(Host *host, Alarm *alarm));
void alarm_cancel(Host *host, Alarm *alarm);

bool alarms_open(Host *host);
void alarms_close(Host *host);

#endif

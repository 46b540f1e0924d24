/* The alarms. A binary heap of plain structs behind one uv_timer_t: setting and cancelling costs no handle and no close
 * callback, and there is one place that knows what is due next. */
#include "alarm.h"

#include <math.h>
#include <stdlib.h>

struct Alarms {
  uv_timer_t timer;
  Host *host;
  Alarm **heap; /* from 1, so that the children of i are 2i and 2i + 1 */
  size_t count;
  size_t capacity;
  uint64_t order;
  uint64_t armed_ns; /* what the timer is set to: UINT64_MAX when it is stopped, 0 when that is not an alarm */
};

static bool rings_before(const Alarm *a, const Alarm *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void put(struct Alarms *alarms, size_t place, Alarm *alarm) {
  alarms->heap[place] = alarm;
  alarm->place = place;
}

static void sift_up(struct Alarms *alarms, size_t place) {
  Alarm *alarm = alarms->heap[place];
  for (; place > 1 && rings_before(alarm, alarms->heap[place / 2]); place /= 2)
    put(alarms, place, alarms->heap[place / 2]);
  put(alarms, place, alarm);
}

static void sift_down(struct Alarms *alarms, size_t place) {
  Alarm *alarm = alarms->heap[place];
  for (size_t child; (child = place * 2) <= alarms->count; place = child) {
    if (child < alarms->count && rings_before(alarms->heap[child + 1], alarms->heap[child]))
      child++;
    if (!rings_before(alarms->heap[child], alarm))
      break;
    put(alarms, place, alarms->heap[child]);
  }
  put(alarms, place, alarm);
}

static void remove_at(struct Alarms *alarms, size_t place) {
  alarms->heap[place]->place = 0;
  Alarm *last = alarms->heap[alarms->count--];
  if (place > alarms->count)
    return;
  put(alarms, place, last);
  sift_up(alarms, place);
  sift_down(alarms, last->place);
}

static void on_timer(uv_timer_t *timer);

void alarms_arm(Host *host) {
  struct Alarms *alarms = host->alarms;
  uint64_t due = alarms_next_ns(host);
  if (due == alarms->armed_ns)
    return;
  alarms->armed_ns = due;
  if (due == UINT64_MAX) {
    uv_timer_stop(&alarms->timer);
    return;
  }
  uint64_t now = clock_monotonic_ns(host);
  uv_update_time(&host->loop); /* the timer counts from the loop's idea of now */
  uv_timer_start(&alarms->timer, on_timer, due > now ? (due - now + 999999) / 1000000 : 0, 0);
}

void alarms_hold(Host *host) {
  host->alarms->armed_ns = 0;
  uv_timer_start(&host->alarms->timer, on_timer, UINT64_MAX, 0);
}

/* Something has changed. */
static void arm(Host *host) {
  if (!host->clock.stands)
    alarms_arm(host);
}

uint64_t alarms_next_ns(const Host *host) {
  const struct Alarms *alarms = host->alarms;
  return alarms->count > 0 ? alarms->heap[1]->due_ns : UINT64_MAX;
}

void alarms_ring(Host *host) {
  uint64_t now = clock_monotonic_ns(host);
  while (alarms_next_ns(host) <= now) {
    Alarm *alarm = host->alarms->heap[1];
    remove_at(host->alarms, 1);
    alarm->ring(host, alarm);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct Alarms *alarms = timer->data;
  alarms->armed_ns = 0;
  uv_stop(timer->loop); /* timers run before the poll, which must not sleep now that a task may be ready */
  alarms_ring(alarms->host);
  arm(alarms->host);
}

void alarms_shift(Host *host, uint64_t ns) {
  struct Alarms *alarms = host->alarms;
  for (size_t place = 1; place <= alarms->count; place++)
    alarms->heap[place]->due_ns += ns;
}

static bool grow(struct Alarms *alarms) {
  size_t capacity = alarms->capacity == 0 ? 64 : alarms->capacity * 2;
  Alarm **heap = realloc(alarms->heap, (capacity + 1) * sizeof(Alarm *));
  if (heap == NULL)
    return false;
  alarms->heap = heap;
  alarms->capacity = capacity;
  return true;
}

bool alarm_set(Host *host, Alarm *alarm, double seconds, void (*ring)(Host *host, Alarm *alarm)) {
  struct Alarms *alarms = host->alarms;
  if (alarm->place != 0)
    remove_at(alarms, alarm->place);
  if (alarms->count == alarms->capacity && !grow(alarms))
    return false;
  double ns = ceil(fmin(fmax(seconds, 0) * 1e9, 9e18)); /* also tames NaN and infinity; no wait is over at once */
  alarm->due_ns = clock_monotonic_ns(host) + (uint64_t)ns;
  alarm->order = alarms->order++;
  alarm->ring = ring;
  alarms->heap[++alarms->count] = alarm;
  sift_up(alarms, alarms->count);
  arm(host);
  return true;
}

void alarm_cancel(Host *host, Alarm *alarm) {
  if (alarm->place == 0)
    return;
  remove_at(host->alarms, alarm->place);
  arm(host);
}

bool alarms_open(Host *host) {
  struct Alarms *alarms = calloc(1, sizeof *alarms);
  if (alarms == NULL)
    return false;
  alarms->host = host;
  alarms->armed_ns = UINT64_MAX;
  if (uv_timer_init(&host->loop, &alarms->timer) != 0) {
    free(alarms);
    return false;
  }
  alarms->timer.data = alarms;
  host->alarms = alarms;
  return true;
}

static void on_closed(uv_handle_t *handle) {
  struct Alarms *alarms = handle->data;
  free(alarms->heap);
  free(alarms);
}

void alarms_close(Host *host) {
  if (host->alarms != NULL)
    uv_close((uv_handle_t *)&host->alarms->timer, on_closed);
  host->alarms = NULL;
}

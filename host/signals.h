/* The signals that end a run; see signals.c. */
#ifndef MOONSAIL_SIGNALS_H
#define MOONSAIL_SIGNALS_H

#include "host.h"

typedef struct Signals Signals;

/* Calls `asked` from the loop at the first SIGINT, SIGTERM or SIGHUP. At a second one every child is killed and the
 * process ends with `code`, also while Lua computes and the loop does not turn. Signals that are ignored stay ignored.
 * To be called before any thread is started. NULL when that is not possible. */
Signals *signals_open(Host *host, void (*asked)(Host *host, void *data), void *data, int code);

/* Stops watching. NULL is ignored. */
void signals_close(Signals *signals);

#endif

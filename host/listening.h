/* The ports that this process listens on. A connection to one of them has both its ends here, so what goes over it is
 * not outside of the process, and simulated time stands still for it (simulation.h).
 *
 * Who listens adds its port, and removes it when it closes. Who connects asks listening_here, and counts what it waits
 * for in its x_is_outside (host.h) only when the answer is no. A stream that was accepted here is inside: its other
 * end is ours too, or a child's, which counts itself. Streams between two ends here need TCP_NODELAY: the kernel would
 * hold small pieces back for 40 ms of real time. */
#ifndef MOONSAIL_LISTENING_H
#define MOONSAIL_LISTENING_H

#include "host.h"

typedef struct Listening Listening;

/* Embedded in the listener. Zero it before first use. */
struct Listening {
  int port; /* 0 when it is not added */
  Listening *next;
};

void listening_add(Host *host, Listening *listening, int port);
void listening_remove(Host *host, Listening *listening);

/* Whether a connection with this peer stays in this process. */
bool listening_here(const Host *host, const struct sockaddr *peer);

#endif

/* Which ports are ours. A handful, so a list will do. */
#include "listening.h"

#include <netinet/in.h>

void listening_add(Host *host, Listening *listening, int port) {
  listening->port = port;
  listening->next = host->listening;
  host->listening = listening;
}

void listening_remove(Host *host, Listening *listening) {
  Listening **link = &host->listening;
  while (*link != NULL && *link != listening)
    link = &(*link)->next;
  if (*link != NULL)
    *link = listening->next;
  listening->port = 0;
}

/* The port of a peer on this machine's loopback; 0 for any other. */
static int loopback_port(const struct sockaddr *peer) {
  if (peer->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const void *)peer;
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ? ntohs(v4->sin_port) : 0;
  }
  const struct sockaddr_in6 *v6 = (const void *)peer;
  return peer->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ? ntohs(v6->sin6_port) : 0;
}

bool listening_here(const Host *host, const struct sockaddr *peer) {
  int port = host->listening != NULL ? loopback_port(peer) : 0;
  if (port == 0)
    return false;
  for (const Listening *l = host->listening; l != NULL; l = l->next) {
    if (l->port == port)
      return true;
  }
  return false;
}

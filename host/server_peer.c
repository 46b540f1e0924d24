/* Peers: the connections that libmicrohttpd has. Those between two requests are idle; the longest idle one makes room
 * when another client needs it, and one that sends its next head a byte at a time is not waited for forever. */
#include "server.h"

#include <stdlib.h>
#include <sys/socket.h>

struct Peer {
  struct MHD_Connection *connection;
  Peer *previous, *next; /* of the idle ones, from the longest idle one */
  bool idle;
  uint64_t since_ms;
};

static void leave_idle(Server *server, Peer *p) {
  if (!p->idle)
    return;
  p->idle = false;
  if (p->previous != NULL)
    p->previous->next = p->next;
  else
    server->first_idle = p->next;
  if (p->next != NULL)
    p->next->previous = p->previous;
  else
    server->last_idle = p->previous;
}

static void enter_idle(Server *server, Peer *p) {
  p->idle = true;
  p->since_ms = uv_now(&server->host->loop);
  p->next = NULL;
  p->previous = server->last_idle;
  if (p->previous != NULL)
    p->previous->next = p;
  else
    server->first_idle = p;
  server->last_idle = p;
}

static Peer *peer_of(const Server *server, struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      server->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

void peer_begin(Server *server, struct MHD_Connection *connection) {
  Peer *p = peer_of(server, connection);
  if (p != NULL)
    leave_idle(server, p);
}

void peer_rest(Server *server, struct MHD_Connection *connection) {
  Peer *p = peer_of(server, connection);
  if (p != NULL && !p->idle)
    enter_idle(server, p);
}

int peer_socket(const Server *server, struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      server->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info != NULL ? info->connect_fd : -1;
}

/* libmicrohttpd sees the end of the stream, and closes. */
static void dismiss(Server *server, Peer *p) {
  leave_idle(server, p);
  shutdown(peer_socket(server, p->connection), SHUT_RDWR);
}

bool peer_evict(Server *server) {
  if (server->first_idle == NULL)
    return false;
  dismiss(server, server->first_idle);
  return true;
}

void peers_sweep(Server *server) {
  uint64_t limit = ((uint64_t)server->idle_timeout_s + server->head_timeout_s) * 1000;
  Peer *p;
  while (!server->closing && (p = server->first_idle) != NULL && uv_now(&server->host->loop) - p->since_ms > limit) {
    response_write(server, peer_socket(server, p->connection), MHD_HTTP_REQUEST_TIMEOUT,
                   "the request's head did not come in time");
    dismiss(server, p);
  }
}

void on_connection(void *data, struct MHD_Connection *connection, void **context,
                   enum MHD_ConnectionNotificationCode code) {
  Server *server = data;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    server->connections++;
    Peer *p = calloc(1, sizeof *p); /* without one it can only not be evicted */
    if (p != NULL)
      p->connection = connection;
    *context = p;
    return;
  }
  server->connections--;
  if (*context != NULL)
    leave_idle(server, *context);
  free(*context);
  *context = NULL;
}

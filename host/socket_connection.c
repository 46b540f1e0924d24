/* One connection on the loop. What its peer sends is read ahead up to a limit, then the peer waits. */
#include "socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define UNREAD_LIMIT ((size_t)64 * 1024)
#define READ_SIZE ((size_t)16 * 1024)

Connection *connection_new(Host *host, Stream *stream) {
  Connection *c = calloc(1, sizeof *c);
  if (c == NULL)
    return NULL;
  uv_tcp_init(&host->loop, &c->tcp); /* of the kind that cannot fail */
  c->host = host;
  c->stream = stream;
  stream->connection = c;
  c->link = &host->sockets->connections;
  c->next = *c->link;
  if (c->next != NULL)
    c->next->link = &c->next;
  *c->link = c;
  return c;
}

void connection_begin(Connection *c) {
  struct sockaddr_storage address;
  struct sockaddr *peer = (struct sockaddr *)&address;
  int size = sizeof address;
  char name[INET6_ADDRSTRLEN];
  uv_tcp_nodelay(&c->tcp, 1); /* a piece is what somebody wrote, and not worth a wait */
  if (uv_tcp_getpeername(&c->tcp, peer, &size) != 0 || uv_ip_name(peer, name, sizeof name) != 0)
    return; /* the peer has gone already */
  bool v6 = peer->sa_family == AF_INET6;
  int port = ntohs(v6 ? ((struct sockaddr_in6 *)peer)->sin6_port : ((struct sockaddr_in *)peer)->sin_port);
  snprintf(c->stream->peer, sizeof c->stream->peer, v6 ? "[%s]:%d" : "%s:%d", name, port);
}

/* ---- Reading. */

static void on_room_needed(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  (void)suggested;
  Buffer *unread = &((Connection *)handle)->unread;
  char *free_room = buffer_room(unread, READ_SIZE);
  *room = uv_buf_init(free_room, free_room != NULL ? (unsigned)(unread->capacity - unread->size) : 0);
}

static void stop_reading(Connection *c) {
  c->reading = false;
  uv_read_stop((uv_stream_t *)&c->tcp);
}

/* When the peer has gone, libuv tells of an end without asking the kernel whether it was one. */
static int why_ended(Connection *c) {
  uv_os_fd_t fd;
  int err = 0;
  socklen_t size = sizeof err;
  if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0)
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
  return err == 0 ? UV_EOF : uv_translate_sys_error(err);
}

static void on_data(uv_stream_t *tcp, ssize_t count, const uv_buf_t *room) {
  (void)room;
  Connection *c = (Connection *)tcp;
  if (count == 0)
    return; /* nothing yet */
  if (count > 0) {
    c->unread.size += (size_t)count;
    if (c->unread.size - c->taken >= UNREAD_LIMIT)
      stop_reading(c);
  } else {
    int err = count == UV_EOF ? why_ended(c) : (int)count;
    stop_reading(c);
    c->ended = err == UV_EOF;
    c->failure = err == UV_EOF ? 0 : err;
  }
  task_wake(&c->stream->read);
}

int connection_read(Connection *c) {
  if (c->reading || c->ended || c->failure != 0)
    return 0;
  int err = uv_read_start((uv_stream_t *)&c->tcp, on_room_needed, on_data);
  c->reading = err == 0;
  return err;
}

/* ---- Closing. */

static void on_closed(uv_handle_t *handle) {
  Connection *c = (Connection *)handle;
  buffer_free(&c->unread);
  free(c);
}

void connection_release(Connection *c) {
  Stream *stream = c->stream;
  c->stream = NULL;
  *c->link = c->next;
  if (c->next != NULL)
    c->next->link = c->link;
  uv_close((uv_handle_t *)&c->tcp, on_closed);
  stream->connection = NULL;
  stream->write_error = UV_ECANCELED;
  task_wake(&stream->read);
  task_wake(&stream->write);
}

void connection_reset(Connection *c) {
  uv_os_fd_t fd;
  struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
  if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0)
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* fails only when there is nothing to reset */
  connection_release(c);
}

/* Visitors: connections that libmicrohttpd does not have yet, or not any more.
 *
 * One that has come waits here until the head of its first request is whole. So those who send nothing, or a byte now
 * and then, cost a descriptor and a few bytes each, there may be thousands of them, and a head that is none is refused
 * in the form that clients understand. The head is only looked at; it stays in the kernel for libmicrohttpd to read.
 *
 * One that was refused while it was still sending stays until it has read why: were the connection closed with
 * something unread, the kernel would reset it, and the client might never see the answer. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  ACCEPTS = 64,          /* in one turn */
  LINGER_MS = 5 * 1000,  /* for reading a refusal */
  LINGER_BYTES = 8 << 20 /* that are thrown away meanwhile */
};

typedef enum Phase { HEAD, READY, LINGERING } Phase;

struct Visitor {
  uv_poll_t poll; /* first: its close callback frees the whole */
  Server *server;
  Visitor *previous, *next; /* from the one that came first */
  struct sockaddr_storage address;
  socklen_t address_size;
  int fd; /* -1 once it is libmicrohttpd's */
  Phase phase;
  uint64_t since_ms;
  size_t seen; /* of the head, or thrown away */
};

/* ---- The list of them. */

static uint64_t now_ms(const Server *server) {
  return uv_now(&server->host->loop);
}

static void append(Visitor *v) {
  Server *server = v->server;
  v->next = NULL;
  v->previous = server->last_visitor;
  if (v->previous != NULL)
    v->previous->next = v;
  else
    server->first_visitor = v;
  server->last_visitor = v;
  server->visitors++;
}

static void unlink_visitor(Visitor *v) {
  Server *server = v->server;
  if (v->previous != NULL)
    v->previous->next = v->next;
  else
    server->first_visitor = v->next;
  if (v->next != NULL)
    v->next->previous = v->previous;
  else
    server->last_visitor = v->previous;
  server->visitors--;
  server->ready -= v->phase == READY;
}

static void on_closed(uv_handle_t *handle) {
  free(handle);
}

static void visitor_end(Visitor *v) {
  unlink_visitor(v);
  uv_poll_stop(&v->poll);
  if (v->fd >= 0)
    close(v->fd);
  uv_close((uv_handle_t *)&v->poll, on_closed);
}

/* Takes the descriptor; NULL when it had to be closed. */
static Visitor *visitor_new(Server *server, int fd, Phase phase) {
  Visitor *v = calloc(1, sizeof *v);
  if (v == NULL || uv_poll_init(&server->host->loop, &v->poll, fd) != 0) {
    free(v);
    close(fd);
    return NULL;
  }
  v->server = server;
  v->fd = fd;
  v->phase = phase;
  v->since_ms = now_ms(server);
  append(v);
  return v;
}

/* ---- Lingering. */

static void drain(Visitor *v) {
  char waste[16 * 1024];
  ssize_t size = recv(v->fd, waste, sizeof waste, MSG_DONTWAIT);
  if (size > 0)
    v->seen += (size_t)size;
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR) || v->seen > LINGER_BYTES)
    visitor_end(v);
}

static void set_low_water(const Visitor *v, int bytes) {
  setsockopt(v->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static void on_waste(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  drain((Visitor *)poll);
}

static void linger(Visitor *v) {
  v->phase = LINGERING;
  v->since_ms = now_ms(v->server);
  v->seen = 0;
  set_low_water(v, 1);
  uv_poll_start(&v->poll, UV_READABLE, on_waste);
}

void visitor_linger(Server *server, int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  Visitor *v = copy >= 0 ? visitor_new(server, copy, LINGERING) : NULL;
  if (v != NULL)
    linger(v);
}

static void refuse(Visitor *v, int status, const char *message) {
  response_write(v->server, v->fd, status, message);
  shutdown(v->fd, SHUT_WR);
  linger(v);
}

/* ---- Heads. */

/* Hands it to libmicrohttpd, which has to run then. Without room for it there it waits. */
static void promote(Visitor *v) {
  Server *server = v->server;
  if (server->connections >= server->max_connections) {
    v->phase = READY;
    server->ready++;
    uv_poll_stop(&v->poll);
    peer_evict(server);
    return;
  }
  int fd = v->fd;
  set_low_water(v, 1);
  v->fd = -1;
  uv_poll_stop(&v->poll); /* one epoll has it at a time */
  server->mhd->MHD_add_connection(server->daemon, fd, (struct sockaddr *)&v->address, v->address_size);
  visitor_end(v);
  server->due = true;
}

static void on_head(uv_poll_t *poll, int status, int events);

/* Looks at what has come of the head. */
static void examine(Visitor *v, bool ended) {
  char head[HEADER_BYTES];
  ssize_t size = recv(v->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
    visitor_end(v);
    return;
  }
  size_t seen = size > 0 ? (size_t)size : 0;
  size_t length = head_length(head, seen, v->seen);
  int code;
  const char *fault = length > 0 ? head_fault(head, length, &code) : NULL;
  if (fault != NULL) {
    refuse(v, code, fault);
  } else if (length > 0) {
    promote(v);
  } else if (seen == sizeof head && !head_has_request_line(head, seen)) {
    refuse(v, MHD_HTTP_URI_TOO_LONG, "the path is longer than 8 KiB");
  } else if (seen == sizeof head) {
    refuse(v, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's headers are larger than 8 KiB");
  } else if (ended) {
    refuse(v, MHD_HTTP_BAD_REQUEST, "the request ended before its head was whole");
  } else {
    v->seen = seen;
    set_low_water(v, (int)seen + 1); /* what has been looked at is no news */
    uv_poll_start(&v->poll, UV_READABLE | UV_DISCONNECT, on_head);
  }
}

static void on_head(uv_poll_t *poll, int status, int events) {
  Visitor *v = (Visitor *)poll;
  Server *server = v->server;
  server_enter(server);
  examine(v, status < 0 || (events & UV_DISCONNECT) != 0);
  loop_run_due(server);
  server_leave(server);
}

/* ---- Coming and going. */

/* Ends who has waited longest without having sent a whole head, or still reads its refusal. */
static bool evict(Server *server) {
  Visitor *v = server->first_visitor;
  while (v != NULL && v->phase == READY)
    v = v->next;
  if (v != NULL)
    visitor_end(v);
  return v != NULL;
}

/* Nobody is let in before the next sweep. */
static bool close_door(Server *server) {
  uv_poll_stop(&server->door);
  return false;
}

/* False when this is enough for now. */
static bool let_in(Server *server) {
  if (server->visitors >= server->max_visitors && !evict(server))
    return close_door(server);
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  int fd = accept4(server->door_fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE))
    return (evict(server) || peer_evict(server)) && close_door(server);
  if (fd < 0)
    return errno == ECONNABORTED || errno == EINTR;
  Visitor *v = visitor_new(server, fd, HEAD);
  if (v == NULL)
    return false;
  v->address = address;
  v->address_size = size;
  examine(v, false);
  return true;
}

static void on_knock(uv_poll_t *door, int status, int events) {
  (void)status, (void)events;
  Server *server = door->data;
  server_enter(server);
  for (int i = 0; i < ACCEPTS && !server->closing && let_in(server); i++)
    continue;
  loop_run_due(server);
  loop_sweep_soon(server);
  server_leave(server);
}

void visitors_promote(Server *server) {
  for (Visitor *v = server->first_visitor, *next; v != NULL && server->ready > 0; v = next) {
    next = v->next;
    if (v->phase == READY && server->connections < server->max_connections)
      promote(v);
  }
}

static void check_time(Visitor *v, uint64_t now) {
  uint64_t age = now - v->since_ms;
  bool late = v->phase == HEAD && age >= (uint64_t)v->server->head_timeout_s * 1000;
  if (late && v->seen > 0)
    refuse(v, MHD_HTTP_REQUEST_TIMEOUT, "the request's head did not come in time");
  else if (late || (v->phase == LINGERING && age >= LINGER_MS))
    visitor_end(v);
}

void visitors_sweep(Server *server) {
  uint64_t now = now_ms(server);
  for (Visitor *v = server->first_visitor, *next; v != NULL && !server->closing; v = next) {
    next = v->next;
    check_time(v, now);
  }
  if (!server->closing)
    visitors_open_door(server);
}

void visitors_open_door(Server *server) {
  uv_poll_start(&server->door, UV_READABLE, on_knock);
}

void visitors_end(Server *server) {
  while (server->first_visitor != NULL)
    visitor_end(server->first_visitor);
}

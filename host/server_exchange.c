/* Exchanges: from what libmicrohttpd tells of a connection to a handler's task and back.
 *
 * A handler that does not wait is answered on the spot. For one that does, libmicrohttpd is left to ask again at its
 * next runs, so that all who waited for one commit are answered in one pass; only when it takes longer is its
 * connection suspended, since that costs system calls both ways. */
#include "server.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Passes in which a waiting handler is asked for its answer before its connection is suspended. */
enum { PATIENCE = 4 };

enum { ANSWER_MS = 300 * 1000 }; /* for an answer to be taken */

/* ---- The list of them. */

static Exchange *exchange_new(Server *server, struct MHD_Connection *connection) {
  Exchange *x = server->spare;
  if (x != NULL)
    server->spare = x->next;
  else if ((x = calloc(1, sizeof *x)) == NULL)
    return NULL;
  x->server = server;
  x->connection = connection;
  x->previous = NULL;
  x->next = server->exchanges;
  if (x->next != NULL)
    x->next->previous = x;
  server->exchanges = x;
  return x;
}

static void exchange_unlink(Exchange *x) {
  if (x->previous != NULL)
    x->previous->next = x->next;
  else
    x->server->exchanges = x->next;
  if (x->next != NULL)
    x->next->previous = x->previous;
}

static void exchange_free(Exchange *x) {
  buffer_free(&x->body);
  free(x);
}

/* Neither a client nor a handler needs it any more. */
static void exchange_end(Exchange *x) {
  Server *server = x->server;
  if (server == NULL) {
    exchange_free(x);
    return;
  }
  exchange_unlink(x);
  buffer_reset(&x->body);
  *x = (Exchange){ .next = server->spare, .body = x->body };
  server->spare = x;
}

/* ---- Handlers. */

/* libmicrohttpd asks for the answer again when it runs. */
static void wake_connection(Exchange *x) {
  if (x->suspended)
    x->server->mhd->MHD_resume_connection(x->connection);
  x->suspended = false;
  loop_pump_soon(x->server);
}

static void on_handler_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  Exchange *x = data;
  Server *server = x->server;
  x->running = false;
  host->sent_inside = true;
  if (server == NULL) {
    exchange_end(x);
    return;
  }
  bool asking = server->busy > 0; /* the handler did not wait: libmicrohttpd is waiting for this very answer */
  server_enter(server);
  if (ok && count == 0)
    lua_pushnil(co);
  else if (ok)
    lua_pop(co, count - 1);
  if (ok || !server->closing) /* a handler that closed its own server may still answer, but not fail */
    response_take(host, x, co, ok);
  if (x->connection == NULL) {
    response_drop(x);
    exchange_end(x);
  } else if (!asking) {
    wake_connection(x);
  }
  server_leave(server);
}

/* L: exchange -> task */
static int start_task(lua_State *L) {
  Exchange *x = lua_touserdata(L, 1);
  request_push(L, x);
  server_push_function(L, x->server, HANDLER);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, task_start(L, x->server->handle->keeper, 1, on_handler_ended, x));
  return 1;
}

static void start_handler(Exchange *x, const char *method, const char *path) {
  Host *host = x->server->host;
  lua_State *L = host->L;
  x->method = method;
  x->path = path;
  x->started = true;
  x->pass = x->server->pass;
  lua_pushcfunction(L, start_task);
  lua_pushlightuserdata(L, x);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    lua_pushnil(L);
    server_report(L, x->server);
    response_reject(L, x, MHD_HTTP_SERVICE_UNAVAILABLE, "the server has no memory left for this request");
    lua_pop(L, 1);
    return;
  }
  Task *task = lua_touserdata(L, -1);
  lua_pop(L, 1);
  x->running = true;
  task_run_now(host, task);
}

/* ---- What libmicrohttpd calls. */

static const char too_large[] = "the request's body is larger than the server accepts";

static enum MHD_Result check_size(Exchange *x) {
  const Server *server = x->server;
  const union MHD_ConnectionInfo *info =
      server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  if (info != NULL && info->header_size > HEADER_BYTES)
    return response_refuse_early(x, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                                 "the request's headers are larger than 8 KiB");
  const char *length = server->mhd->MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "content-length");
  if (length != NULL && strtoull(length, NULL, 10) > server->max_body)
    return response_refuse_early(x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
  return MHD_YES;
}

static enum MHD_Result begin_exchange(Server *server, struct MHD_Connection *connection, void **context) {
  Exchange *x = exchange_new(server, connection);
  if (x == NULL)
    return MHD_NO;
  *context = x;
  x->run = server->run;
  x->since_ms = uv_now(&server->host->loop);
  peer_begin(server, connection);
  return check_size(x);
}

static enum MHD_Result take_body(Exchange *x, const char *data, size_t *size) {
  if (x->body.size + *size > x->server->max_body)
    return response_refuse_midway(x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
  if (!buffer_add(&x->body, data, *size))
    return MHD_NO;
  *size = 0;
  return MHD_YES;
}

static enum MHD_Result answer(Exchange *x) {
  if (!x->running)
    return response_queue(x);
  x->server->waiting = true;
  if (!x->suspended && x->server->pass - x->pass >= PATIENCE) {
    x->suspended = true;
    x->server->mhd->MHD_suspend_connection(x->connection);
  }
  return MHD_YES;
}

enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path, const char *method,
                           const char *version, const char *body, size_t *body_size, void **context) {
  Server *server = data;
  Exchange *x = *context;
  (void)version;
  if (server->closing)
    return MHD_NO;
  if (x == NULL)
    return begin_exchange(server, connection, context);
  if (*body_size > 0)
    return take_body(x, body, body_size);
  if (!x->started)
    start_handler(x, method, path);
  return answer(x);
}

void on_completed(void *data, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code) {
  (void)code;
  Exchange *x = *context;
  peer_rest(data, connection);
  if (x == NULL)
    return;
  *context = NULL;
  x->connection = NULL;
  response_drop(x);
  if (!x->running)
    exchange_end(x); /* else when its handler has ended */
}

static void check_time(Exchange *x, uint64_t now) {
  bool slow = !x->started && !x->answered && now - x->since_ms > (uint64_t)x->server->body_timeout_s * 1000;
  bool unread = x->answered && now - x->since_ms > ANSWER_MS;
  if (x->connection == NULL || (!slow && !unread))
    return;
  int fd = peer_socket(x->server, x->connection);
  if (slow)
    response_write(x->server, fd, MHD_HTTP_REQUEST_TIMEOUT, "the request's body did not come in time");
  shutdown(fd, SHUT_RDWR); /* libmicrohttpd sees the end of the stream, and closes */
}

void exchanges_sweep(Server *server) {
  uint64_t now = uv_now(&server->host->loop);
  for (Exchange *x = server->exchanges; x != NULL && !server->closing; x = x->next)
    check_time(x, now);
}

void exchanges_end(Server *server) {
  for (Exchange *x = server->exchanges; x != NULL; x = x->next) {
    if (x->suspended && x->connection != NULL)
      server->mhd->MHD_resume_connection(x->connection); /* the daemon does not stop before that */
    x->suspended = false;
  }
  server->mhd->MHD_stop_daemon(server->daemon);
  for (Exchange *x = server->exchanges; x != NULL; x = x->next)
    x->server = NULL; /* their handlers are being cancelled */
  for (Exchange *x = server->spare, *next; x != NULL; x = next) {
    next = x->next;
    exchange_free(x);
  }
}

int server_count_owed(const Host *host) {
  int count = 0;
  for (const Server *server = host->servers != NULL ? host->servers->first : NULL; server != NULL;
       server = server->next) {
    for (const Exchange *x = server->exchanges; x != NULL; x = x->next)
      count += x->running && x->connection != NULL;
  }
  return count;
}

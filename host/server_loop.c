/* When libmicrohttpd runs. It does so only in pump(): when its epoll descriptor is readable, and once more at the end
 * of a turn in which handlers have ended or its next timeout has come. */
#include "server.h"

#include <stdlib.h>

static void pump(Server *server) {
  server_enter(server);
  server->due = false;
  server->waiting = false;
  server->pass++;
  do {
    server->again = false;
    server->run++;
    server->mhd->MHD_run(server->daemon);
  } while (server->again && !server->closing);
  server_leave(server);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  Server *server = poll->data;
  Host *host = server->host;
  pump(server);
  if (host->servers->first != NULL)
    host_after_turn(host, &host->servers->hook);
}

void loop_pump_soon(Server *server) {
  server->due = true;
  host_after_turn(server->host, &server->host->servers->hook);
}

static void on_timer(uv_timer_t *timer) {
  uv_stop(timer->loop); /* timers run before the poll, which must not sleep now that a hook is due */
  loop_pump_soon(timer->data);
}

/* While handlers are waited for libmicrohttpd would run again at once, only to ask for their answers. A timer that
 * rings too early costs a run, after which it is set again; moving it each turn would cost more. */
static void set_timer(Server *server) {
  uv_timer_t *timer = &server->timer;
  MHD_UNSIGNED_LONG_LONG timeout_ms;
  if (server->mhd->MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES) {
    uv_timer_stop(timer);
    return;
  }
  if (timeout_ms == 0 && server->waiting)
    timeout_ms = 1;
  uv_update_time(&server->host->loop); /* the timer counts from the loop's idea of now */
  if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > timeout_ms)
    uv_timer_start(timer, on_timer, timeout_ms, 0);
}

static Server *next_due(Host *host) {
  Server *server = host->servers->first;
  while (server != NULL && !server->due)
    server = server->next;
  return server;
}

void on_server_turn_end(Host *host, TurnHook *hook) {
  (void)hook;
  Server *due;
  while ((due = next_due(host)) != NULL)
    pump(due); /* may close any of them */
  for (Server *server = host->servers->first; server != NULL; server = server->next)
    set_timer(server);
}

bool loop_enter(Server *server, int epoll_fd) {
  uv_loop_t *loop = &server->host->loop;
  if (uv_poll_init(loop, &server->poll, epoll_fd) != 0)
    return false;
  uv_timer_init(loop, &server->timer); /* of the kind that cannot fail */
  server->poll.data = server->timer.data = server;
  server->handles = 2;
  uv_poll_start(&server->poll, UV_READABLE, on_readable);
  return true;
}

static void on_closed(uv_handle_t *handle) {
  Server *server = handle->data;
  if (--server->handles == 0)
    free(server);
}

void loop_leave(Server *server) {
  uv_poll_stop(&server->poll);
  uv_close((uv_handle_t *)&server->poll, on_closed);
  uv_close((uv_handle_t *)&server->timer, on_closed);
}

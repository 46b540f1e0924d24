/* When libmicrohttpd runs. It does so only in pump(): when its epoll descriptor is readable, and once more at the end
 * of a turn in which handlers have ended or its next timeout has come. */
#include "server.h"

#include <stdlib.h>

enum { SWEEP_MS = 1000 };

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

void loop_run_due(Server *server) {
  if (server->due && !server->closing)
    pump(server);
  host_after_turn(server->host, &server->host->servers->hook);
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

static void promote_visitors(Host *host) {
  for (Server *server = host->servers->first; server != NULL; server = server->next)
    visitors_promote(server);
}

void on_server_turn_end(Host *host, TurnHook *hook) {
  (void)hook;
  Server *due;
  promote_visitors(host);
  while ((due = next_due(host)) != NULL) {
    pump(due); /* may close any of them */
    promote_visitors(host);
  }
  for (Server *server = host->servers->first; server != NULL; server = server->next)
    set_timer(server);
}

/* ---- Whose time is over. */

static void on_sweep(uv_timer_t *timer) {
  Server *server = timer->data;
  server_enter(server);
  visitors_sweep(server);
  peers_sweep(server);
  exchanges_sweep(server);
  if (server->visitors == 0 && server->connections == 0)
    uv_timer_stop(timer);
  server_leave(server);
}

void loop_sweep_soon(Server *server) {
  if (!server->closing && !uv_is_active((uv_handle_t *)&server->sweep))
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* ---- Beginning and end. */

static void opened(Server *server, void *handle) {
  ((uv_handle_t *)handle)->data = server;
  server->handles++;
}

bool loop_enter(Server *server, int epoll_fd) {
  uv_loop_t *loop = &server->host->loop;
  uv_timer_init(loop, &server->timer); /* of the kind that cannot fail */
  opened(server, &server->timer);
  uv_timer_init(loop, &server->sweep);
  opened(server, &server->sweep);
  if (uv_poll_init(loop, &server->poll, epoll_fd) != 0)
    return false;
  opened(server, &server->poll);
  if (uv_poll_init(loop, &server->door, server->door_fd) != 0)
    return false;
  opened(server, &server->door);
  uv_poll_start(&server->poll, UV_READABLE, on_readable);
  visitors_open_door(server);
  return true;
}

static void on_closed(uv_handle_t *handle) {
  Server *server = handle->data;
  if (--server->handles == 0)
    free(server);
}

void loop_leave(Server *server) {
  void *const handles[] = { &server->poll, &server->door, &server->timer, &server->sweep };
  for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
    if (((uv_handle_t *)handles[i])->data != NULL)
      uv_close(handles[i], on_closed); /* which also stops it */
  }
}

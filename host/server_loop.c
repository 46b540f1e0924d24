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
  Server *server = (Server *)poll;
  Host *host = server->host;
  pump(server);
  if (host->servers->first != NULL)
    host_after_turn(host, &host->servers->hook);
}

void loop_pump_soon(Server *server) {
  server->due = true;
  host_after_turn(server->host, &server->host->servers->hook);
}

static void on_alarm(Host *host, Alarm *alarm) {
  (void)host;
  Server *server = (Server *)((char *)alarm - offsetof(Server, alarm));
  loop_pump_soon(server);
}

/* While handlers are waited for libmicrohttpd would run again at once, only to ask for their answers. */
static void set_alarm(Server *server) {
  MHD_UNSIGNED_LONG_LONG timeout_ms;
  if (server->mhd->MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES)
    alarm_cancel(server->host, &server->alarm);
  else
    alarm_set(server->host, &server->alarm, (double)(timeout_ms == 0 && server->waiting ? 1 : timeout_ms) / 1000,
              on_alarm);
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
    set_alarm(server);
}

bool loop_enter(Server *server, int epoll_fd) {
  if (uv_poll_init(&server->host->loop, &server->poll, epoll_fd) != 0)
    return false;
  uv_poll_start(&server->poll, UV_READABLE, on_readable);
  return true;
}

static void on_poll_closed(uv_handle_t *handle) {
  free(handle);
}

void loop_leave(Server *server) {
  alarm_cancel(server->host, &server->alarm);
  uv_poll_stop(&server->poll);
  uv_close((uv_handle_t *)&server->poll, on_poll_closed);
}

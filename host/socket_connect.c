/* Connecting: looks the name up, and tries one address after another until the time is over. */
#include "socket.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libuv keeps it until the thread that looks has ended, even if nobody wants to know any more. */
typedef struct Lookup {
  uv_getaddrinfo_t request; /* first: its callback gets this address */
  Connecting *connecting;   /* NULL once dropped */
  bool under_way;
} Lookup;

/* A userdata of the task that waits. */
struct Connecting {
  Wait wait;
  Alarm alarm;
  Host *host;
  Stream *stream;
  Lookup *lookup; /* NULL once dropped */
  const struct addrinfo *untried;
  Connecting *next, **link;
  int err;
};

static void lookup_free(Lookup *lookup) {
  uv_freeaddrinfo(lookup->request.addrinfo);
  free(lookup);
}

void connecting_drop(Connecting *c) {
  if (c->lookup == NULL)
    return;
  alarm_cancel(c->host, &c->alarm);
  *c->link = c->next;
  if (c->next != NULL)
    c->next->link = c->link;
  c->lookup->connecting = NULL;
  if (!c->lookup->under_way)
    lookup_free(c->lookup);
  else
    uv_cancel((uv_req_t *)&c->lookup->request);
  c->lookup = NULL;
}

/* Without its connection unless that is made. */
static void settle(Connecting *c, int err) {
  c->err = err;
  if (err != 0 && c->stream->connection != NULL)
    connection_release(c->stream->connection);
  connecting_drop(c);
  task_wake(&c->wait);
}

/* ---- One address after another. */

static void on_connected(uv_connect_t *connect, int err);

static int try_address(Connecting *c, const struct addrinfo *address) {
  Connection *connection = connection_new(c->host, c->stream);
  if (connection == NULL)
    return UV_ENOMEM;
  connection->outside = !listening_here(c->host, address->ai_addr);
  connection->connect.data = c;
  int err = uv_tcp_connect(&connection->connect, &connection->tcp, address->ai_addr, on_connected);
  connection->connecting = err == 0;
  if (err != 0)
    connection_release(connection);
  return err;
}

/* Begins with the next address; why not, when none is left. */
static int try_next(Connecting *c, int err) {
  while (c->untried != NULL) {
    const struct addrinfo *address = c->untried;
    c->untried = address->ai_next;
    err = try_address(c, address);
    if (err == 0)
      return 0;
  }
  return err;
}

static void on_connected(uv_connect_t *connect, int err) {
  Connection *connection = (Connection *)connect->handle;
  Connecting *c = connect->data;
  if (connection->stream == NULL)
    return; /* closed meanwhile, and whoever wanted it may have gone */
  connection->connecting = false;
  if (err == 0) {
    connection_begin(connection);
    settle(c, 0);
    return;
  }
  connection_release(connection);
  err = try_next(c, err);
  if (err != 0)
    settle(c, err);
}

/* ---- The lookup. */

static void on_found(uv_getaddrinfo_t *request, int err, struct addrinfo *addresses) {
  Lookup *lookup = (Lookup *)request;
  Connecting *c = lookup->connecting;
  lookup->under_way = false;
  if (c == NULL) {
    lookup_free(lookup);
    return;
  }
  c->untried = addresses;
  err = try_next(c, err);
  if (err != 0)
    settle(c, err);
}

/* An address is told at once, a name takes a thread. */
static int look_up(Connecting *c, const char *name, int port) {
  char service[8];
  Lookup *lookup = c->lookup;
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
  uv_loop_t *loop = &c->host->loop;
  snprintf(service, sizeof service, "%d", port);
  if (uv_getaddrinfo(loop, &lookup->request, NULL, name, service, &hints) == 0) {
    c->untried = lookup->request.addrinfo;
    return try_next(c, UV_EAI_NONAME);
  }
  hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
  int err = uv_getaddrinfo(loop, &lookup->request, on_found, name, service, &hints);
  lookup->under_way = err == 0;
  return err;
}

bool connecting_is_outside(const struct Sockets *sockets) {
  const Connecting *c = sockets->connecting;
  while (c != NULL && !c->lookup->under_way)
    c = c->next;
  return c != NULL;
}

/* ---- What Lua calls. */

enum { HOST = 2, STREAM }; /* on the stack, above the options */

static void on_too_late(Host *host, Alarm *alarm) {
  (void)host;
  settle((Connecting *)((char *)alarm - offsetof(Connecting, alarm)), UV_ETIMEDOUT);
}

static void on_cancelled(Wait *wait) {
  settle((Connecting *)wait, UV_ECANCELED);
}

static int finish(lua_State *L, Wait *wait) {
  const Connecting *c = (const Connecting *)wait;
  if (c->err != 0) {
    const char *name = lua_tostring(L, HOST);
    return host_fail_uv(L, c->err,
                        lua_pushfstring(L, "cannot connect to %s port %d", name, socket_port_option(L, 1, 0)));
  }
  lua_pushvalue(L, STREAM);
  return 1;
}

/* [-0, +1, m] NULL when out of memory */
static Connecting *push_connecting(lua_State *L, Stream *stream) {
  Host *host = host_of(L);
  Connecting *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  c->host = host;
  c->stream = stream;
  struct Sockets *sockets = sockets_of(host);
  c->lookup = sockets != NULL ? calloc(1, sizeof *c->lookup) : NULL;
  if (c->lookup == NULL)
    return NULL;
  c->lookup->connecting = c;
  c->link = &sockets->connecting;
  c->next = *c->link;
  if (c->next != NULL)
    c->next->link = &c->next;
  *c->link = c;
  return c;
}

static lua_Number timeout_option(lua_State *L) {
  lua_getfield(L, 1, "timeout");
  lua_Number timeout = luaL_optnumber(L, -1, 10);
  if (!(timeout > 0))
    luaL_error(L, "option 'timeout' must be positive");
  lua_pop(L, 1);
  return timeout;
}

int l_socket_connect(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "host");
  const char *name = lua_type(L, HOST) == LUA_TSTRING ? lua_tostring(L, HOST) : "";
  if (name[0] == '\0')
    return luaL_error(L, "option 'host' is a %s, expected a name or an address", luaL_typename(L, HOST));
  int port = socket_port_option(L, 1, 0);
  lua_Number timeout = timeout_option(L);
  task_check(L);
  Connecting *c = push_connecting(L, stream_push(L));
  if (c == NULL)
    return host_fail_uv(L, UV_ENOMEM, "cannot connect");
  int err = alarm_set(c->host, &c->alarm, timeout, on_too_late) ? look_up(c, name, port) : UV_ENOMEM;
  if (err == 0)
    return task_wait(L, &c->wait, on_cancelled, finish);
  settle(c, err);
  return finish(L, &c->wait);
}

/* Listening: each connection is served by a task of its own, below the listener's. */
#include "socket.h"

#include <stdlib.h>
#include <string.h>

typedef union Address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} Address;

/* What Lua holds; its user values are the functions. It is in the registry, by its own address, until the last of its
 * tasks has ended. */
typedef struct Handle {
  Wait wait;          /* of the listener's own task, which is the parent of the handlers */
  Listener *listener; /* NULL once closed */
  Task *keeper;
  Address address;
  int port;
  char name[INET6_ADDRSTRLEN];
} Handle;

enum { HANDLER = 1, ON_ERROR = 2 };

/* Lives until its last socket is closed. */
struct Listener {
  Host *host;
  Handle *handle;
  uv_tcp_t *tcp; /* bound to the port, and listening unless it is paused */
  bool paused;
  Listening listening;
  Listener *next, **link;
};

/* ---- The listener's own task. */

static void release_handle(lua_State *L, Handle *handle) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, handle); /* clearing a key does not allocate */
}

static void on_keeper_cancelled(Wait *wait) {
  const Handle *handle = (const Handle *)wait;
  if (handle->listener != NULL)
    listener_release(handle->listener);
}

static int finish_keeping(lua_State *L, Wait *wait) {
  (void)L, (void)wait;
  return 0;
}

/* L: handle */
static int keep(lua_State *L) {
  Handle *handle = lua_touserdata(L, 1);
  if (handle->listener == NULL)
    return 0;
  task_check(L);
  return task_wait(L, &handle->wait, on_keeper_cancelled, finish_keeping);
}

static void on_keeper_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)co, (void)ok, (void)count;
  Handle *handle = data;
  on_keeper_cancelled(&handle->wait); /* it was cancelled before it had begun */
  release_handle(host->L, handle);
}

/* L: ..., handle. Before it listens; the task ends at once when it will not. */
static void start_keeper(lua_State *L, Handle *handle) {
  lua_pushcfunction(L, keep);
  lua_pushvalue(L, -2);
  handle->keeper = task_start(L, task_current(host_of(L)), 1, on_keeper_ended, handle);
  task_set_daemon(handle->keeper);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, handle);
}

/* ---- The handlers' tasks. */

static int served(lua_State *L, int status, lua_KContext context) {
  (void)L, (void)status, (void)context;
  return 0;
}

/* L: stream, handler. However this ends, it closes the stream. */
static int serve(lua_State *L) {
  lua_toclose(L, 1);
  lua_pushvalue(L, 1);
  lua_callk(L, 1, 0, 0, served);
  return served(L, LUA_OK, 0);
}

/* L: handle, error, traceback or nil */
static int tell(lua_State *L) {
  lua_getiuservalue(L, 1, ON_ERROR);
  if (lua_isnil(L, -1))
    return 0;
  luaL_tolstring(L, 2, NULL);
  if (lua_isstring(L, 3)) {
    lua_pushfstring(L, "\n%s", lua_tostring(L, 3));
    lua_concat(L, 2);
  }
  lua_call(L, 1, 0);
  return 0;
}

static void on_handler_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)count;
  if (ok || task_is_cancellation(co, -1))
    return;
  lua_State *L = host->L;
  lua_pushcfunction(L, tell);
  lua_rawgetp(L, LUA_REGISTRYINDEX, data);
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1);
  task_push_traceback(L);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK)
    lua_pop(L, 1); /* nobody is left to tell that on_error has failed */
}

/* L: handle, socket -> nothing */
static int accept_connection(lua_State *L) {
  Handle *handle = lua_touserdata(L, 1);
  uv_stream_t *socket = lua_touserdata(L, 2);
  lua_pushcfunction(L, serve);
  Stream *stream = stream_push(L);
  Connection *c = connection_new(host_of(L), stream);
  if (c == NULL || uv_accept(socket, (uv_stream_t *)&c->tcp) != 0)
    return 0; /* the collector closes it, and the peer asks again or gives up */
  connection_begin(c);
  lua_getiuservalue(L, 1, HANDLER);
  task_start(L, handle->keeper, 2, on_handler_ended, handle);
  return 0;
}

static void on_connection(uv_stream_t *socket, int err) {
  const Listener *listener = socket->data;
  if (err != 0)
    return; /* such as no descriptor left: libuv has refused it */
  lua_State *L = listener->host->L;
  lua_pushcfunction(L, accept_connection);
  lua_rawgetp(L, LUA_REGISTRYINDEX, listener->handle);
  lua_pushlightuserdata(L, socket);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK)
    lua_pop(L, 1); /* out of memory */
}

/* ---- Opening, pausing and closing. */

static void on_closed(uv_handle_t *socket) {
  free(socket);
}

/* Binds a socket to the address; a libuv error number. It does not listen yet, so connections are refused. */
static int bind_socket(Listener *listener, const Address *address) {
  uv_tcp_t *tcp = malloc(sizeof *tcp);
  if (tcp == NULL)
    return UV_ENOMEM;
  uv_tcp_init(&listener->host->loop, tcp); /* of the kind that cannot fail */
  tcp->data = listener;
  int err = uv_tcp_bind(tcp, &address->any, address->any.sa_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
  if (err == 0)
    listener->tcp = tcp;
  else
    uv_close((uv_handle_t *)tcp, on_closed);
  return err;
}

static int listen_again(Listener *listener) {
  int err = uv_listen((uv_stream_t *)listener->tcp, SOMAXCONN, on_connection);
  listener->paused = err != 0;
  return err;
}

static void close_socket(Listener *listener) {
  if (listener->tcp != NULL)
    uv_close((uv_handle_t *)listener->tcp, on_closed);
  listener->tcp = NULL;
}

void listener_release(Listener *listener) {
  Host *host = listener->host;
  listening_remove(host, &listener->listening);
  *listener->link = listener->next;
  if (listener->next != NULL)
    listener->next->link = listener->link;
  close_socket(listener);
  listener->handle->listener = NULL;
  free(listener);
}

static void note_address(Handle *handle) {
  int size = sizeof handle->address;
  uv_tcp_getsockname(handle->listener->tcp, &handle->address.any, &size);
  handle->port =
      ntohs(handle->address.any.sa_family == AF_INET6 ? handle->address.v6.sin6_port : handle->address.v4.sin_port);
}

/* A libuv error number. */
static int open_listener(Host *host, Handle *handle) {
  struct Sockets *sockets = sockets_of(host);
  Listener *listener = sockets != NULL ? calloc(1, sizeof *listener) : NULL;
  if (listener == NULL)
    return UV_ENOMEM;
  listener->host = host;
  listener->handle = handle;
  handle->listener = listener;
  listener->link = &sockets->listeners;
  listener->next = *listener->link;
  if (listener->next != NULL)
    listener->next->link = &listener->next;
  *listener->link = listener;
  int err = bind_socket(listener, &handle->address);
  if (err == 0)
    err = listen_again(listener);
  if (err != 0) {
    listener_release(listener);
    return err;
  }
  note_address(handle);
  listening_add(host, &listener->listening, handle->port);
  return 0;
}

/* ---- What Lua calls. */

static void read_address(lua_State *L, Address *address) {
  int port = socket_port_option(L, 0, 0);
  lua_getfield(L, 1, "address");
  const char *text = luaL_optstring(L, -1, "127.0.0.1");
  memset(address, 0, sizeof *address);
  if (uv_ip4_addr(text, port, &address->v4) != 0 && uv_ip6_addr(text, port, &address->v6) != 0)
    luaL_error(L, "option 'address' is \"%s\", expected an IPv4 or IPv6 address such as 127.0.0.1 or ::1", text);
  lua_pop(L, 1);
}

/* L: options, handler -> options, handler, handle */
static Handle *push_handle(lua_State *L) {
  Handle *handle = lua_newuserdatauv(L, sizeof *handle, ON_ERROR);
  memset(handle, 0, sizeof *handle);
  luaL_setmetatable(L, LISTENER_CLASS);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, HANDLER);
  if (lua_getfield(L, 1, "on_error") != LUA_TNIL && !lua_isfunction(L, -1))
    luaL_error(L, "option 'on_error' is a %s, expected a function", luaL_typename(L, -1));
  lua_setiuservalue(L, 3, ON_ERROR);
  return handle;
}

int l_socket_listen(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  Host *host = host_of(L);
  if (task_current(host) == NULL)
    return luaL_error(L, "cannot listen outside of a task");
  Handle *handle = push_handle(L);
  read_address(L, &handle->address);
  uv_ip_name(&handle->address.any, handle->name, sizeof handle->name);
  start_keeper(L, handle);
  int err = open_listener(host, handle);
  if (err == 0)
    return 1;
  return host_fail_uv(L, err,
                      lua_pushfstring(L, "cannot listen on %s port %d", handle->name, socket_port_option(L, 0, 0)));
}

static Handle *check_handle(lua_State *L) {
  return luaL_checkudata(L, 1, LISTENER_CLASS);
}

static Listener *check_open(lua_State *L) {
  Listener *listener = check_handle(L)->listener;
  luaL_argcheck(L, listener != NULL, 1, "the listener is closed");
  return listener;
}

static int push_success(lua_State *L, int err, const char *what) {
  if (err != 0)
    return host_fail_uv(L, err, what);
  lua_pushboolean(L, 1);
  return 1;
}

/* A second socket keeps the port, so that nobody else gets it. */
static int l_pause(lua_State *L) {
  Listener *listener = check_open(L);
  int err = 0;
  if (!listener->paused) {
    close_socket(listener);
    listener->paused = true;
    err = bind_socket(listener, &listener->handle->address);
  }
  return push_success(L, err, "cannot keep the port");
}

static int l_resume(lua_State *L) {
  Listener *listener = check_open(L);
  int err = 0;
  if (listener->tcp == NULL)
    err = bind_socket(listener, &listener->handle->address);
  if (err == 0 && listener->paused)
    err = listen_again(listener);
  return push_success(L, err, "cannot listen again");
}

static int l_close(lua_State *L) {
  const Handle *handle = check_handle(L);
  if (handle->listener == NULL)
    return 0;
  listener_release(handle->listener);
  task_cancel(host_of(L), handle->keeper, "the listener was closed");
  return 0;
}

/* The methods are the upvalue. */
static int l_index(lua_State *L) {
  const Handle *handle = check_handle(L);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "port") == 0) {
    lua_pushinteger(L, handle->port);
  } else if (strcmp(key, "address") == 0) {
    lua_pushstring(L, handle->name);
  } else {
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

void listener_class(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "pause", l_pause },   { "resume", l_resume }, { "close", l_close },
    { "__close", l_close }, { "__gc", l_close },    { NULL, NULL },
  };
  host_class(L, LISTENER_CLASS, methods);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, l_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

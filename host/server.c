/* An HTTP server whose handlers are tasks. What HTTP means is libmicrohttpd's affair. Here servers are opened and
 * closed, and the functions that the user gave them are called. server_visitor.c lets clients in, server_head.c checks
 * how their first request begins, server_peer.c keeps an eye on the connections, server_exchange.c takes what
 * libmicrohttpd tells of one to a handler's task, server_request.c makes the table that a handler gets,
 * server_response.c makes an answer of what it returns, and server_loop.c is when libmicrohttpd runs. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_CLASS "host.Server"

/* Both headers, and what libmicrohttpd notes of them. Not more than that, since it zeroes all of it after a request. */
enum { CONNECTION_BYTES = 2 * HEADER_BYTES + 4096 };

/* Those that libmicrohttpd has begun to close count no more for us, but still do for it. */
enum { SPARE_CONNECTIONS = 64 };

/* Of those who have not sent a request yet. */
enum { MAX_VISITORS = 16 * 1024 };

/* ---- Functions of the user. */

void server_push_function(lua_State *L, const Server *server, int which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, server->handle);
  lua_getiuservalue(L, -1, which);
  lua_remove(L, -2);
}

/* L: server, error, traceback or nil */
static int tell(lua_State *L) {
  const Server *server = lua_touserdata(L, 1);
  const char *traceback = lua_tostring(L, 3);
  server_push_function(L, server, ON_ERROR);
  if (lua_isnil(L, -1))
    return 0;
  luaL_tolstring(L, 2, NULL);
  if (traceback != NULL) {
    lua_pushfstring(L, "\n%s", traceback);
    lua_concat(L, 2);
  }
  lua_call(L, 1, 0);
  return 0;
}

void server_report(lua_State *L, const Server *server) {
  lua_pushcfunction(L, tell);
  lua_insert(L, -3);
  lua_pushlightuserdata(L, (void *)server);
  lua_insert(L, -3);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK)
    lua_pop(L, 1); /* nobody is left to tell that on_error has failed */
}

/* ---- Stopping. */

/* The handle is closed, and Lua may collect it. */
static void release(lua_State *L, Handle *handle) {
  handle->server = NULL;
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, handle); /* clearing a key does not allocate */
}

static void unlink_server(Server *server) {
  Server **link = &server->host->servers->first;
  while (*link != server)
    link = &(*link)->next;
  *link = server->next;
}

void server_stop(Server *server) {
  lua_State *L = server->host->L;
  server->closing = true;
  if (server->busy > 0)
    return;
  unlink_server(server);
  listening_remove(server->host, &server->listening);
  visitors_end(server);
  loop_leave(server);
  close(server->door_fd);
  exchanges_end(server);
  release(L, server->handle);
}

void server_enter(Server *server) {
  server->busy++;
}

void server_leave(Server *server) {
  if (--server->busy == 0 && server->closing)
    server_stop(server);
}

/* ---- The server's own task, from listen to close: the handlers' parent. */

static void keep_cancel(Wait *wait) {
  Handle *handle = (Handle *)wait;
  if (handle->server != NULL)
    server_stop(handle->server);
}

static int keep_finish(lua_State *L, Wait *wait) {
  (void)L, (void)wait;
  return 0;
}

/* L: handle */
static int keep(lua_State *L) {
  Handle *handle = lua_touserdata(L, 1);
  if (handle->server == NULL)
    return 0;
  task_check(L);
  return task_wait(L, &handle->wait, keep_cancel, keep_finish);
}

/* It was cancelled before it had begun. */
static void on_keeper_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)host, (void)co, (void)ok, (void)count;
  keep_cancel(&((Handle *)data)->wait);
}

/* L: ..., handle. Before there is a server; the task ends at once when there will be none. */
static void start_keeper(lua_State *L, Handle *handle) {
  lua_pushcfunction(L, keep);
  lua_pushvalue(L, -2);
  handle->keeper = task_start(L, task_current(host_of(L)), 1, on_keeper_ended, handle);
  task_set_daemon(handle->keeper);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, handle);
}

/* ---- Listening. */

typedef union Address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} Address;

typedef struct Settings {
  Address address;
  size_t max_body;
  unsigned idle_timeout_s, head_timeout_s, body_timeout_s;
  unsigned max_connections;
} Settings;

static lua_Integer integer_option(lua_State *L, const char *name, lua_Integer fallback, lua_Integer least,
                                  lua_Integer most) {
  lua_getfield(L, 1, name);
  lua_Integer value = lua_isnil(L, -1) ? fallback : lua_tointeger(L, -1);
  if (!lua_isnil(L, -1) && (!lua_isinteger(L, -1) || value < least || value > most))
    luaL_error(L, "option '%s' is %s, expected an integer from %I to %I", name, luaL_tolstring(L, -1, NULL),
               (LUAI_UACINT)least, (LUAI_UACINT)most);
  lua_pop(L, 1);
  return value;
}

static void read_settings(lua_State *L, Settings *settings) {
  lua_getfield(L, 1, "address");
  const char *address = luaL_optstring(L, -1, "127.0.0.1");
  int port = (int)integer_option(L, "port", 0, 0, 65535);
  memset(&settings->address, 0, sizeof settings->address);
  if (uv_ip4_addr(address, port, &settings->address.v4) != 0 && uv_ip6_addr(address, port, &settings->address.v6) != 0)
    luaL_error(L, "option 'address' is \"%s\", expected an IPv4 or IPv6 address such as 127.0.0.1 or ::1", address);
  lua_pop(L, 1);
  settings->max_body = (size_t)integer_option(L, "max_body", 1 << 20, 0, (lua_Integer)1 << 40);
  settings->idle_timeout_s = (unsigned)integer_option(L, "idle_timeout", 60, 1, 1000000);
  settings->head_timeout_s = (unsigned)integer_option(L, "head_timeout", 30, 1, 1000000);
  settings->body_timeout_s = (unsigned)integer_option(L, "body_timeout", 60, 1, 1000000);
  settings->max_connections = (unsigned)integer_option(L, "max_connections", 1024, 1, 1000000);
}

/* L: options, handler -> options, handler, handle */
static Handle *new_handle(lua_State *L) {
  static const char *const names[] = { [ON_ERROR] = "on_error", [REJECT] = "reject" };
  Handle *handle = lua_newuserdatauv(L, sizeof *handle, REJECT);
  memset(handle, 0, sizeof *handle);
  luaL_setmetatable(L, SERVER_CLASS);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, HANDLER);
  for (int i = ON_ERROR; i <= REJECT; i++) {
    if (lua_getfield(L, 1, names[i]) != LUA_TNIL && !lua_isfunction(L, -1))
      luaL_error(L, "option '%s' is a %s, expected a function", names[i], luaL_typename(L, -1));
    lua_setiuservalue(L, 3, i);
  }
  return handle;
}

/* Returns the socket or a negative errno. */
static int open_socket(const Address *address) {
  bool v6 = address->any.sa_family == AF_INET6;
  int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (v6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, &address->any, v6 ? sizeof address->v6 : sizeof address->v4) == 0 && listen(fd, SOMAXCONN) == 0)
    return fd;
  int err = -errno;
  close(fd);
  return err;
}

static void read_address(Handle *handle, const Address *address) {
  handle->port = ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
  uv_ip_name(&address->any, handle->address, sizeof handle->address);
}

static void read_bound_address(Handle *handle, int fd) {
  Address address = { 0 };
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.any, &size) == 0)
    read_address(handle, &address);
}

/* Paths stay as they were sent, and the query is decoded in server_request.c. */
static size_t keep_escaped(void *data, struct MHD_Connection *connection, char *text) {
  (void)data, (void)connection;
  return strlen(text);
}

/* It gets its connections from server_visitor.c, which keeps to the limit. */
static struct MHD_Daemon *start_daemon(Server *server) {
  return server->mhd->MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, server,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->max_connections + SPARE_CONNECTIONS, /* from here on options */
      MHD_OPTION_CONNECTION_TIMEOUT, server->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      (size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
      MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
      MHD_OPTION_END);
}

/* Most of the descriptors; others need some, too. */
static int visitors_at_most(void) {
  struct rlimit limit;
  bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 * 3 < MAX_VISITORS;
  return known ? (int)(limit.rlim_cur / 4 * 3) : MAX_VISITORS;
}

/* Takes the socket. Returns NULL when memory or descriptors are short. */
static Server *server_new(Host *host, Handle *handle, int fd, const Settings *settings) {
  Server *server = calloc(1, sizeof *server);
  if (server == NULL)
    goto calloc_failed;
  server->host = host;
  server->mhd = &host->servers->mhd;
  server->handle = handle;
  server->door_fd = fd;
  server->max_body = settings->max_body;
  server->max_connections = (int)settings->max_connections;
  server->max_visitors = visitors_at_most();
  server->idle_timeout_s = settings->idle_timeout_s;
  server->head_timeout_s = settings->head_timeout_s;
  server->body_timeout_s = settings->body_timeout_s;
  server->daemon = start_daemon(server);
  if (server->daemon == NULL)
    goto start_daemon_failed;
  const union MHD_DaemonInfo *info = server->mhd->MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == NULL || !loop_enter(server, info->epoll_fd))
    goto loop_enter_failed;
  server->next = host->servers->first;
  host->servers->first = server;
  listening_add(host, &server->listening, handle->port);
  return server;
loop_enter_failed:
  server->mhd->MHD_stop_daemon(server->daemon);
  loop_leave(server); /* which frees it */
  server = NULL;
start_daemon_failed:
  free(server);
calloc_failed:
  close(fd);
  return NULL;
}

/* [-0, +0|+3, m] The library and the list of servers; false when it cannot be loaded, with nil, message, code pushed.
 */
static bool load(lua_State *L) {
  static const char *const names[] = { MHD_FUNCTIONS(LIBRARY_NAME) };
  Host *host = host_of(L);
  if (host->servers != NULL)
    return true;
  char message[200] = "out of memory";
  struct Servers *servers = calloc(1, sizeof *servers);
  if (servers == NULL ||
      !library_load("libmicrohttpd.so.12", names, LIBRARY_COUNT(names), &servers->mhd, message, sizeof message)) {
    free(servers);
    host_fail(L, "ELIBACC", "%s; install libmicrohttpd12", message);
    return false;
  }
  servers->hook.run = on_server_turn_end;
  host->servers = servers;
  return true;
}

static int l_listen(lua_State *L) {
  Settings settings;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  Host *host = host_of(L);
  if (task_current(host) == NULL)
    return luaL_error(L, "cannot listen outside of a task");
  read_settings(L, &settings);
  if (!load(L))
    return 3;
  Handle *handle = new_handle(L);
  start_keeper(L, handle);
  read_address(handle, &settings.address);
  int fd = open_socket(&settings.address);
  if (fd >= 0) {
    read_bound_address(handle, fd);
    handle->server = server_new(host, handle, fd, &settings);
    fd = UV_ENOMEM;
  }
  if (handle->server != NULL)
    return 1;
  release(L, handle);
  return host_fail(L, uv_err_name(fd), "cannot listen on %s port %d: %s", handle->address, handle->port,
                   uv_strerror(fd));
}

/* ---- The module. */

static int l_close(lua_State *L) {
  Handle *handle = luaL_checkudata(L, 1, SERVER_CLASS);
  if (handle->server == NULL || handle->server->closing)
    return 0;
  server_stop(handle->server);
  task_cancel(host_of(L), handle->keeper, "the server was closed");
  return 0;
}

/* The methods are the upvalue. */
static int l_index(lua_State *L) {
  const Handle *handle = luaL_checkudata(L, 1, SERVER_CLASS);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "port") == 0) {
    lua_pushinteger(L, handle->port);
  } else if (strcmp(key, "address") == 0) {
    lua_pushstring(L, handle->address);
  } else {
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

void server_close(Host *host) {
  if (host->servers == NULL)
    return;
  while (host->servers->first != NULL)
    server_stop(host->servers->first);
  free(host->servers);
  host->servers = NULL;
}

int luaopen_host_server(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "close", l_close }, { "__close", l_close }, { "__gc", l_close }, { NULL, NULL }
  };
  static const luaL_Reg module[] = { { "listen", l_listen }, { NULL, NULL } };
  host_class(L, SERVER_CLASS, methods);
  luaL_getmetatable(L, SERVER_CLASS);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, l_index, 1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, module);
  return 1;
}

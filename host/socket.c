/* TCP streams, as Lua calls them: host.socket. What libuv does with a connection is in socket_connection.c, how one is
 * made in socket_connect.c, how one is accepted in socket_listen.c. */
#include "socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CLOSED "the stream is closed"

Stream *stream_push(lua_State *L) {
  Stream *stream = lua_newuserdatauv(L, sizeof *stream, 0);
  memset(stream, 0, sizeof *stream);
  luaL_setmetatable(L, STREAM_CLASS);
  return stream;
}

int socket_port_option(lua_State *L, int least, int fallback) {
  lua_getfield(L, 1, "port");
  lua_Integer port = lua_isnil(L, -1) ? fallback : lua_tointeger(L, -1);
  if ((!lua_isnil(L, -1) && !lua_isinteger(L, -1)) || port < least || port > 65535)
    luaL_error(L, "option 'port' is %s, expected an integer from %d to 65535", luaL_tolstring(L, -1, NULL), least);
  lua_pop(L, 1);
  return (int)port;
}

struct Sockets *sockets_of(Host *host) {
  if (host->sockets == NULL)
    host->sockets = calloc(1, sizeof *host->sockets);
  return host->sockets;
}

static Stream *check_stream(lua_State *L) {
  return luaL_checkudata(L, 1, STREAM_CLASS);
}

static Stream *check_open(lua_State *L) {
  Stream *stream = check_stream(L);
  luaL_argcheck(L, stream->connection != NULL, 1, CLOSED);
  return stream;
}

/* ---- Reading. */

static int fail_to_read(lua_State *L, int err) {
  return host_fail_uv(L, err, "cannot read from the peer");
}

/* [-0, +1|+3, m] L: stream, most or nil. What is there, or the end, or why there is none. */
static int push_unread(lua_State *L, Connection *c) {
  size_t count = c->unread.size - c->taken;
  if (count == 0 && c->failure != 0)
    return fail_to_read(L, c->failure);
  if (count == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_Integer most = lua_isnil(L, 2) ? LUA_MAXINTEGER : lua_tointeger(L, 2);
  if ((lua_Unsigned)most < count)
    count = (size_t)most;
  lua_pushlstring(L, c->unread.data + c->taken, count);
  c->taken += count;
  if (c->taken < c->unread.size)
    return 1;
  c->taken = 0;
  buffer_reset(&c->unread);
  connection_read(c); /* a failure is told by the next read */
  return 1;
}

static void on_read_cancelled(Wait *wait) {
  Stream *stream = (Stream *)((char *)wait - offsetof(Stream, read));
  stream->is_reading = false;
}

static int finish_read(lua_State *L, Wait *wait) {
  (void)wait;
  Stream *stream = lua_touserdata(L, 1);
  stream->is_reading = false;
  if (stream->connection != NULL)
    return push_unread(L, stream->connection);
  lua_pushnil(L); /* closed by another task */
  return 1;
}

static int l_read(lua_State *L) {
  Stream *stream = check_open(L);
  luaL_argcheck(L, luaL_optinteger(L, 2, 1) > 0, 2, "must be positive");
  luaL_argcheck(L, !stream->is_reading, 1, "another task is reading from the stream");
  lua_settop(L, 2);
  task_check(L);
  Connection *c = stream->connection;
  if (connection_is_readable(c))
    return push_unread(L, c);
  int err = connection_read(c);
  if (err != 0)
    return fail_to_read(L, err);
  stream->is_reading = true;
  return task_wait(L, &stream->read, on_read_cancelled, finish_read);
}

/* ---- Writing. */

static int push_written(lua_State *L, int err) {
  if (err != 0)
    return host_fail_uv(L, err, "cannot write to the peer");
  lua_pushboolean(L, 1);
  return 1;
}

/* Nobody knows how much of the text the peer has got. */
static void on_write_cancelled(Wait *wait) {
  Stream *stream = (Stream *)((char *)wait - offsetof(Stream, write));
  stream->is_writing = false;
  connection_release(stream->connection);
}

static int finish_write(lua_State *L, Wait *wait) {
  (void)wait;
  Stream *stream = lua_touserdata(L, 1);
  stream->is_writing = false;
  return push_written(L, stream->write_error);
}

static void on_written(uv_write_t *write, int err) {
  Stream *stream = ((Connection *)write->handle)->stream;
  if (stream == NULL)
    return; /* closed meanwhile */
  stream->write_error = err;
  task_wake(&stream->write);
}

/* L: stream, text. What the kernel does not take at once stays on this stack while libuv needs it. */
static int l_write(lua_State *L) {
  Stream *stream = check_open(L);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  luaL_argcheck(L, !stream->is_writing, 1, "another task is writing to the stream");
  lua_settop(L, 2);
  task_check(L);
  Connection *c = stream->connection;
  c->host->sent_inside |= !c->outside;
  uv_buf_t rest = uv_buf_init((char *)text, (unsigned)length);
  int taken = uv_try_write((uv_stream_t *)&c->tcp, &rest, 1);
  if (taken < 0 && taken != UV_EAGAIN)
    return push_written(L, taken);
  if (taken > 0)
    rest = uv_buf_init((char *)text + taken, (unsigned)(length - (size_t)taken));
  if (rest.len == 0)
    return push_written(L, 0);
  int err = uv_write(&c->write, (uv_stream_t *)&c->tcp, &rest, 1, on_written);
  if (err != 0)
    return push_written(L, err);
  stream->is_writing = true;
  return task_wait(L, &stream->write, on_write_cancelled, finish_write);
}

/* ---- Ending. */

static int l_shutdown(lua_State *L) {
  Stream *stream = check_open(L);
  luaL_argcheck(L, !stream->is_writing, 1, "another task is writing to the stream");
  uv_os_fd_t fd;
  int err = uv_fileno((const uv_handle_t *)&stream->connection->tcp, &fd);
  if (err == 0 && shutdown(fd, SHUT_WR) != 0)
    err = uv_translate_sys_error(errno);
  if (err != 0)
    return host_fail_uv(L, err, "cannot end what is sent to the peer");
  lua_pushboolean(L, 1);
  return 1;
}

static int l_close(lua_State *L) {
  const Stream *stream = check_stream(L);
  if (stream->connection != NULL)
    connection_release(stream->connection);
  return 0;
}

static int l_reset(lua_State *L) {
  const Stream *stream = check_stream(L);
  if (stream->connection != NULL)
    connection_reset(stream->connection);
  return 0;
}

/* ---- The module. */

/* [-0, +1, -] `peer`, or a method */
static int l_index(lua_State *L) {
  const Stream *stream = check_stream(L);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL && lua_rawequal(L, 2, lua_upvalueindex(2)))
    lua_pushstring(L, stream->peer);
  return 1;
}

bool socket_is_outside(const Host *host) {
  if (host->sockets == NULL)
    return false;
  const Connection *c = host->sockets->connections;
  while (c != NULL && !(c->outside && (c->stream->read.task != NULL || c->stream->write.task != NULL || c->connecting)))
    c = c->next;
  return c != NULL || connecting_is_outside(host->sockets);
}

void sockets_close(Host *host) {
  struct Sockets *sockets = host->sockets;
  if (sockets == NULL)
    return;
  while (sockets->listeners != NULL)
    listener_release(sockets->listeners);
  while (sockets->connecting != NULL)
    connecting_drop(sockets->connecting);
  while (sockets->connections != NULL)
    connection_release(sockets->connections);
  free(sockets);
  host->sockets = NULL;
}

static void stream_class(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "read", l_read },   { "write", l_write }, { "shutdown", l_shutdown }, { "close", l_close },
    { "reset", l_reset }, { "__gc", l_close },  { "__close", l_close },     { NULL, NULL },
  };
  host_class(L, STREAM_CLASS, methods);
  lua_getfield(L, -1, "__index");
  lua_pushliteral(L, "peer");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int luaopen_host_socket(lua_State *L) {
  static const luaL_Reg functions[] = { { "connect", l_socket_connect },
                                        { "listen", l_socket_listen },
                                        { NULL, NULL } };
  stream_class(L);
  listener_class(L);
  luaL_newlib(L, functions);
  return 1;
}

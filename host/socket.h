/* What the parts of host.socket share: socket.c, socket_connection.c, socket_connect.c and socket_listen.c. */
#ifndef MOONSAIL_SOCKET_H
#define MOONSAIL_SOCKET_H

#include "alarm.h"
#include "buffer.h"
#include "listening.h"
#include "task.h"

#define STREAM_CLASS "host.Stream"
#define LISTENER_CLASS "host.Listener"

typedef struct Connection Connection;
typedef struct Connecting Connecting;
typedef struct Listener Listener;

struct Sockets {
  Connection *connections;
  Connecting *connecting;
  Listener *listeners;
};

/* What Lua holds of a connection. One task may read and one may write at a time. */
typedef struct Stream {
  Connection *connection; /* NULL once closed */
  Wait read, write;
  bool is_reading, is_writing;
  int write_error;
  char peer[64];
} Stream;

/* Lives until its handle is closed; the stream only points to it. */
struct Connection {
  uv_tcp_t tcp; /* first: libuv's callbacks get this address */
  uv_connect_t connect;
  uv_write_t write;
  Host *host;
  Stream *stream; /* NULL once closed */
  Connection *next, **link;
  Buffer unread;
  size_t taken; /* of what is unread, from its beginning */
  int failure;  /* of reading; a libuv error number */
  bool ended;   /* the peer sends no more */
  bool reading; /* libuv reads ahead */
  bool connecting;
  bool outside; /* its other end is not in this process */
};

/* ---- socket.c */

/* [-0, +1, m] A closed stream. */
Stream *stream_push(lua_State *L);

/* [-0, +0, e] The option, an integer from `least` to `most`, or `fallback`, of the table at index 1. */
int socket_port_option(lua_State *L, int least, int fallback);

/* The host's sockets; NULL when out of memory. */
struct Sockets *sockets_of(Host *host);

/* ---- socket_connection.c */

/* A new one for the stream; NULL when out of memory. */
Connection *connection_new(Host *host, Stream *stream);

/* It is connected: notes the peer. */
void connection_begin(Connection *connection);

/* Reads ahead until there is more than enough; a libuv error number. */
int connection_read(Connection *connection);

static inline bool connection_is_readable(const Connection *c) {
  return c->unread.size > c->taken || c->ended || c->failure != 0;
}

/* Closes it; who waits for it is told. */
void connection_release(Connection *connection);

/* The same, and the peer gets a reset instead of an orderly end. */
void connection_reset(Connection *connection);

/* ---- socket_connect.c */

int l_socket_connect(lua_State *L);

/* Forgets an attempt that no task waits for any more. */
void connecting_drop(Connecting *connecting);

/* Whether the name of a peer is being looked up. */
bool connecting_is_outside(const struct Sockets *sockets);

/* ---- socket_listen.c */

int l_socket_listen(lua_State *L);

void listener_release(Listener *listener);

/* [-0, +0, m] Makes the class. */
void listener_class(lua_State *L);

#endif

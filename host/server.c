/* An HTTP server whose handlers are tasks. Owns libmicrohttpd's daemons, the watch on each one's epoll descriptor, and
 * every exchange: a request from its headers to the end of its answer. What HTTP means is libmicrohttpd's affair.
 *
 * libmicrohttpd runs only in pump(): when its descriptor is readable, and once more at the end of a turn in which
 * handlers have ended. A handler that does not wait is answered on the spot. For one that does, libmicrohttpd is left
 * to ask again at its next runs, so that all who waited for one commit are answered in one pass; only when it takes
 * longer is its connection suspended, since that costs system calls both ways. */
#include "alarm.h"
#include "host.h"
#include "library.h"
#include "task.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_CLASS "host.Server"

enum {
  CONNECTION_BYTES = 32 * 1024, /* for a request's headers and its answer's, so also the limit of both */
  HEADER_BYTES = 8 * 1024,      /* of an answer, so that it fits into the above beside the request's */
  SPARE_BYTES = 16 * 1024,      /* the buffer that an exchange may keep for the next request */
  PATIENCE = 4,                 /* passes in which a waiting handler is asked for its answer before it is suspended */
};

#define MHD_FUNCTIONS(X)                                                                                               \
  X(MHD_add_response_header)                                                                                           \
  X(MHD_create_response_from_buffer)                                                                                   \
  X(MHD_destroy_response)                                                                                              \
  X(MHD_get_connection_info)                                                                                           \
  X(MHD_get_connection_values_n)                                                                                       \
  X(MHD_get_daemon_info)                                                                                               \
  X(MHD_get_reason_phrase_for)                                                                                         \
  X(MHD_get_response_headers)                                                                                          \
  X(MHD_get_timeout)                                                                                                   \
  X(MHD_lookup_connection_value)                                                                                       \
  X(MHD_queue_response)                                                                                                \
  X(MHD_resume_connection)                                                                                             \
  X(MHD_run)                                                                                                           \
  X(MHD_start_daemon)                                                                                                  \
  X(MHD_stop_daemon)                                                                                                   \
  X(MHD_suspend_connection)

typedef struct Microhttpd {
  MHD_FUNCTIONS(LIBRARY_MEMBER)
} Microhttpd;

typedef struct Server Server;
typedef struct Exchange Exchange;

struct Servers {
  Microhttpd mhd;
  TurnHook hook; /* one for all servers, so that it needs no server to be alive */
  Server *first;
};

/* What Lua holds; its user values are the functions. It is in the registry, by its own address, while open. */
typedef struct Handle {
  Wait wait;      /* of the server's own task, which is the parent of the handlers */
  Server *server; /* NULL once closed */
  Task *keeper;
  int port;
  char address[INET6_ADDRSTRLEN];
} Handle;

enum { HANDLER = 1, ON_ERROR = 2, REJECT = 3 };

struct Server {
  uv_poll_t poll; /* first: its close callback frees the whole */
  Alarm alarm;    /* libmicrohttpd's next timeout */
  Host *host;
  const Microhttpd *mhd;
  struct MHD_Daemon *daemon;
  Handle *handle;
  Server *next;
  Exchange *exchanges; /* from the first header to the end of the answer or, if later, of the handler */
  Exchange *spare;
  size_t max_body;
  unsigned pass; /* counts the calls of pump */
  unsigned run;  /* counts those of MHD_run */
  bool due;      /* an answer is ready, or a timeout: pump at the end of the turn */
  bool late;     /* an answer was queued that libmicrohttpd will only write when it runs again */
  bool waiting;  /* libmicrohttpd has asked for an answer that was not there yet */
  bool pumping;
  bool closing; /* closed by a handler while pumping */
};

struct Exchange {
  Server *server;                    /* NULL once it has closed */
  struct MHD_Connection *connection; /* NULL once the client has gone */
  Exchange *previous, *next;
  struct MHD_Response *response; /* until it is queued */
  unsigned status;
  unsigned run;  /* in which it began */
  unsigned pass; /* in which its handler was started */
  bool started;
  bool running;
  bool suspended;
  const char *method, *path; /* while the request is made */
  char *buffer;              /* the request's body, and then the answer's, until that is sent */
  size_t length, capacity;
};

/* ---- Exchanges. */

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
  free(x->buffer);
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
  if (x->capacity > SPARE_BYTES) {
    free(x->buffer);
    x->buffer = NULL;
    x->capacity = 0;
  }
  *x = (Exchange){ .next = server->spare, .buffer = x->buffer, .capacity = x->capacity };
  server->spare = x;
}

static bool exchange_append(Exchange *x, const char *data, size_t size) {
  if (x->length + size > x->capacity) {
    size_t capacity = x->capacity * 2 > 1024 ? x->capacity * 2 : 1024;
    if (capacity < x->length + size)
      capacity = x->length + size;
    char *buffer = realloc(x->buffer, capacity);
    if (buffer == NULL)
      return false;
    x->buffer = buffer;
    x->capacity = capacity;
  }
  memcpy(x->buffer + x->length, data, size);
  x->length += size;
  return true;
}

/* ---- Functions of the user. */

/* [-0, +1, -] */
static void push_function(lua_State *L, const Server *server, int which) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, server->handle);
  lua_getiuservalue(L, -1, which);
  lua_remove(L, -2);
}

/* L: server, error, traceback or nil */
static int tell(lua_State *L) {
  const Server *server = lua_touserdata(L, 1);
  const char *traceback = lua_tostring(L, 3);
  push_function(L, server, ON_ERROR);
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

/* [-2, +0, -] L: error, traceback or nil */
static void report(lua_State *L, const Server *server) {
  lua_pushcfunction(L, tell);
  lua_insert(L, -3);
  lua_pushlightuserdata(L, (void *)server);
  lua_insert(L, -3);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK)
    lua_pop(L, 1); /* nobody is left to tell that on_error has failed */
}

/* ---- Answers: from a Lua table to libmicrohttpd's response. */

static bool is_token(const char *name, size_t length) {
  size_t allowed = strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  return length > 0 && allowed == length;
}

static bool is_field_value(const char *value, size_t length) {
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)value[i];
    if ((c < ' ' && c != '\t') || c == 0x7f)
      return false;
  }
  return true;
}

/* Whether the length and coding of the body is what this header speaks of: those are not the handler's to say. */
static bool is_framing(const char *name) {
  return strcasecmp(name, "content-length") == 0 || strcasecmp(name, "transfer-encoding") == 0;
}

/* L: ..., name, value. Returns the bytes it takes. */
static size_t add_header(lua_State *L, const Exchange *x) {
  size_t name_length, length;
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &name_length) : NULL;
  if (name == NULL || !is_token(name, name_length))
    luaL_error(L, "a header name is not an HTTP token: '%s'", luaL_tolstring(L, -2, NULL));
  if (is_framing(name))
    luaL_error(L, "header '%s' is made from the body: leave it out", name);
  const char *value = lua_isstring(L, -1) ? luaL_tolstring(L, -1, &length) : NULL;
  if (value == NULL)
    luaL_error(L, "header '%s' is a %s, expected a string", name, luaL_typename(L, -1));
  if (!is_field_value(value, length))
    luaL_error(L, "header '%s' has a control character in its value", name);
  if (length > 0 && x->server->mhd->MHD_add_response_header(x->response, name, value) != MHD_YES)
    luaL_error(L, "header '%s: %s' cannot be sent", name, value);
  lua_pop(L, 1);
  return name_length + length + 4;
}

static void add_headers(lua_State *L, int headers, const Exchange *x) {
  size_t size = 0;
  lua_pushnil(L);
  while (lua_next(L, headers) != 0) {
    size += add_header(L, x);
    if (size > HEADER_BYTES)
      luaL_error(L, "the headers are larger than %d KiB", HEADER_BYTES / 1024);
    lua_pop(L, 1);
  }
}

/* L: exchange, answer -> body. What it raises is the fault of whoever made the answer. */
static int build_response(lua_State *L) {
  Exchange *x = lua_touserdata(L, 1);
  if (!lua_istable(L, 2))
    luaL_error(L, "the answer is a %s, expected a table such as { status = 200, body = \"...\" }", luaL_typename(L, 2));
  lua_settop(L, 2);
  lua_getfield(L, 2, "status");
  lua_getfield(L, 2, "headers");
  lua_getfield(L, 2, "body");
  x->status = lua_isnil(L, 3) ? MHD_HTTP_OK : (unsigned)lua_tointeger(L, 3);
  if (!lua_isnil(L, 3) && (!lua_isinteger(L, 3) || x->status < 200 || x->status > 599))
    luaL_error(L, "the answer's status is %s, expected an integer from 200 to 599", luaL_tolstring(L, 3, NULL));
  if (!lua_isnil(L, 4) && !lua_istable(L, 4))
    luaL_error(L, "the answer's headers are a %s, expected a table", luaL_typename(L, 4));
  if (!lua_isnil(L, 5) && lua_type(L, 5) != LUA_TSTRING)
    luaL_error(L, "the answer's body is a %s, expected a string", luaL_typename(L, 5));
  size_t length = 0;
  const char *body = lua_tolstring(L, 5, &length);
  x->length = 0;
  if (length == 0 || exchange_append(x, body, length))
    x->response = x->server->mhd->MHD_create_response_from_buffer(length, x->buffer, MHD_RESPMEM_PERSISTENT);
  if (x->response == NULL)
    luaL_error(L, "not enough memory for an answer of %I bytes", (LUAI_UACINT)length);
  if (lua_istable(L, 4))
    add_headers(L, 4, x);
  lua_settop(L, 5);
  return 1;
}

static void drop_response(Exchange *x) {
  if (x->response != NULL)
    x->server->mhd->MHD_destroy_response(x->response);
  x->response = NULL;
}

/* L: exchange, status, message -> body. The server's own answer, as `reject` wants it. */
static int build_rejection(lua_State *L) {
  const Exchange *x = lua_touserdata(L, 1);
  push_function(L, x->server, REJECT);
  if (lua_isnil(L, -1)) {
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "status");
    lua_pushfstring(L, "%s\n", lua_tostring(L, 3));
    lua_setfield(L, -2, "body");
    lua_replace(L, 2);
  } else {
    lua_insert(L, 2);
    lua_call(L, 2, 1);
  }
  lua_settop(L, 2);
  return build_response(L);
}

/* [-0, +1, -] Answers with an error and leaves its body, or nil, on the stack. Should `reject` fail, it is an empty
 * 500. */
static void reject(lua_State *L, Exchange *x, int status, const char *message) {
  lua_pushcfunction(L, build_rejection);
  lua_pushlightuserdata(L, x);
  lua_pushinteger(L, status);
  lua_pushstring(L, message);
  if (lua_pcall(L, 3, 1, 0) == LUA_OK)
    return;
  drop_response(x);
  lua_pushnil(L);
  report(L, x->server);
  x->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  x->response = x->server->mhd->MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  lua_pushnil(L);
}

static enum MHD_Result queue_response(Exchange *x) {
  Server *server = x->server;
  if (x->response == NULL)
    return MHD_NO; /* no memory even for an empty answer: the connection is closed */
  enum MHD_Result result = server->mhd->MHD_queue_response(x->connection, x->status, x->response);
  drop_response(x);
  server->late = server->late || x->run != server->run;
  return result;
}

/* ---- Requests: from libmicrohttpd's connection to a Lua table. */

static int hex_digit(char c) {
  return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* [-0, +1, m] What is not a proper %XX stays as it is. libmicrohttpd has already made spaces of each plus. */
static void push_decoded(lua_State *L, const char *text, size_t size) {
  if (text == NULL || memchr(text, '%', size) == NULL) {
    lua_pushlstring(L, text, text == NULL ? 0 : size);
    return;
  }
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, size);
  size_t length = 0;
  for (size_t i = 0; i < size; i++) {
    bool escaped =
        text[i] == '%' && size - i > 2 && isxdigit((unsigned char)text[i + 1]) && isxdigit((unsigned char)text[i + 2]);
    out[length++] = escaped ? (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2])) : text[i];
    i += escaped ? 2 : 0;
  }
  luaL_pushresultsize(&buffer, length);
}

/* [-0, +1, m] */
static void push_lower(lua_State *L, const char *text, size_t size) {
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, size);
  for (size_t i = 0; i < size; i++)
    out[i] = (char)tolower((unsigned char)text[i]);
  luaL_pushresultsize(&buffer, size);
}

/* L: headers, name, value. A repeated header is one list. */
static void set_header(lua_State *L, int headers) {
  lua_pushvalue(L, -2);
  if (lua_rawget(L, headers) == LUA_TNIL) {
    lua_pop(L, 1);
  } else {
    lua_insert(L, -2);
    lua_pushliteral(L, ", ");
    lua_insert(L, -2);
    lua_concat(L, 3);
  }
  lua_rawset(L, headers);
}

/* Where push_request puts the tables. */
enum { QUERY = 2, HEADERS = 3 };

/* libmicrohttpd holds nothing while it iterates, so that an error of Lua may pass through it. */
static enum MHD_Result on_field(void *data, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                const char *value, size_t value_size) {
  lua_State *L = data;
  if (kind == MHD_GET_ARGUMENT_KIND) {
    push_decoded(L, name, name_size);
    push_decoded(L, value, value_size);
    lua_rawset(L, QUERY);
  } else {
    push_lower(L, name, name_size);
    lua_pushlstring(L, value, value_size);
    set_header(L, HEADERS);
  }
  return MHD_YES;
}

/* [-0, +1, m] */
static void push_peer(lua_State *L, const Exchange *x) {
  const union MHD_ConnectionInfo *info =
      x->server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char text[INET6_ADDRSTRLEN] = "";
  if (info != NULL && info->client_addr->sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)info->client_addr)->sin_addr, text, sizeof text);
  else if (info != NULL && info->client_addr->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr, text, sizeof text);
  lua_pushstring(L, text);
}

/* L: exchange -> exchange, query, headers, request */
static void push_request(lua_State *L, const Exchange *x) {
  const Microhttpd *mhd = x->server->mhd;
  lua_newtable(L);
  lua_createtable(L, 0, mhd->MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, NULL, NULL));
  mhd->MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND, on_field, L);
  lua_createtable(L, 0, 6);
  lua_pushstring(L, x->method);
  lua_setfield(L, -2, "method");
  lua_pushstring(L, x->path);
  lua_setfield(L, -2, "path");
  lua_pushvalue(L, QUERY);
  lua_setfield(L, -2, "query");
  lua_pushvalue(L, HEADERS);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, x->buffer, x->length);
  lua_setfield(L, -2, "body");
  push_peer(L, x);
  lua_setfield(L, -2, "address");
}

/* ---- Handlers. */

/* [-0, +0, -] On top of `co`: what the handler returned or raised. */
static void take_answer(Host *host, Exchange *x, lua_State *co, bool ok) {
  lua_State *L = host->L;
  if (ok) {
    lua_pushcfunction(L, build_response);
    lua_pushlightuserdata(L, x);
    lua_xmove(co, L, 1);
    ok = lua_pcall(L, 2, 1, 0) == LUA_OK;
    if (!ok)
      lua_pushnil(L);
  } else {
    lua_xmove(co, L, 1);
    task_push_traceback(L);
  }
  if (!ok) {
    drop_response(x);
    report(L, x->server);
    reject(L, x, MHD_HTTP_INTERNAL_SERVER_ERROR, "the server failed to answer this request");
  }
  lua_pop(L, 1);
}

/* The answer is queued when libmicrohttpd asks again, which it does when it runs. */
static void on_handler_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  Exchange *x = data;
  Server *server = x->server;
  x->running = false;
  if (server == NULL) {
    exchange_end(x);
    return;
  }
  if (ok && count == 0)
    lua_pushnil(co);
  else if (ok)
    lua_pop(co, count - 1);
  take_answer(host, x, co, ok);
  if (x->connection == NULL) {
    drop_response(x);
    exchange_end(x);
    return;
  }
  if (x->suspended)
    server->mhd->MHD_resume_connection(x->connection);
  x->suspended = false;
  if (!server->pumping) {
    server->due = true;
    host_after_turn(host, &host->servers->hook);
  }
}

/* L: exchange -> task */
static int start_task(lua_State *L) {
  Exchange *x = lua_touserdata(L, 1);
  push_request(L, x);
  push_function(L, x->server, HANDLER);
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
    report(L, x->server);
    reject(L, x, MHD_HTTP_SERVICE_UNAVAILABLE, "the server has no memory left for this request");
    lua_pop(L, 1);
    return;
  }
  Task *task = lua_touserdata(L, -1);
  lua_pop(L, 1);
  x->running = true;
  task_run_now(host, task);
}

/* ---- Bodies that are too large. */

static const char *const too_large = "the request's body is larger than the server accepts";

static enum MHD_Result on_response_header(void *data, enum MHD_ValueKind kind, const char *name, const char *value) {
  luaL_Buffer *buffer = data;
  (void)kind;
  luaL_addstring(buffer, name);
  luaL_addstring(buffer, ": ");
  luaL_addstring(buffer, value);
  luaL_addstring(buffer, "\r\n");
  return MHD_YES;
}

/* L: exchange, body -> the whole answer as it goes over the wire */
static int serialize(lua_State *L) {
  const Exchange *x = lua_touserdata(L, 1);
  const Microhttpd *mhd = x->server->mhd;
  luaL_Buffer buffer;
  lua_pushfstring(L, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %I\r\n", (int)x->status,
                  mhd->MHD_get_reason_phrase_for(x->status), (LUAI_UACINT)lua_rawlen(L, 2));
  luaL_buffinit(L, &buffer);
  lua_pushvalue(L, 3);
  luaL_addvalue(&buffer);
  mhd->MHD_get_response_headers(x->response, on_response_header, &buffer);
  luaL_addstring(&buffer, "\r\n");
  lua_pushvalue(L, 2);
  luaL_addvalue(&buffer);
  luaL_pushresult(&buffer);
  return 1;
}

/* In the middle of a body libmicrohttpd takes no answer, it only closes. So the answer is written past it. */
static enum MHD_Result refuse_midway(Exchange *x) {
  Server *server = x->server;
  lua_State *L = server->host->L;
  int top = lua_gettop(L);
  lua_pushcfunction(L, serialize);
  lua_pushlightuserdata(L, x);
  reject(L, x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
  if (x->response != NULL && lua_pcall(L, 2, 1, 0) == LUA_OK) {
    const union MHD_ConnectionInfo *info =
        server->mhd->MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    size_t length;
    const char *answer = lua_tolstring(L, -1, &length);
    if (info != NULL)
      (void)!send(info->connect_fd, answer, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  lua_settop(L, top);
  drop_response(x);
  return MHD_NO;
}

static enum MHD_Result refuse_early(Exchange *x) {
  lua_State *L = x->server->host->L;
  reject(L, x, MHD_HTTP_CONTENT_TOO_LARGE, too_large);
  lua_pop(L, 1);
  return queue_response(x);
}

/* ---- What libmicrohttpd calls. */

static enum MHD_Result begin_exchange(Server *server, struct MHD_Connection *connection, void **context) {
  Exchange *x = exchange_new(server, connection);
  if (x == NULL)
    return MHD_NO;
  *context = x;
  x->run = server->run;
  const char *length = server->mhd->MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "content-length");
  if (length != NULL && strtoull(length, NULL, 10) > server->max_body)
    return refuse_early(x);
  return MHD_YES;
}

static enum MHD_Result take_body(Exchange *x, const char *data, size_t *size) {
  if (x->length + *size > x->server->max_body)
    return refuse_midway(x);
  if (!exchange_append(x, data, *size))
    return MHD_NO;
  *size = 0;
  return MHD_YES;
}

static enum MHD_Result answer(Exchange *x) {
  if (!x->running)
    return queue_response(x);
  x->server->waiting = true;
  if (!x->suspended && x->server->pass - x->pass >= PATIENCE) {
    x->suspended = true;
    x->server->mhd->MHD_suspend_connection(x->connection);
  }
  return MHD_YES;
}

/* Called with the headers, with each piece of the body, and from then on until there is an answer. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path, const char *method,
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

static void on_completed(void *data, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
  (void)data, (void)connection, (void)code;
  Exchange *x = *context;
  if (x == NULL)
    return;
  *context = NULL;
  x->connection = NULL;
  drop_response(x);
  if (!x->running)
    exchange_end(x); /* else when its handler has ended */
}

/* Paths stay as they were sent, and the query is decoded in push_decoded. */
static size_t keep_escaped(void *data, struct MHD_Connection *connection, char *text) {
  (void)data, (void)connection;
  return strlen(text);
}

/* ---- Running and stopping. */

static void on_poll_closed(uv_handle_t *handle) {
  free(handle);
}

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

static void end_exchanges(Server *server) {
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

/* Frees the server, at once or when pump has finished. */
static void stop(Server *server) {
  lua_State *L = server->host->L;
  server->closing = true;
  if (server->pumping)
    return;
  unlink_server(server);
  alarm_cancel(server->host, &server->alarm);
  uv_poll_stop(&server->poll);
  end_exchanges(server);
  release(L, server->handle);
  uv_close((uv_handle_t *)&server->poll, on_poll_closed);
}

static void pump(Server *server) {
  server->pumping = true;
  server->due = false;
  server->waiting = false;
  server->pass++;
  do {
    server->late = false;
    server->run++;
    server->mhd->MHD_run(server->daemon);
  } while (server->late && !server->closing);
  server->pumping = false;
  if (server->closing)
    stop(server);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  Server *server = (Server *)poll;
  Host *host = server->host;
  pump(server);
  if (host->servers->first != NULL)
    host_after_turn(host, &host->servers->hook);
}

static void on_alarm(Host *host, Alarm *alarm) {
  Server *server = (Server *)((char *)alarm - offsetof(Server, alarm));
  server->due = true;
  host_after_turn(host, &host->servers->hook);
  uv_stop(&host->loop); /* timers run before the loop blocks in its poll: this turn must not */
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

static void on_turn_end(Host *host, TurnHook *hook) {
  (void)hook;
  Server *due;
  while ((due = next_due(host)) != NULL)
    pump(due); /* may close any of them */
  for (Server *server = host->servers->first; server != NULL; server = server->next)
    set_alarm(server);
}

/* ---- The server's own task, from listen to close: the handlers' parent. */

static void keep_cancel(Wait *wait) {
  Handle *handle = (Handle *)wait;
  if (handle->server != NULL)
    stop(handle->server);
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

typedef struct Settings {
  struct sockaddr_storage address;
  size_t max_body;
  unsigned idle_timeout_s;
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
  if (uv_ip4_addr(address, port, (struct sockaddr_in *)&settings->address) != 0 &&
      uv_ip6_addr(address, port, (struct sockaddr_in6 *)&settings->address) != 0)
    luaL_error(L, "option 'address' is \"%s\", expected an IPv4 or IPv6 address such as 127.0.0.1 or ::1", address);
  lua_pop(L, 1);
  settings->max_body = (size_t)integer_option(L, "max_body", 1024 * 1024, 0, (lua_Integer)1 << 40);
  settings->idle_timeout_s = (unsigned)integer_option(L, "idle_timeout", 60, 1, 1000000);
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
static int open_socket(const Settings *settings) {
  const struct sockaddr *address = (const struct sockaddr *)&settings->address;
  bool v6 = address->sa_family == AF_INET6;
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (v6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, address, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) == 0 &&
      listen(fd, SOMAXCONN) == 0)
    return fd;
  int err = -errno;
  close(fd);
  return err;
}

static void read_address(Handle *handle, const struct sockaddr_storage *address) {
  bool v6 = address->ss_family == AF_INET6;
  handle->port =
      ntohs(v6 ? ((const struct sockaddr_in6 *)address)->sin6_port : ((const struct sockaddr_in *)address)->sin_port);
  uv_ip_name((const struct sockaddr *)address, handle->address, sizeof handle->address);
}

static void read_bound_address(Handle *handle, int fd) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
    read_address(handle, &address);
}

/* The daemon owns the socket from here on, except when it is not started. */
static struct MHD_Daemon *start_daemon(Server *server, int fd, const Settings *settings) {
  return server->mhd->MHD_start_daemon(
      MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server, /* options: */
      MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, settings->max_connections,
      MHD_OPTION_CONNECTION_TIMEOUT, settings->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      (size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
      MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL, MHD_OPTION_END);
}

/* Returns NULL, with the socket closed, when memory or descriptors are short. */
static Server *server_new(Host *host, Handle *handle, int fd, const Settings *settings) {
  Server *server = calloc(1, sizeof *server);
  if (server == NULL)
    goto calloc_failed;
  server->host = host;
  server->mhd = &host->servers->mhd;
  server->handle = handle;
  server->max_body = settings->max_body;
  server->daemon = start_daemon(server, fd, settings);
  if (server->daemon == NULL)
    goto start_daemon_failed;
  const union MHD_DaemonInfo *info = server->mhd->MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == NULL || uv_poll_init(&host->loop, &server->poll, info->epoll_fd) != 0)
    goto uv_poll_init_failed;
  uv_poll_start(&server->poll, UV_READABLE, on_readable);
  server->next = host->servers->first;
  host->servers->first = server;
  return server;
uv_poll_init_failed:
  server->mhd->MHD_stop_daemon(server->daemon); /* closes the socket */
  free(server);
  return NULL;
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
  servers->hook.run = on_turn_end;
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
  int fd = open_socket(&settings);
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
  stop(handle->server);
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
    stop(host->servers->first);
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

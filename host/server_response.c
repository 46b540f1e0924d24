/* Answers: a handler's table, or the server's own rejection, as libmicrohttpd's response. */
#include "server.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static bool is_token(const char *name) {
  const char *c = name;
  while (isalnum((unsigned char)*c) || (*c != '\0' && strchr("-_!#$%&'*+.^`|~", *c) != NULL))
    c++;
  return c > name && *c == '\0';
}

static bool is_field_value(const char *value) {
  while (*value == '\t' || !iscntrl((unsigned char)*value))
    value++;
  return *value == '\0';
}

/* Whether the length and coding of the body is what this header speaks of: those are not the handler's to say. */
static bool is_framing(const char *name) {
  return strcasecmp(name, "content-length") == 0 || strcasecmp(name, "transfer-encoding") == 0;
}

/* [-0, +0, m] What is wrong with name and value on top of L, or NULL; then both are strings without a zero byte. */
static const char *header_fault(lua_State *L) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  const char *value = lua_tostring(L, -1);
  if (!is_token(name) || strlen(name) != lua_rawlen(L, -2))
    return "has a name that is not an HTTP token";
  if (is_framing(name))
    return "is made from the body: leave it out";
  if (value == NULL)
    return "has a value that is not a string";
  if (!is_field_value(value) || strlen(value) != lua_rawlen(L, -1))
    return "has a control character in its value";
  return NULL;
}

/* L: ..., name, value. An empty value cannot be sent, and is not missed. */
static void add_header(lua_State *L, const Exchange *x) {
  const char *fault = header_fault(L);
  if (fault == NULL && lua_rawlen(L, -1) > 0 &&
      x->server->mhd->MHD_add_response_header(x->response, lua_tostring(L, -2), lua_tostring(L, -1)) != MHD_YES)
    fault = "cannot be sent";
  if (fault != NULL)
    luaL_error(L, "header '%s' %s", luaL_tolstring(L, -2, NULL), fault);
}

static void add_headers(lua_State *L, int headers, const Exchange *x) {
  size_t size = 0;
  lua_pushnil(L);
  while (lua_next(L, headers) != 0) {
    add_header(L, x);
    size += lua_rawlen(L, -2) + lua_rawlen(L, -1) + 4;
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
  buffer_reset(&x->body);
  if (length == 0 || buffer_add(&x->body, body, length))
    x->response = x->server->mhd->MHD_create_response_from_buffer(length, x->body.data, MHD_RESPMEM_PERSISTENT);
  if (x->response == NULL)
    luaL_error(L, "not enough memory for an answer of %I bytes", (LUAI_UACINT)length);
  if (lua_istable(L, 4))
    add_headers(L, 4, x);
  lua_settop(L, 5);
  return 1;
}

void response_drop(Exchange *x) {
  if (x->response != NULL)
    x->server->mhd->MHD_destroy_response(x->response);
  x->response = NULL;
}

/* L: exchange, status, message -> body. The server's own answer, as `reject` wants it. */
static int build_rejection(lua_State *L) {
  const Exchange *x = lua_touserdata(L, 1);
  server_push_function(L, x->server, REJECT);
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

void response_reject(lua_State *L, Exchange *x, int status, const char *message) {
  lua_pushcfunction(L, build_rejection);
  lua_pushlightuserdata(L, x);
  lua_pushinteger(L, status);
  lua_pushstring(L, message);
  if (lua_pcall(L, 3, 1, 0) == LUA_OK)
    return;
  response_drop(x);
  lua_pushnil(L);
  server_report(L, x->server);
  x->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  x->response = x->server->mhd->MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  lua_pushnil(L);
}

enum MHD_Result response_queue(Exchange *x) {
  Server *server = x->server;
  if (x->response == NULL)
    return MHD_NO; /* no memory even for an empty answer: the connection is closed */
  enum MHD_Result result = server->mhd->MHD_queue_response(x->connection, x->status, x->response);
  response_drop(x);
  x->answered = true;
  x->since_ms = uv_now(&server->host->loop);
  server->again = server->again || x->run != server->run; /* an answer given later is not written in the same run */
  return result;
}

void response_take(Host *host, Exchange *x, lua_State *co, bool ok) {
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
    response_drop(x);
    server_report(L, x->server);
    response_reject(L, x, MHD_HTTP_INTERNAL_SERVER_ERROR, "the server failed to answer this request");
  }
  lua_pop(L, 1);
}

/* ---- Refusing a request of which not all has come. */

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

void response_write(Server *server, int fd, int status, const char *message) {
  lua_State *L = server->host->L;
  int top = lua_gettop(L);
  Exchange x = { .server = server };
  lua_pushcfunction(L, serialize);
  lua_pushlightuserdata(L, &x);
  response_reject(L, &x, status, message);
  if (x.response != NULL && lua_pcall(L, 2, 1, 0) == LUA_OK) {
    size_t length;
    const char *answer = lua_tolstring(L, -1, &length);
    (void)!send(fd, answer, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  lua_settop(L, top);
  response_drop(&x);
  buffer_free(&x.body);
}

enum MHD_Result response_refuse_midway(Exchange *x, int status, const char *message) {
  int fd = peer_socket(x->server, x->connection);
  response_write(x->server, fd, status, message);
  shutdown(fd, SHUT_WR);
  visitor_linger(x->server, fd);
  return MHD_NO;
}

enum MHD_Result response_refuse_early(Exchange *x, int status, const char *message) {
  lua_State *L = x->server->host->L;
  response_reject(L, x, status, message);
  lua_pop(L, 1);
  visitor_linger(x->server, peer_socket(x->server, x->connection));
  return response_queue(x);
}

/* The request as a handler gets it: a Lua table of what libmicrohttpd has parsed. */
#include "server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

static int hex_digit(char c) {
  return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Whether `text`, of `size` bytes, begins with a proper %XX. */
static bool is_escape(const char *text, size_t size) {
  return size > 2 && text[0] == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]);
}

/* [-0, +1, m] What is not a proper %XX stays as it is. libmicrohttpd has already made spaces of each plus. */
static void push_decoded(lua_State *L, const char *text, size_t size) {
  if (text == NULL || memchr(text, '%', size) == NULL) {
    lua_pushlstring(L, text, text == NULL ? 0 : size);
    return;
  }
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t i = 0; i < size; i++) {
    if (is_escape(text + i, size - i)) {
      luaL_addchar(&buffer, (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      luaL_addchar(&buffer, text[i]);
    }
  }
  luaL_pushresult(&buffer);
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

/* Where request_push puts the tables. */
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

void request_push(lua_State *L, const Exchange *x) {
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
  lua_pushlstring(L, x->body.data, x->body.size);
  lua_setfield(L, -2, "body");
  push_peer(L, x);
  lua_setfield(L, -2, "address");
}

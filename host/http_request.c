/* Reads a request as Lua wrote it, and refuses what could send something else than it seems to say. */
#include "http.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_TIMEOUT 30.0
#define DEFAULT_CONNECT_TIMEOUT 10.0
#define DEFAULT_MAX_BYTES (16 * 1024 * 1024)
#define MOST_SECONDS 1e6
#define MOST_BYTES ((lua_Integer)1 << 40)
#define MOST_REDIRECTS 50

int request_fault(lua_State *L, const char *field, const char *fault) {
  return luaL_argerror(L, REQUEST, lua_pushfstring(L, "field '%s' %s", field, fault));
}

static bool has_control(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)text[i] < ' ' && text[i] != '\t')
      return true;
    if (text[i] == '\x7f')
      return true;
  }
  return false;
}

/* A name in HTTP's sense: no blanks, no separators. */
static bool is_token(const char *text, size_t length) {
  static const char marks[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (!alphanumeric && (c == '\0' || strchr(marks, c) == NULL))
      return false;
  }
  return length > 0;
}

/* Stricter than libcurl, which guesses schemes and takes credentials. */
static const char *url_fault(const char *url, size_t length) {
  size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)url[i] <= ' ' || url[i] == '\x7f')
      return "has a blank or a control character in it; percent-encode it";
  }
  if (scheme == 0)
    return "is not a URL that begins with http:// or https://";
  size_t host = strcspn(url + scheme, "/?#");
  if (memchr(url + scheme, '@', host) != NULL)
    return "has credentials in it; send them in a header instead";
  if (host == 0)
    return "names no host";
  return NULL;
}

static void check_url(lua_State *L, Request *r) {
  if (lua_isnil(L, URL))
    request_fault(L, "url", "is missing");
  r->url = lua_tolstring(L, URL, &r->url_length);
  const char *fault = url_fault(r->url, r->url_length);
  if (fault != NULL)
    request_fault(L, "url", fault);
}

static void check_method(lua_State *L, Request *r) {
  r->body = lua_tolstring(L, BODY, &r->body_length);
  size_t length = 0;
  r->method = lua_isnil(L, METHOD) ? (r->body != NULL ? "POST" : "GET") : lua_tolstring(L, METHOD, &length);
  if (lua_isnil(L, METHOD))
    return;
  bool capitals = is_token(r->method, length);
  for (size_t i = 0; i < length; i++)
    capitals = capitals && (r->method[i] < 'a' || r->method[i] > 'z');
  if (!capitals || strcmp(r->method, "CONNECT") == 0)
    request_fault(L, "method", "is not the name of a method in capitals, such as \"POST\"");
  if (r->body != NULL && strcmp(r->method, "HEAD") == 0)
    request_fault(L, "body", "cannot go with the method HEAD");
}

/* L: ..., name, value. Checks one header. */
static void check_header(lua_State *L, Request *r) {
  if (lua_type(L, -2) != LUA_TSTRING)
    request_fault(L, "headers", "has a name that is not a string");
  size_t name_length, length;
  const char *name = lua_tolstring(L, -2, &name_length);
  if (!is_token(name, name_length))
    request_fault(L, "headers", "has a name with a character that a header's name cannot have");
  if (lua_type(L, -1) != LUA_TSTRING)
    request_fault(L, "headers",
                  lua_pushfstring(L, "has a %s as the value of '%s', not a string", luaL_typename(L, -1), name));
  const char *value = lua_tolstring(L, -1, &length);
  if (has_control(value, length))
    request_fault(L, "headers", lua_pushfstring(L, "has a control character in the value of '%s'", name));
  if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
    request_fault(L, "headers", lua_pushfstring(L, "has '%s', which follows from the body; leave it out", name));
  r->given |= transfer_own_line(name);
  r->header_count++;
  r->header_size += name_length + length + 3; /* ": " and NUL */
}

static void check_headers(lua_State *L, Request *r) {
  if (lua_isnil(L, HEADERS))
    return;
  for (lua_pushnil(L); lua_next(L, HEADERS) != 0; lua_pop(L, 1))
    check_header(L, r);
}

static lua_Number seconds_of(lua_State *L, const char *field) {
  lua_Number seconds = lua_tonumber(L, -1);
  if (!(seconds > 0))
    request_fault(L, field, "is not a number of seconds above 0");
  return fmin(seconds, MOST_SECONDS);
}

static lua_Integer integer_of(lua_State *L, const char *field, lua_Integer most) {
  int whole;
  lua_Integer n = lua_tointegerx(L, -1, &whole);
  if (!whole || n < 0 || n > most)
    request_fault(L, field, lua_pushfstring(L, "is not a whole number from 0 to %I", (LUAI_UACINT)most));
  return n;
}

/* L: as in enum REQUEST, then name, value. */
static void read_field(lua_State *L, Request *r) {
  static const struct {
    const char *name;
    int type;
    int slot; /* where the value is kept */
  } fields[] = {
    { "url", LUA_TSTRING, URL },     { "method", LUA_TSTRING, METHOD },     { "headers", LUA_TTABLE, HEADERS },
    { "body", LUA_TSTRING, BODY },   { "on_data", LUA_TFUNCTION, ON_DATA }, { "timeout", LUA_TNUMBER, 0 },
    { "max_bytes", LUA_TNUMBER, 0 }, { "redirects", LUA_TNUMBER, 0 },       { "connect_timeout", LUA_TNUMBER, 0 },
  };
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  size_t i = 0;
  while (i < LIBRARY_COUNT(fields) && strcmp(fields[i].name, name) != 0)
    i++;
  if (i == LIBRARY_COUNT(fields))
    luaL_argerror(L, REQUEST, lua_pushfstring(L, "there is no field '%s'", luaL_tolstring(L, -2, NULL)));
  if (lua_type(L, -1) != fields[i].type)
    request_fault(L, name,
                  lua_pushfstring(L, "is a %s, not a %s", luaL_typename(L, -1), lua_typename(L, fields[i].type)));
  if (fields[i].slot != 0)
    lua_copy(L, -1, fields[i].slot);
  else if (strcmp(name, "timeout") == 0)
    r->timeout = seconds_of(L, name);
  else if (strcmp(name, "connect_timeout") == 0)
    r->connect_timeout = seconds_of(L, name);
  else if (strcmp(name, "max_bytes") == 0)
    r->max_bytes = integer_of(L, name, MOST_BYTES);
  else
    r->redirects = integer_of(L, name, MOST_REDIRECTS);
}

Request request_read(lua_State *L) {
  Request r = { .timeout = DEFAULT_TIMEOUT,
                .connect_timeout = DEFAULT_CONNECT_TIMEOUT,
                .max_bytes = DEFAULT_MAX_BYTES };
  luaL_checktype(L, REQUEST, LUA_TTABLE);
  lua_settop(L, STREAM);
  for (lua_pushnil(L); lua_next(L, REQUEST) != 0; lua_pop(L, 1))
    read_field(L, &r);
  check_url(L, &r);
  check_method(L, &r);
  check_headers(L, &r);
  return r;
}

/* JSON that an API can trust. Decoding is lua-cjson's, and this file is all that touches it; but it decodes 3 as
 * 3.0, rounds integers beyond 2^53, makes the same of [] and {}, takes bad UTF-8 and names no paths. So a scanner
 * (json_scan.c) goes over the text first: it finds every fault, and puts what cjson would lose into a marked string; a
 * walk over cjson's result then brings back the integers, the marked values and the lists. Writing is all our own
 * (json_write.c). */
#include "json.h"

#include "host.h"
#include "json_scan.h"
#include "json_write.h"

#include <lua-cjson.h>

enum {
  DEEPEST = 1000, /* nesting that a caller may ask for: one level costs some of the C stack */
  WIDEST_INDENT = 16,
};

/* Keys of the registry. */
static const char decode_key, list_key;

/* ---- Null and lists. */

bool json_is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

void json_push_list_mark(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &list_key) != LUA_TNIL)
    return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "json.list");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &list_key);
}

bool json_is_list(lua_State *L, int index) {
  if (!lua_getmetatable(L, index))
    return false;
  json_push_list_mark(L);
  bool list = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return list;
}

/* ---- Bringing back what cjson lost. */

/* What cjson made, on its way to what the text says. */
typedef struct Restore {
  lua_State *L;
  int list_mark;  /* where it is on the stack */
  bool marks;     /* there may be marked strings */
  size_t members; /* of all objects that are left */
} Restore;

static void restore_table(Restore *r);

/* "\xFF" => an empty object; "\xFF1.0" => 1.0 */
static void restore_marked(lua_State *L, const char *value) {
  if (*value != '\0')
    lua_stringtonumber(L, value);
  else
    lua_newtable(L);
  lua_remove(L, -2);
}

/* value => restored value; true when it is another one. */
static bool restore_value(Restore *r) {
  lua_State *L = r->L;
  switch (lua_type(L, -1)) {
  case LUA_TNUMBER: {
    lua_Number number = lua_tonumber(L, -1); /* what is too large for this was marked */
    lua_Integer integer = (lua_Integer)number;
    if ((lua_Number)integer != number)
      return false;
    lua_pop(L, 1);
    lua_pushinteger(L, integer);
    return true;
  }
  case LUA_TSTRING: {
    const char *text = r->marks ? lua_tostring(L, -1) : "";
    if (*text != JSON_MARK)
      return false;
    restore_marked(L, text + 1);
    return true;
  }
  case LUA_TTABLE: restore_table(r); return false;
  default: return false;
  }
}

static void restore_items(Restore *r, lua_Integer length) {
  for (lua_Integer i = 1; i <= length; i++) {
    lua_rawgeti(r->L, -1, i);
    if (restore_value(r))
      lua_rawseti(r->L, -2, i);
    else
      lua_pop(r->L, 1);
  }
}

/* Returns how many there are. */
static size_t restore_members(Restore *r) {
  lua_State *L = r->L;
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, -2); count++) { /* table, key, value */
    if (restore_value(r)) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
  return count;
}

/* An empty object was marked, so that a table without members is a list. */
static void restore_table(Restore *r) {
  luaL_checkstack(r->L, 6, NULL);
  lua_Integer length = (lua_Integer)lua_rawlen(r->L, -1);
  size_t members = length > 0 ? 0 : restore_members(r);
  r->members += members;
  if (members > 0)
    return;
  restore_items(r, length);
  lua_pushvalue(r->L, r->list_mark);
  lua_setmetatable(r->L, -2);
}

/* ---- Decoding. */

static void push_cjson_decode(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &decode_key) != LUA_TNIL)
    return;
  lua_pop(L, 1);
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1); /* an instance of our own */
  lua_getfield(L, -1, "decode_max_depth");
  lua_pushinteger(L, DEEPEST);
  lua_call(L, 1, 0);
  lua_getfield(L, -1, "decode");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &decode_key);
  lua_remove(L, -2);
}

static Scan new_scan(lua_State *L, int index, int max_depth) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  return (Scan){ .L = L, .text = text, .end = text + length, .max_depth = max_depth };
}

/* ..., message => nil, message, code */
static int fail(lua_State *L, int base) {
  lua_insert(L, base + 1);
  lua_settop(L, base + 1);
  lua_pushnil(L);
  lua_insert(L, base + 1);
  lua_pushliteral(L, "json");
  return 3;
}

/* [-0, +1|+3, m] as json_decode */
static int decode(lua_State *L, int index, int max_depth) {
  int base = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  Scan scan = new_scan(L, index, max_depth);
  if (!json_scan(&scan))
    return fail(L, base);

  json_push_list_mark(L);
  push_cjson_decode(L); /* list mark, decode */
  int decode_at = lua_gettop(L);
  Restore restore = { .L = L, .list_mark = decode_at - 1, .marks = scan.marked != NULL };
  lua_pushvalue(L, decode_at);
  if (scan.marked != NULL)
    json_scan_push_marked(&scan);
  else
    lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  restore_value(&restore);
  if (restore.members != scan.members) { /* cjson kept the last of several members of one name */
    scan = new_scan(L, index, max_depth);
    scan.decode = decode_at;
    if (!json_scan(&scan))
      return fail(L, base);
  }
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
  return 1;
}

int json_decode(lua_State *L, int index) {
  return decode(L, lua_absindex(L, index), JSON_DEPTH);
}

/* ---- Encoding. */

/* [-0, +1, e] */
static void encode(lua_State *L, int index, int indent) {
  Writer w;
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, NULL);
  writer_open(&w, L);
  w.indent = indent;
  lua_pushvalue(L, index);
  writer_value(&w);
  lua_pushlstring(L, w.data, w.length);
  lua_replace(L, w.slot);
  lua_settop(L, w.slot);
}

/* ---- host.json. */

static int option(lua_State *L, const char *name, int fallback, int least, int most) {
  if (lua_isnoneornil(L, 2))
    return fallback;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (lua_getfield(L, 2, name) == LUA_TNIL)
    return fallback;
  int valid;
  lua_Integer value = lua_tointegerx(L, -1, &valid);
  if (!valid || value < least || value > most)
    luaL_error(L, "%s must be an integer from %d to %d", name, least, most);
  return (int)value;
}

static int l_decode(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  return decode(L, 1, option(L, "max_depth", JSON_DEPTH, 1, DEEPEST));
}

static int l_encode(lua_State *L) {
  luaL_checkany(L, 1);
  encode(L, 1, option(L, "indent", 0, 0, WIDEST_INDENT));
  return 1;
}

static int l_list(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getmetatable(L, 1) && !json_is_list(L, 1))
    luaL_argerror(L, 1, "the table has a metatable of its own");
  json_push_list_mark(L);
  lua_setmetatable(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int l_is_list(lua_State *L) {
  lua_pushboolean(L, lua_istable(L, 1) && json_is_list(L, 1));
  return 1;
}

/* All light userdata have one metatable; it is the host's, and null the only one that scripts see. */
static int l_null_tostring(lua_State *L) {
  lua_pushstring(L, json_is_null(L, 1) ? "null" : "light userdata");
  return 1;
}

static void push_null(lua_State *L) {
  lua_pushlightuserdata(L, NULL);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, l_null_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
}

static const luaL_Reg functions[] = {
  { "decode", l_decode }, { "encode", l_encode }, { "list", l_list }, { "is_list", l_is_list }, { NULL, NULL },
};

int luaopen_host_json(lua_State *L) {
  luaL_newlib(L, functions);
  push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}

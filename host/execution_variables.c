/* The variables of a request: by name, or as a list of entries; sent as a list, sorted by name, each name once. */
#include "execution.h"
#include "execution_check.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* An entry as it is sent. A key, a value and a brace complete it. */
#define PLAIN "{\"key\":"
#define ENCRYPTED "{\"encrypted\":true,\"key\":"
#define VALUE ",\"value\":"

#define MASK "\"••••\""

static const char NAME[] = "the name of a variable";
static const char SCALAR[] = "a string, a number or a boolean";

static void put(Check *c, const char *piece) {
  writer_put(c->out, piece, strlen(piece));
}

/* ---- One variable. */

static bool is_key(const char *key, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (iscntrl((unsigned char)key[i]) || key[i] == '=')
      return false;
  }
  return length > 0 && text_is_utf8(key, length);
}

/* [-0, +0, -] the key on the top, or "" when it is none */
static const char *key_at_top(lua_State *L, size_t *length) {
  const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, length) : NULL;
  if (key != NULL && is_key(key, *length))
    return key;
  *length = 0;
  return "";
}

static void check_key(Check *c, const char *expected) {
  size_t length;
  const char *key = key_at_top(c->L, &length);
  if (length > 0)
    writer_string(c->out, key, length);
  else
    check_fault_value(c, expected, NULL);
}

static void check_encrypted(Check *c, const char *expected) {
  if (!lua_isnil(c->L, -1) && !lua_isboolean(c->L, -1))
    check_fault_value(c, expected, NULL);
}

/* The map on the top is a whole entry, or one whose key is known. */
static void check_entry(Check *c, const Key *key) {
  static const char *const names[] = { "key", "encrypted", "value" };
  int skipped = key != NULL ? 1 : 0, count = 3 - skipped;
  if (!check_map(c, names + skipped, count, key != NULL ? SCALAR : "{ key = …, value = … }"))
    return;
  int value = lua_gettop(c->L), encrypted = value - 1; /* entry, key?, encrypted, value */
  check_member(c, "encrypted", encrypted, check_encrypted, "true or false");
  put(c, lua_toboolean(c->L, encrypted) ? ENCRYPTED : PLAIN);
  if (key != NULL)
    writer_string(c->out, key->text, key->length);
  else
    check_member(c, "key", encrypted - 1, check_key, NAME);
  put(c, VALUE);
  check_member(c, "value", value, check_scalar, SCALAR);
  put(c, "}");
  lua_pop(c->L, count);
}

/* variables => variables */
static void check_named(Check *c, const Key *key) {
  static const Key nameless = { "", 0, 0 };
  if (!is_key(key->text, key->length)) {
    check_fault(c, "this name", NAME);
    key = &nameless; /* its value is checked all the same */
  }
  if (lua_istable(c->L, -1)) {
    check_entry(c, key);
    return;
  }
  put(c, PLAIN);
  writer_string(c->out, key->text, key->length);
  put(c, VALUE);
  check_scalar(c, SCALAR);
  put(c, "}");
}

/* The key is that of the entry before too. */
static void fault_twice(Check *c, const Key *key, lua_Integer before) {
  char quoted[TEXT_QUOTE_SIZE], found[TEXT_QUOTE_SIZE + 64];
  Step step = { .outer = c->step, .key = "key", .length = strlen("key") };
  text_quote(quoted, key->text, key->length);
  snprintf(found, sizeof found, "string %s, which is item %lld too", quoted, (long long)before);
  c->step = &step;
  check_fault(c, found, "each variable once");
  c->step = step.outer;
}

/* ---- All variables. */

/* list => list: notes what each entry is sorted by, its key, or "" when that is at fault */
static void note_keys(lua_State *L, Key keys[], size_t count) {
  for (size_t i = 0; i < count; i++) {
    keys[i].index = (lua_Integer)i + 1;
    if (lua_rawgeti(L, -1, keys[i].index) == LUA_TTABLE) {
      lua_pushliteral(L, "key");
      lua_rawget(L, -2);
      lua_remove(L, -2);
    }
    keys[i].text = key_at_top(L, &keys[i].length);
    lua_pop(L, 1);
  }
}

/* variables => variables: those of a map */
static void check_all_named(Check *c, const Key keys[], size_t count) {
  for (size_t i = 0; i < count; i++) {
    Step step = { .outer = c->step, .key = keys[i].text, .length = keys[i].length };
    c->step = &step;
    writer_put_byte(c->out, i == 0 ? '[' : ',');
    lua_pushlstring(c->L, keys[i].text, keys[i].length);
    lua_rawget(c->L, -2);
    check_named(c, &keys[i]);
    lua_pop(c->L, 1);
    c->step = step.outer;
  }
}

/* variables => variables: those of a list, where one name may come twice */
static void check_all_entries(Check *c, const Key keys[], size_t count) {
  for (size_t i = 0; i < count; i++) {
    const Key *key = &keys[i];
    Step step = { .outer = c->step, .index = key->index };
    c->step = &step;
    writer_put_byte(c->out, i == 0 ? '[' : ',');
    lua_rawgeti(c->L, -1, key->index);
    check_entry(c, NULL);
    if (i > 0 && key->length > 0 && key->length == key[-1].length && memcmp(key->text, key[-1].text, key->length) == 0)
      fault_twice(c, key, key[-1].index);
    lua_pop(c->L, 1);
    c->step = step.outer;
  }
}

void check_variables(Check *c, const char *expected) {
  lua_State *L = c->L;
  int variables = lua_gettop(L);
  Key few[FEW_KEYS], *keys = few;
  Shape shape;
  if (!check_table(c, expected, few, FEW_KEYS, &shape))
    return;
  size_t count = shape.names + shape.items;
  if (count == 0) {
    put(c, "[]");
    return;
  }
  if (count > FEW_KEYS) {
    keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
    lua_pushvalue(L, variables);
    shape_of(L, keys, count);
  }
  if (shape.items > 0)
    note_keys(L, keys, count);
  keys_sort(keys, count);
  if (shape.items > 0)
    check_all_entries(c, keys, count);
  else
    check_all_named(c, keys, count);
  put(c, "]");
  lua_settop(L, variables);
}

/* ---- The mask. */

/* From its first quote to behind its last. */
static const char *skip_string(const char *p) {
  for (p++; *p != '"'; p++)
    p += *p == '\\';
  return p + 1;
}

/* Quotes in strings are escaped, and so what begins an entry is found nowhere else. */
void execution_push_masked(lua_State *L, const ExecutionRequest *request) {
  const char *p = request->bytes;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (const char *found; (found = strstr(p, ENCRYPTED)) != NULL;) {
    const char *value = skip_string(found + strlen(ENCRYPTED)) + strlen(VALUE);
    luaL_addlstring(&b, p, (size_t)(value - p));
    luaL_addstring(&b, MASK);
    p = skip_string(value);
  }
  luaL_addstring(&b, p);
  luaL_pushresult(&b);
}

/* The values of a request: names, revisions, the ids of actions and the like; for dates see execution_date.c. */
#include "execution_check.h"

#include "nearest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Text. */

/* What the string on the top is expected to be and is not, or NULL. */
static const char *string_fault(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  if (text_skip_plain(text) == text + length)
    return NULL;
  if (memchr(text, '\0', length) != NULL)
    return "text without a zero byte";
  return text_is_utf8(text, length) ? NULL : "text in good UTF-8";
}

static void write_string(Check *c) {
  size_t length;
  const char *text = lua_tolstring(c->L, -1, &length);
  writer_string(c->out, text, length);
}

static bool is_text(Check *c, const char *expected) {
  const char *fault = lua_type(c->L, -1) == LUA_TSTRING ? string_fault(c->L) : expected;
  if (fault != NULL)
    check_fault_value(c, fault, NULL);
  return fault == NULL;
}

bool check_is_name(Check *c, const char *expected) {
  if (!is_text(c, expected))
    return false;
  const char *name = lua_tostring(c->L, -1), *p = name;
  while (*p != '\0' && !iscntrl((unsigned char)*p))
    p++;
  if (*name != '\0' && *p == '\0')
    return true;
  check_fault_value(c, expected, NULL);
  return false;
}

/* The string on the top is sent if it is good. */
static void write_if(Check *c, bool good, const char *expected) {
  if (good)
    write_string(c);
  else
    check_fault_value(c, expected, NULL);
}

void check_text(Check *c, const char *expected) {
  if (is_text(c, expected))
    write_string(c);
}

void check_name(Check *c, const char *expected) {
  if (check_is_name(c, expected))
    write_string(c);
}

/* ---- Values of certain forms. */

void check_boolean(Check *c, const char *expected) {
  if (lua_isboolean(c->L, -1))
    writer_value(c->out);
  else
    check_fault_value(c, expected, NULL);
}

void check_priority(Check *c, const char *expected) {
  static const char *const priorities[] = { "LOW", "NORMAL", "HIGH" };
  enum { COUNT = sizeof priorities / sizeof *priorities };
  if (!check_is_name(c, expected))
    return;
  size_t length;
  const char *priority = lua_tolstring(c->L, -1, &length);
  for (int i = 0; i < COUNT; i++) {
    if (strcmp(priority, priorities[i]) == 0) {
      write_string(c);
      return;
    }
  }
  check_fault_value(c, expected, nearest_of(priority, length, priorities, COUNT));
}

void check_revision(Check *c, const char *expected) {
  if (!check_is_name(c, expected))
    return;
  const char *revision = lua_tostring(c->L, -1);
  size_t length = strlen(revision), digits = strspn(revision, "0123456789abcdefABCDEF");
  write_if(c, strcmp(revision, "HEAD") == 0 || (digits == length && length >= 4 && length <= 40), expected);
}

/* 5.0 is one too; "5" is not, and 0 stands for whatever else is none. */
static lua_Integer integer_at_top(lua_State *L) {
  return lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, NULL) : 0;
}

static bool is_pull_request(const char *name) {
  if (strncmp(name, "pull/", strlen("pull/")) != 0)
    return false;
  name += strlen("pull/");
  return *name >= '1' && *name <= '9' && name[strspn(name, "0123456789")] == '\0';
}

/* 1 is short for "pull/1". */
void check_pull_request(Check *c, const char *expected) {
  lua_Integer only = integer_at_top(c->L);
  if (only > 0) {
    writer_put(c->out, "\"pull/", strlen("\"pull/"));
    writer_integer(c->out, only);
    writer_put_byte(c->out, '"');
  } else if (check_is_name(c, expected)) {
    write_if(c, is_pull_request(lua_tostring(c->L, -1)), expected);
  }
}

void check_package(Check *c, const char *expected) {
  if (!check_is_name(c, expected))
    return;
  const char *package = lua_tostring(c->L, -1), *colon = strchr(package, ':');
  write_if(c, colon != NULL && colon > package && colon[1] != '\0', expected);
}

/* A number or a boolean is sent as text. */
static void write_quoted(Check *c) {
  writer_put_byte(c->out, '"');
  writer_value(c->out);
  writer_put_byte(c->out, '"');
}

void check_scalar(Check *c, const char *expected) {
  int type = lua_type(c->L, -1);
  const char *fault = type == LUA_TSTRING ? string_fault(c->L) : NULL;
  if (type == LUA_TNUMBER && !isfinite(lua_tonumber(c->L, -1)))
    check_fault(c, "a number that is not finite", expected);
  else if (fault != NULL)
    check_fault(c, check_kind(c->L), fault);
  else if (type == LUA_TSTRING)
    write_string(c);
  else if (type == LUA_TNUMBER || type == LUA_TBOOLEAN)
    write_quoted(c);
  else
    check_fault(c, check_kind(c->L), expected);
}

/* ---- The ids of actions. */

/* seen, id => seen, id */
static void check_once(Check *c, lua_Integer id, lua_Integer index) {
  lua_State *L = c->L;
  if (lua_rawgeti(L, -2, id) != LUA_TNIL) {
    char found[96];
    snprintf(found, sizeof found, "number %lld, which is item %lld too", (long long)id,
             (long long)lua_tointeger(L, -1));
    check_fault(c, found, "each action once");
  }
  lua_pop(L, 1);
  lua_pushinteger(L, index);
  lua_rawseti(L, -3, id);
}

/* seen, id => seen, id */
static void check_action(Check *c, lua_Integer index) {
  Step step = { .outer = c->step, .index = index };
  c->step = &step;
  lua_Integer id = integer_at_top(c->L);
  if (id > 0) {
    check_once(c, id, index);
    writer_integer(c->out, id);
  } else {
    check_fault_value(c, "the id of an action, a positive integer", NULL);
  }
  c->step = step.outer;
}

void check_actions(Check *c, const char *expected) {
  lua_State *L = c->L;
  Shape shape;
  if (!check_table(c, expected, NULL, 0, &shape))
    return;
  if (shape.items == 0) {
    check_fault(c, shape.names == 0 ? "an empty list" : "a table with names", expected);
    return;
  }
  lua_newtable(L); /* actions, the item that each was seen as */
  for (lua_Integer i = 1; i <= (lua_Integer)shape.items; i++) {
    writer_put_byte(c->out, i == 1 ? '[' : ',');
    lua_rawgeti(L, -2, i);
    check_action(c, i);
    lua_pop(L, 1);
  }
  writer_put_byte(c->out, ']');
  lua_pop(L, 1);
}

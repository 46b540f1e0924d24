/* Writes JSON: the keys of objects in order, so that equal values make equal bytes; the shortest float that reads back
 * the same; and nothing that JSON cannot hold. */
#include "json_write.h"

#include "json.h"
#include "json_scan.h"
#include "shape.h"

#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void writer_open(Writer *w, lua_State *L) {
  lua_pushnil(L);
  w->L = L;
  w->data = w->first;
  w->length = 0;
  w->capacity = sizeof w->first;
  w->slot = lua_gettop(L);
  w->indent = w->depth = 0;
  w->step = NULL;
}

__attribute__((format(printf, 2, 3))) static void refuse(Writer *w, const char *format, ...) {
  char path[PATH_SIZE], what[160];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  size_t length = path_print(path, w->step);
  luaL_error(w->L, "%s%s%s", path, length > 0 ? ": " : "", what);
}

/* ---- Bytes. */

static void grow(Writer *w, size_t more) {
  size_t capacity = w->capacity * 2 + more;
  char *data = lua_newuserdatauv(w->L, capacity, 0);
  memcpy(data, w->data, w->length);
  lua_replace(w->L, w->slot);
  w->data = data;
  w->capacity = capacity;
}

/* Takes room for so many bytes, to be written at once. */
static inline char *take(Writer *w, size_t more) {
  if (w->capacity - w->length < more)
    grow(w, more);
  char *room = w->data + w->length;
  w->length += more;
  return room;
}

void writer_put(Writer *w, const char *bytes, size_t length) {
  memcpy(take(w, length), bytes, length);
}

void writer_put_byte(Writer *w, char byte) {
  *take(w, 1) = byte;
}

static void put_line(Writer *w) {
  if (w->indent == 0)
    return;
  size_t spaces = (size_t)w->indent * (size_t)w->depth;
  char *out = take(w, spaces + 1);
  *out = '\n';
  memset(out + 1, ' ', spaces);
}

/* ---- Strings and numbers. */

static void put_escape(Writer *w, unsigned char c) {
  static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
  const char *found = c == '\0' ? NULL : strchr(plain, c);
  char escape[8];
  if (found != NULL)
    snprintf(escape, sizeof escape, "\\%c", letters[found - plain]);
  else
    snprintf(escape, sizeof escape, "\\u%04x", c);
  writer_put(w, escape, strlen(escape));
}

/* From a byte on that is not simply itself. */
static void put_special(Writer *w, const char *text, const char *p, const char *end) {
  while (p < end) {
    if ((unsigned char)*p < 0x80) {
      put_escape(w, (unsigned char)*p++);
    } else {
      size_t n = text_utf8_length(p);
      if (n == 0)
        refuse(w, "bad UTF-8 at byte %zu of a string", (size_t)(p - text + 1));
      writer_put(w, p, n);
      p += n;
    }
    const char *plain = p;
    p = text_skip_plain(p);
    writer_put(w, plain, (size_t)(p - plain));
  }
}

void writer_string(Writer *w, const char *text, size_t length) {
  size_t plain = (size_t)(text_skip_plain(text) - text);
  char *out = take(w, plain + 1);
  *out = '"';
  memcpy(out + 1, text, plain);
  if (plain < length)
    put_special(w, text, text + plain, text + length);
  writer_put_byte(w, '"');
}

void writer_integer(Writer *w, lua_Integer integer) {
  char digits[24], *p = digits + sizeof digits;
  lua_Unsigned rest = integer < 0 ? 0 - (lua_Unsigned)integer : (lua_Unsigned)integer;
  do {
    *--p = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (integer < 0)
    *--p = '-';
  writer_put(w, p, (size_t)(digits + sizeof digits - p));
}

/* As short as it can be and still read back the same, and read back as a float. */
static void write_float(Writer *w, lua_Number number) {
  char text[40];
  if (!isfinite(number))
    refuse(w, "%s cannot be written as JSON", isnan(number) ? "NaN" : "an infinite number");
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(text, sizeof text, "%.*g", precision, number);
    if (strtod(text, NULL) == number)
      break;
  }
  writer_put(w, text, strlen(text));
  if (strpbrk(text, ".e") == NULL)
    writer_put(w, ".0", 2);
}

/* ---- Objects and lists. */

/* table => table */
static void write_members(Writer *w, Step *step, const Key *keys, size_t count) {
  lua_State *L = w->L;
  int table = lua_gettop(L);
  for (size_t i = 0; i < count; i++) {
    writer_put_byte(w, i == 0 ? '{' : ',');
    put_line(w);
    step->key = keys[i].text;
    step->length = keys[i].length;
    writer_string(w, keys[i].text, keys[i].length);
    writer_put(w, ": ", w->indent > 0 ? 2 : 1);
    lua_pushlstring(L, keys[i].text, keys[i].length);
    lua_rawget(L, table);
    writer_value(w);
    lua_settop(L, table);
  }
}

/* table => table; `few` holds the keys if there is room for them */
static void write_object(Writer *w, Step *step, Key few[FEW_KEYS], size_t count) {
  lua_State *L = w->L;
  if (count <= FEW_KEYS) {
    keys_sort(few, count);
    write_members(w, step, few, count);
    return;
  }
  Key *keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
  lua_pushvalue(L, -2);
  shape_of(L, keys, count);
  keys_sort(keys, count);
  write_members(w, step, keys, count);
  lua_pop(L, 2);
}

/* table => table */
static void write_list(Writer *w, Step *step, size_t count) {
  for (size_t i = 0; i < count; i++) {
    writer_put_byte(w, i == 0 ? '[' : ',');
    put_line(w);
    step->index = (lua_Integer)i + 1;
    lua_rawgeti(w->L, -1, step->index);
    writer_value(w);
    lua_pop(w->L, 1);
  }
}

/* Before a table that holds itself is written without end. */
static void check_nesting(Writer *w, const void *table) {
  for (const Step *step = w->step; step != NULL; step = step->outer) {
    if (step->table == table)
      refuse(w, "a table that holds itself");
  }
  if (w->depth == JSON_DEPTH)
    refuse(w, "nested deeper than %d", JSON_DEPTH);
  luaL_checkstack(w->L, 8, NULL);
}

static void check_shape(Writer *w, const Shape *shape, bool list) {
  if (shape->other != NULL)
    refuse(w, "a key is a %s, and JSON has only strings for keys", shape->other);
  if (shape->names > 0 && list)
    refuse(w, "a table with both items and names is neither a list nor an object");
  if (shape->first < 1)
    refuse(w, "a list with the index %lld, and lists begin at 1", (long long)shape->first);
  if (shape->last > (lua_Integer)shape->items)
    refuse(w, "a list with holes, %zu items up to index %lld; json.null can fill them", shape->items,
           (long long)shape->last);
}

/* table => table */
static void write_table(Writer *w) {
  Key few[FEW_KEYS];
  Step step = { .outer = w->step, .table = lua_topointer(w->L, -1) };
  check_nesting(w, step.table);
  Shape shape = shape_of(w->L, few, FEW_KEYS);
  bool list = shape.items > 0 || json_is_list(w->L, -1);
  check_shape(w, &shape, list);
  if (shape.names + shape.items == 0) {
    writer_put(w, list ? "[]" : "{}", 2);
    return;
  }
  w->step = &step;
  w->depth++;
  if (list)
    write_list(w, &step, shape.items);
  else
    write_object(w, &step, few, shape.names);
  w->step = step.outer;
  w->depth--;
  put_line(w);
  writer_put_byte(w, list ? ']' : '}');
}

void writer_value(Writer *w) {
  lua_State *L = w->L;
  int type = lua_type(L, -1);
  if (type == LUA_TSTRING) {
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    writer_string(w, text, length);
  } else if (type == LUA_TTABLE) {
    write_table(w);
  } else if (type == LUA_TBOOLEAN) {
    bool truth = lua_toboolean(L, -1);
    writer_put(w, truth ? "true" : "false", truth ? 4 : 5);
  } else if (lua_isinteger(L, -1)) {
    writer_integer(w, lua_tointeger(L, -1));
  } else if (type == LUA_TNUMBER) {
    write_float(w, lua_tonumber(L, -1));
  } else if (json_is_null(L, -1)) {
    writer_put(w, "null", 4);
  } else {
    refuse(w, "a %s cannot be written as JSON%s", luaL_typename(L, -1), type == LUA_TNIL ? "; json.null can" : "");
  }
}

/* JSON that an API can trust. Decoding is lua-cjson's, and this file is all that touches it; but it decodes 3 as
 * 3.0, rounds integers beyond 2^53, makes {} of [], takes bad UTF-8 and names no paths. So a scanner goes over the
 * text first: it finds every fault, with its path, and puts what cjson would lose into a marked string; a walk over
 * cjson's result then brings back the integers, the marked values and the lists. Writing is all our own. */
#include "json.h"

#include "host.h"

#include <lua-cjson.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  DEPTH = 128,    /* of nesting, unless the caller says otherwise */
  DEEPEST = 1000, /* that a caller may ask for: one level costs some of the C stack */
  WIDEST_INDENT = 16,
  SAFE_DIGITS = 15, /* as many as any double holds exactly */
  QUOTED = 40,      /* bytes of a text that a message shows, */
  OUTER = 6,        /* and steps of a long path: the outermost */
  INNER = 3,        /* and the innermost */
};

/* Begins a marked string. No document holds it: it is not UTF-8, which cjson does not mind. */
#define MARK '\xFF'

#define ELLIPSIS "…"

/* Keys of the registry. */
static const char decode_key, list_key;

/* One step of the path to a value. They are linked through the C stack, from the innermost to the outermost. */
typedef struct Step {
  const struct Step *outer;
  const char *key; /* NULL in a list */
  size_t length;
  lua_Integer index;
  const void *table; /* being written; unused in decoding */
} Step;

/* ---- Text. */

/* The bytes of a string that are not simply themselves: the end, escapes, control characters, UTF-8. */
static const bool special[256] = { [0 ... 31] = true, ['"'] = true, ['\\'] = true, [128 ... 255] = true };

static const char *skip_plain(const char *p) {
  while (!special[(unsigned char)*p])
    p++;
  return p;
}

static bool is_tail(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

/* The length of the UTF-8 sequence at p, which a zero byte ends; 0 when it is a bad one. */
static size_t utf8_length(const char *p) {
  const unsigned char *s = (const unsigned char *)p;
  if (s[0] < 0x80)
    return 1;
  if (s[0] < 0xC2 || s[0] > 0xF4 || !is_tail(s[1]))
    return 0;
  if (s[0] < 0xE0)
    return 2;
  /* too long a form, half of a surrogate pair, beyond the last code point */
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
      (s[0] == 0xF4 && s[1] > 0x8F) || !is_tail(s[2]))
    return 0;
  if (s[0] < 0xF0)
    return 3;
  return is_tail(s[3]) ? 4 : 0;
}

bool json_is_utf8(const char *text, size_t length) {
  const char *p = text, *end = text + length;
  while (p < end) {
    size_t n = utf8_length(p);
    if (n == 0)
      return false;
    p += n;
  }
  return true;
}

void json_quote(char quoted[JSON_QUOTE_SIZE], const char *text, size_t length) {
  const char *p = text, *end = text + length;
  char *out = quoted, piece[8];
  *out++ = '"';
  while (p < end) {
    size_t n = utf8_length(p), shown = n;
    if (n > 1 || (n == 1 && !special[(unsigned char)*p]))
      memcpy(piece, p, n);
    else
      shown = (size_t)snprintf(piece, sizeof piece, *p == '"' || *p == '\\' ? "\\%c" : "\\x%02X", (unsigned char)*p);
    if (out + shown > quoted + 1 + QUOTED)
      break;
    memcpy(out, piece, shown);
    out += shown;
    p += n > 0 ? n : 1;
  }
  snprintf(out, (size_t)(quoted + JSON_QUOTE_SIZE - out), "%s\"", p < end ? ELLIPSIS : "");
}

/* ---- Paths. */

static bool is_name(const char *key, size_t length) {
  for (size_t i = 0; i < length; i++) {
    char c = key[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
      return false;
  }
  return length > 0 && length <= QUOTED;
}

size_t json_show_key(char *text, size_t size, const char *key, size_t length, bool first) {
  if (is_name(key, length))
    return (size_t)snprintf(text, size, "%s%.*s", first ? "" : ".", (int)length, key);
  char quoted[JSON_QUOTE_SIZE];
  json_quote(quoted, key, length);
  return (size_t)snprintf(text, size, "[%s]", quoted);
}

/* "actions[2].name: ", or nothing for the outermost value: [-0, +1, m] */
static void push_path(lua_State *L, const Step *innermost) {
  char text[(size_t)(OUTER + INNER) * JSON_KEY_SIZE + sizeof ELLIPSIS ": "];
  size_t length = 0, depth = 0;
  for (const Step *step = innermost; step != NULL; step = step->outer)
    depth++;
  for (size_t i = 0; i < depth; i++) {
    if (i == OUTER && i + INNER < depth) {
      length += (size_t)snprintf(text + length, sizeof text - length, ELLIPSIS);
      i = depth - INNER;
    }
    const Step *step = innermost;
    for (size_t up = depth - 1; up > i; up--)
      step = step->outer;
    if (step->key != NULL)
      length += json_show_key(text + length, sizeof text - length, step->key, step->length, i == 0);
    else
      length += (size_t)snprintf(text + length, sizeof text - length, "[%lld]", (long long)step->index);
  }
  length += (size_t)snprintf(text + length, sizeof text - length, "%s", depth > 0 ? ": " : "");
  lua_pushlstring(L, text, length);
}

/* ---- Scanning. */

typedef struct Scan {
  lua_State *L;
  const char *text, *end;
  const char *p;
  const Step *step;
  int depth, max_depth;
  size_t members; /* of all objects */
  bool find_duplicate;
  char *marked;       /* the text as cjson gets it, when that differs: a userdata on the stack */
  size_t length;      /* of marked */
  const char *copied; /* up to where the text is in marked */
} Scan;

static bool scan_value(Scan *s);

/* [-0, +1, m] pushes the message */
static bool fault(Scan *s, const char *at, const char *what) {
  push_path(s->L, s->step);
  lua_pushfstring(s->L, "%s%s at byte %I", lua_tostring(s->L, -1), what, (LUAI_UACINT)(at - s->text) + 1);
  lua_remove(s->L, -2);
  return false;
}

/* The same for a byte that cannot stand where it stands. */
static bool unexpected(Scan *s, const char *what) {
  return fault(s, s->p, s->p == s->end ? "the text ends too early" : what);
}

static void skip_space(Scan *s) {
  while (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')
    s->p++;
}

static const char *skip_digits(const char *p) {
  while (*p >= '0' && *p <= '9')
    p++;
  return p;
}

/* Writes the token that ends at s->p as a marked string with `length` of its bytes. Three bytes more than the token
 * at most; and it has three or more itself, with the byte that parts it from the next, so twice the text is room
 * enough for all. */
static void mark(Scan *s, const char *token, size_t length) {
  if (s->find_duplicate)
    return;
  if (s->marked == NULL) {
    s->marked = lua_newuserdatauv(s->L, 2 * (size_t)(s->end - s->text), 0);
    s->copied = s->text;
  }
  size_t before = (size_t)(token - s->copied);
  char *out = s->marked + s->length;
  memcpy(out, s->copied, before);
  out += before;
  *out++ = '"';
  *out++ = MARK;
  memcpy(out, token, length);
  out += length;
  *out++ = '"';
  s->length = (size_t)(out - s->marked);
  s->copied = s->p;
}

static bool scan_hex4(Scan *s, unsigned *code) {
  *code = 0;
  for (int i = 0; i < 4; i++, s->p++) {
    char c = *s->p, lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9')
      *code = *code * 16 + (unsigned)(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      *code = *code * 16 + (unsigned)(lower - 'a' + 10);
    else
      return unexpected(s, "expected four hexadecimal digits");
  }
  return true;
}

static bool scan_escape(Scan *s) {
  const char *escape = s->p++;
  unsigned code, low;
  if (*s->p == '\0' || strchr("\"\\/bfnrtu", *s->p) == NULL)
    return unexpected(s, "bad escape");
  if (*s->p++ != 'u')
    return true;
  if (!scan_hex4(s, &code))
    return false;
  if (code < 0xD800 || code > 0xDFFF)
    return true;
  if (code > 0xDBFF || s->p[0] != '\\' || s->p[1] != 'u')
    return fault(s, escape, "half of a surrogate pair");
  s->p += 2;
  if (!scan_hex4(s, &low))
    return false;
  return (low >= 0xDC00 && low <= 0xDFFF) || fault(s, escape, "half of a surrogate pair");
}

static bool scan_string(Scan *s) {
  s->p++;
  for (;;) {
    s->p = skip_plain(s->p);
    if (*s->p == '"') {
      s->p++;
      return true;
    }
    if (*s->p == '\\') {
      if (!scan_escape(s))
        return false;
    } else if ((unsigned char)*s->p < 0x80) {
      return unexpected(s, "control character in a string");
    } else {
      size_t n = utf8_length(s->p);
      if (n == 0)
        return fault(s, s->p, "bad UTF-8");
      s->p += n;
    }
  }
}

static bool end_integer(Scan *s, const char *token, const char *digits) {
  size_t n = (size_t)(s->p - digits);
  const char *limit = *token == '-' ? "9223372036854775808" : "9223372036854775807";
  if (n > strlen(limit) || (n == strlen(limit) && memcmp(digits, limit, n) > 0))
    return fault(s, token, "integer beyond 64 bits");
  if (n > SAFE_DIGITS)
    mark(s, token, (size_t)(s->p - token));
  return true;
}

static bool scan_number(Scan *s) {
  const char *token = s->p, *digits = token + (*token == '-');
  s->p = *digits == '0' ? digits + 1 : skip_digits(digits);
  if (s->p == digits)
    return unexpected(s, "expected a digit");
  if (*s->p != '.' && *s->p != 'e' && *s->p != 'E')
    return end_integer(s, token, digits);

  bool integral = true; /* or perhaps so, as a double */
  if (*s->p == '.') {
    const char *fraction = ++s->p;
    s->p = skip_digits(fraction);
    if (s->p == fraction)
      return unexpected(s, "expected a digit");
    integral = strspn(fraction, "0") >= (size_t)(s->p - fraction) || s->p - digits > SAFE_DIGITS + 1;
  }
  if (*s->p == 'e' || *s->p == 'E') {
    s->p++;
    const char *exponent = s->p + (*s->p == '-' || *s->p == '+');
    s->p = skip_digits(exponent);
    if (s->p == exponent)
      return unexpected(s, "expected a digit");
    integral = true;
  }
  if (!integral)
    return true;
  if (!isfinite(strtod(token, NULL)))
    return fault(s, token, "number out of range");
  mark(s, token, (size_t)(s->p - token));
  return true;
}

static bool scan_word(Scan *s, const char *word) {
  for (; *word != '\0'; word++, s->p++) {
    if (*s->p != *word)
      return unexpected(s, "expected a value");
  }
  return true;
}

static bool scan_items(Scan *s, Step *step) {
  for (s->step = step; scan_value(s); step->index++) {
    skip_space(s);
    if (*s->p == ']') {
      s->p++;
      return true;
    }
    if (*s->p != ',')
      return unexpected(s, "expected ',' or ']'");
    s->p++;
  }
  return false;
}

static bool scan_list(Scan *s) {
  const char *token = s->p++;
  skip_space(s);
  if (*s->p == ']') {
    s->p++;
    mark(s, token, 0);
    return true;
  }
  Step step = { .outer = s->step, .index = 1 };
  bool ok = scan_items(s, &step);
  s->step = step.outer;
  return ok;
}

/* [-0, +1, m] */
static void push_cjson_decode(lua_State *L);

/* seen => seen; only once a duplicate is known to be somewhere. */
static bool is_seen(Scan *s, const Step *step) {
  lua_State *L = s->L;
  push_cjson_decode(L);
  lua_pushlstring(L, step->key - 1, step->length + 2); /* in its quotes */
  lua_call(L, 1, 1);
  lua_pushvalue(L, -1); /* seen, key, key */
  bool seen = lua_rawget(L, -3) != LUA_TNIL;
  lua_pop(L, 1);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  return seen;
}

static bool scan_key(Scan *s, Step *step) {
  s->step = step->outer;
  skip_space(s);
  if (*s->p != '"')
    return unexpected(s, "expected a key in quotes");
  const char *key = s->p + 1;
  if (!scan_string(s))
    return false;
  step->key = key;
  step->length = (size_t)(s->p - 1 - key);
  s->step = step;
  s->members++;
  if (s->find_duplicate && is_seen(s, step))
    return fault(s, key - 1, "duplicate key");
  skip_space(s);
  if (*s->p != ':')
    return unexpected(s, "expected ':'");
  s->p++;
  return true;
}

static bool scan_members(Scan *s, Step *step) {
  while (scan_key(s, step) && scan_value(s)) {
    skip_space(s);
    if (*s->p == '}') {
      s->p++;
      return true;
    }
    if (*s->p != ',')
      return unexpected(s, "expected ',' or '}'");
    s->p++;
  }
  return false;
}

static bool scan_object(Scan *s) {
  s->p++;
  skip_space(s);
  if (*s->p == '}') {
    s->p++;
    return true;
  }
  if (s->find_duplicate) {
    luaL_checkstack(s->L, 8, NULL);
    lua_newtable(s->L); /* the keys that were seen */
  }
  Step step = { .outer = s->step };
  bool ok = scan_members(s, &step);
  s->step = step.outer;
  if (ok && s->find_duplicate)
    lua_pop(s->L, 1);
  return ok;
}

static bool scan_nested(Scan *s, bool (*scan)(Scan *s)) {
  if (s->depth == s->max_depth) {
    char what[64];
    snprintf(what, sizeof what, "nested deeper than %d", s->max_depth);
    return fault(s, s->p, what);
  }
  s->depth++;
  bool ok = scan(s);
  s->depth--;
  return ok;
}

static bool scan_value(Scan *s) {
  skip_space(s);
  switch (*s->p) {
  case '{': return scan_nested(s, scan_object);
  case '[': return scan_nested(s, scan_list);
  case '"': return scan_string(s);
  case 't': return scan_word(s, "true");
  case 'f': return scan_word(s, "false");
  case 'n': return scan_word(s, "null");
  default: break;
  }
  bool number = *s->p == '-' || (*s->p >= '0' && *s->p <= '9');
  return number ? scan_number(s) : unexpected(s, "expected a value");
}

static bool scan_text(Scan *s) {
  if (!scan_value(s))
    return false;
  skip_space(s);
  return s->p == s->end || fault(s, s->p, "more text behind the value");
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

static void push_list_metatable(lua_State *L) {
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

/* What cjson made, on its way to what the text says. */
typedef struct Restore {
  lua_State *L;
  int list_metatable; /* where it is on the stack */
  bool marks;         /* there may be marked strings */
  size_t members;     /* of all objects that are left */
} Restore;

static void restore_table(Restore *r);

/* "\xFF" => an empty list; "\xFF1.0" => 1.0 */
static void restore_marked(Restore *r, const char *value) {
  lua_State *L = r->L;
  if (*value != '\0') {
    lua_stringtonumber(L, value);
  } else {
    lua_newtable(L);
    lua_pushvalue(L, r->list_metatable);
    lua_setmetatable(L, -2);
  }
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
    if (*text != MARK)
      return false;
    restore_marked(r, text + 1);
    return true;
  }
  case LUA_TTABLE: restore_table(r); return false;
  default: return false;
  }
}

static void restore_list(Restore *r, lua_Integer length) {
  lua_State *L = r->L;
  for (lua_Integer i = 1; i <= length; i++) {
    lua_rawgeti(L, -1, i);
    if (restore_value(r))
      lua_rawseti(L, -2, i);
    else
      lua_pop(L, 1);
  }
  lua_pushvalue(L, r->list_metatable);
  lua_setmetatable(L, -2);
}

static void restore_object(Restore *r) {
  lua_State *L = r->L;
  lua_pushnil(L);
  while (lua_next(L, -2)) { /* table, key, value */
    r->members++;
    if (restore_value(r)) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
}

static void restore_table(Restore *r) {
  luaL_checkstack(r->L, 6, NULL);
  lua_Integer length = (lua_Integer)lua_rawlen(r->L, -1);
  if (length > 0)
    restore_list(r, length);
  else
    restore_object(r);
}

/* text, ..., message => nil, message, code */
static int fail(lua_State *L, int base) {
  lua_replace(L, base);
  lua_settop(L, base);
  lua_pushnil(L);
  lua_insert(L, base);
  lua_pushliteral(L, "json");
  return 3;
}

static Scan new_scan(lua_State *L, int base, int max_depth) {
  size_t length;
  const char *text = lua_tolstring(L, base, &length);
  return (Scan){ .L = L, .text = text, .p = text, .end = text + length, .max_depth = max_depth };
}

/* text => value, or nil, message, code */
static int decode(lua_State *L, int max_depth) {
  int base = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  Scan scan = new_scan(L, base, max_depth);
  if (!scan_text(&scan))
    return fail(L, base);

  push_list_metatable(L);
  Restore restore = { .L = L, .list_metatable = lua_gettop(L), .marks = scan.marked != NULL };
  push_cjson_decode(L);
  if (scan.marked == NULL) {
    lua_pushvalue(L, base);
  } else {
    memcpy(scan.marked + scan.length, scan.copied, (size_t)(scan.end - scan.copied));
    lua_pushlstring(L, scan.marked, scan.length + (size_t)(scan.end - scan.copied));
  }
  lua_call(L, 1, 1);
  restore_value(&restore);
  if (restore.members != scan.members) { /* cjson kept the last of several members of one name */
    scan = new_scan(L, base, max_depth);
    scan.find_duplicate = true;
    if (!scan_text(&scan))
      return fail(L, base);
  }
  lua_replace(L, base);
  lua_settop(L, base);
  return 1;
}

int json_decode(lua_State *L, const char *text, size_t length) {
  lua_pushlstring(L, text, length);
  return decode(L, DEPTH);
}

/* ---- Encoding. */

typedef struct Writer {
  lua_State *L;
  char *data;
  size_t length, capacity;
  int slot; /* on the stack, for the userdata that holds the data once that is long */
  int indent, depth;
  const Step *step;
} Writer;

typedef struct Key {
  const char *text;
  size_t length;
} Key;

/* What the keys of a table say about it. */
typedef struct Shape {
  size_t names, items;
  lua_Integer first, last;
} Shape;

enum { FEW_KEYS = 24 }; /* are sorted on the C stack */

static void write_value(Writer *w);

__attribute__((format(printf, 2, 3))) static void refuse(Writer *w, const char *format, ...) {
  char what[160];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  push_path(w->L, w->step);
  luaL_error(w->L, "%s%s", lua_tostring(w->L, -1), what);
}

static char *reserve(Writer *w, size_t more) {
  if (w->capacity - w->length < more) {
    size_t capacity = w->capacity * 2 + more;
    char *data = lua_newuserdatauv(w->L, capacity, 0);
    memcpy(data, w->data, w->length);
    lua_replace(w->L, w->slot);
    w->data = data;
    w->capacity = capacity;
  }
  return w->data + w->length;
}

static void put(Writer *w, const char *bytes, size_t length) {
  memcpy(reserve(w, length), bytes, length);
  w->length += length;
}

static void put_byte(Writer *w, char byte) {
  *reserve(w, 1) = byte;
  w->length++;
}

static void put_escape(Writer *w, unsigned char c) {
  static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
  const char *found = c == '\0' ? NULL : strchr(plain, c);
  char escape[8];
  if (found != NULL)
    snprintf(escape, sizeof escape, "\\%c", letters[found - plain]);
  else
    snprintf(escape, sizeof escape, "\\u%04x", c);
  put(w, escape, strlen(escape));
}

static void write_string(Writer *w, const char *text, size_t length) {
  const char *p = text, *end = text + length;
  reserve(w, length + 2);
  put_byte(w, '"');
  for (;;) {
    const char *run = p;
    p = skip_plain(p);
    put(w, run, (size_t)(p - run));
    if (p == end)
      break;
    if ((unsigned char)*p < 0x80) {
      put_escape(w, (unsigned char)*p++);
      continue;
    }
    size_t n = utf8_length(p);
    if (n == 0)
      refuse(w, "bad UTF-8 at byte %zu of a string", (size_t)(p - text + 1));
    put(w, p, n);
    p += n;
  }
  put_byte(w, '"');
}

static void write_integer(Writer *w, lua_Integer integer) {
  char digits[24], *p = digits + sizeof digits;
  lua_Unsigned rest = integer < 0 ? 0 - (lua_Unsigned)integer : (lua_Unsigned)integer;
  do {
    *--p = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (integer < 0)
    *--p = '-';
  put(w, p, (size_t)(digits + sizeof digits - p));
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
  put(w, text, strlen(text));
  if (strpbrk(text, ".e") == NULL)
    put(w, ".0", 2);
}

static void write_line(Writer *w) {
  if (w->indent == 0)
    return;
  size_t spaces = (size_t)w->indent * (size_t)w->depth;
  char *out = reserve(w, spaces + 1);
  *out = '\n';
  memset(out + 1, ' ', spaces);
  w->length += spaces + 1;
}

/* table => table; notes as many keys as there is room for */
static Shape survey(Writer *w, Key *keys, size_t room) {
  lua_State *L = w->L;
  Shape shape = { .first = 1 };
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      if (shape.names < room)
        keys[shape.names].text = lua_tolstring(L, -2, &keys[shape.names].length);
      shape.names++;
    } else if (lua_isinteger(L, -2)) {
      lua_Integer index = lua_tointeger(L, -2);
      shape.items++;
      shape.first = index < shape.first ? index : shape.first;
      shape.last = index > shape.last ? index : shape.last;
    } else {
      refuse(w, "a key is a %s, and JSON has only strings for keys", luaL_typename(L, -2));
    }
  }
  return shape;
}

static int compare_keys(const void *left, const void *right) {
  const Key *a = left, *b = right;
  size_t shorter = a->length < b->length ? a->length : b->length;
  int order = memcmp(a->text, b->text, shorter);
  return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static void sort_keys(Key *keys, size_t count) {
  if (count > FEW_KEYS) {
    qsort(keys, count, sizeof *keys, compare_keys);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    Key key = keys[i];
    size_t place = i;
    for (; place > 0 && compare_keys(&key, &keys[place - 1]) < 0; place--)
      keys[place] = keys[place - 1];
    keys[place] = key;
  }
}

/* table => table; `few` holds the keys if there is room for them */
static void write_object(Writer *w, Step *step, Key *few, size_t count) {
  lua_State *L = w->L;
  int table = lua_gettop(L);
  Key *keys = few;
  if (count > FEW_KEYS) {
    keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
    lua_pushvalue(L, table);
    survey(w, keys, count);
    lua_pop(L, 1);
  }
  sort_keys(keys, count);
  w->step = step;
  for (size_t i = 0; i < count; i++) {
    put_byte(w, i == 0 ? '{' : ',');
    write_line(w);
    step->key = keys[i].text;
    step->length = keys[i].length;
    write_string(w, keys[i].text, keys[i].length);
    put(w, ": ", w->indent > 0 ? 2 : 1);
    lua_pushlstring(L, keys[i].text, keys[i].length);
    lua_rawget(L, table);
    write_value(w);
    lua_pop(L, 1);
  }
  lua_settop(L, table);
}

/* table => table */
static void write_list(Writer *w, Step *step, size_t count) {
  w->step = step;
  for (size_t i = 0; i < count; i++) {
    put_byte(w, i == 0 ? '[' : ',');
    write_line(w);
    step->index = (lua_Integer)i + 1;
    lua_rawgeti(w->L, -1, step->index);
    write_value(w);
    lua_pop(w->L, 1);
  }
}

/* table => table */
static void check_shape(Writer *w, const Shape *shape) {
  if (shape->names > 0 && (shape->items > 0 || json_is_list(w->L, -1)))
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
  for (const Step *outer = step.outer; outer != NULL; outer = outer->outer) {
    if (outer->table == step.table)
      refuse(w, "a table that holds itself");
  }
  if (w->depth == DEPTH)
    refuse(w, "nested deeper than %d", DEPTH);
  luaL_checkstack(w->L, 8, NULL);
  Shape shape = survey(w, few, FEW_KEYS);
  check_shape(w, &shape);

  bool object = shape.names > 0 || (shape.items == 0 && !json_is_list(w->L, -1));
  if (shape.names + shape.items == 0) {
    put(w, object ? "{}" : "[]", 2);
    return;
  }
  w->depth++;
  if (object)
    write_object(w, &step, few, shape.names);
  else
    write_list(w, &step, shape.items);
  w->step = step.outer;
  w->depth--;
  write_line(w);
  put_byte(w, object ? '}' : ']');
}

/* value => value */
static void write_value(Writer *w) {
  lua_State *L = w->L;
  int type = lua_type(L, -1);
  if (type == LUA_TSTRING) {
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    write_string(w, text, length);
  } else if (type == LUA_TTABLE) {
    write_table(w);
  } else if (type == LUA_TBOOLEAN) {
    bool truth = lua_toboolean(L, -1);
    put(w, truth ? "true" : "false", truth ? 4 : 5);
  } else if (lua_isinteger(L, -1)) {
    write_integer(w, lua_tointeger(L, -1));
  } else if (type == LUA_TNUMBER) {
    write_float(w, lua_tonumber(L, -1));
  } else if (json_is_null(L, -1)) {
    put(w, "null", 4);
  } else {
    refuse(w, "a %s cannot be written as JSON%s", luaL_typename(L, -1), type == LUA_TNIL ? "; json.null can" : "");
  }
}

static void encode(lua_State *L, int index, int indent) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, NULL);
  lua_pushnil(L);
  char first[4096];
  Writer w = { .L = L, .data = first, .capacity = sizeof first, .slot = lua_gettop(L), .indent = indent };
  lua_pushvalue(L, index);
  write_value(&w);
  lua_pushlstring(L, w.data, w.length);
  lua_replace(L, w.slot);
  lua_settop(L, w.slot);
}

void json_encode(lua_State *L, int index) {
  encode(L, index, 0);
}

/* ---- Null and lists. */

bool json_is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

void json_mark_list(lua_State *L, int index) {
  index = lua_absindex(L, index);
  push_list_metatable(L);
  lua_setmetatable(L, index);
}

bool json_is_list(lua_State *L, int index) {
  if (!lua_getmetatable(L, index))
    return false;
  push_list_metatable(L);
  bool list = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return list;
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
  int max_depth = option(L, "max_depth", DEPTH, 1, DEEPEST);
  lua_settop(L, 1);
  return decode(L, max_depth);
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
  json_mark_list(L, 1);
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

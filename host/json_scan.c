/* Goes over a JSON text: finds every fault, with its path, and puts what cjson would lose into a marked string:
 * integers and floats that a double does not hold or tell apart, and empty objects. */
#include "json_scan.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAFE_DIGITS = 15 }; /* as many as any double holds exactly */

static bool scan_value(Scan *s);

/* [-0, +1, m] pushes the message */
static bool fault(Scan *s, const char *at, const char *what) {
  char path[PATH_SIZE];
  size_t length = path_print(path, s->step);
  lua_pushfstring(s->L, "%s%s%s at byte %I", path, length > 0 ? ": " : "", what, (LUAI_UACINT)(at - s->text) + 1);
  return false;
}

/* The same for a byte that cannot stand where it stands. */
static bool unexpected(Scan *s, const char *what) {
  return fault(s, s->p, s->p == s->end ? "the text ends too early" : what);
}

static void skip_space(Scan *s) {
  const char *p = s->p;
  while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
    p++;
  s->p = p;
}

static const char *skip_digits(const char *p) {
  while (*p >= '0' && *p <= '9')
    p++;
  return p;
}

/* ---- Marking. */

/* Writes the token that ends at s->p as a marked string with `length` of its bytes. Three bytes more than the token
 * at most; and it has three or more itself, with the byte that parts it from the next, so twice the text is room
 * enough for all. */
static void mark(Scan *s, const char *token, size_t length) {
  if (s->decode != 0)
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
  *out++ = JSON_MARK;
  memcpy(out, token, length);
  out += length;
  *out++ = '"';
  s->length = (size_t)(out - s->marked);
  s->copied = s->p;
}

void json_scan_push_marked(Scan *s) {
  size_t left = (size_t)(s->end - s->copied);
  memcpy(s->marked + s->length, s->copied, left);
  lua_pushlstring(s->L, s->marked, s->length + left);
}

/* ---- Strings. */

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

/* A byte of a string that is not simply itself. */
static bool scan_special(Scan *s) {
  if (*s->p == '\\')
    return scan_escape(s);
  if ((unsigned char)*s->p < 0x80)
    return unexpected(s, "control character in a string");
  size_t n = text_utf8_length(s->p);
  s->p += n;
  return n > 0 || fault(s, s->p, "bad UTF-8");
}

static bool scan_string(Scan *s) {
  const char *p = text_skip_plain(s->p + 1);
  while (*p != '"') {
    s->p = p;
    if (!scan_special(s))
      return false;
    p = text_skip_plain(s->p);
  }
  s->p = p + 1;
  return true;
}

/* ---- Numbers and words. */

static bool end_integer(Scan *s, const char *token, const char *digits) {
  size_t n = (size_t)(s->p - digits);
  if (n <= SAFE_DIGITS)
    return true;
  const char *limit = *token == '-' ? "9223372036854775808" : "9223372036854775807";
  if (n > strlen(limit) || (n == strlen(limit) && memcmp(digits, limit, n) > 0))
    return fault(s, token, "integer beyond 64 bits");
  mark(s, token, (size_t)(s->p - token));
  return true;
}

static bool scan_digits(Scan *s) {
  const char *digits = s->p;
  s->p = skip_digits(digits);
  return s->p > digits || unexpected(s, "expected a digit");
}

/* A float that is, or could be, a whole number as a double: cjson's would be taken for an integer. */
static bool end_float(Scan *s, const char *token) {
  if (!isfinite(strtod(token, NULL)))
    return fault(s, token, "number out of range");
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

  bool integral = true; /* or perhaps so */
  if (*s->p == '.') {
    const char *fraction = ++s->p;
    if (!scan_digits(s))
      return false;
    integral = strspn(fraction, "0") >= (size_t)(s->p - fraction) || s->p - digits > SAFE_DIGITS + 1;
  }
  if (*s->p == 'e' || *s->p == 'E') {
    s->p++;
    s->p += *s->p == '-' || *s->p == '+';
    if (!scan_digits(s))
      return false;
    integral = true;
  }
  return !integral || end_float(s, token);
}

static bool scan_word(Scan *s, const char *word) {
  for (; *word != '\0'; word++, s->p++) {
    if (*s->p != *word)
      return unexpected(s, "expected a value");
  }
  return true;
}

/* ---- Lists and objects. */

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
  s->p++;
  skip_space(s);
  if (*s->p == ']') {
    s->p++;
    return true;
  }
  Step step = { .outer = s->step, .index = 1 };
  bool ok = scan_items(s, &step);
  s->step = step.outer;
  return ok;
}

/* seen => seen */
static bool is_seen(Scan *s, const Step *step) {
  lua_State *L = s->L;
  lua_pushvalue(L, s->decode);                         /* two ways to write one name are one name */
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
  if (s->decode != 0 && is_seen(s, step))
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
  const char *token = s->p++;
  skip_space(s);
  if (*s->p == '}') {
    s->p++;
    mark(s, token, 0);
    return true;
  }
  if (s->decode != 0) {
    luaL_checkstack(s->L, 8, NULL);
    lua_newtable(s->L); /* the keys that were seen */
  }
  Step step = { .outer = s->step };
  bool ok = scan_members(s, &step);
  s->step = step.outer;
  if (ok && s->decode != 0)
    lua_pop(s->L, 1);
  return ok;
}

static bool too_deep(Scan *s) {
  char what[64];
  snprintf(what, sizeof what, "nested deeper than %d", s->max_depth);
  return fault(s, s->p, what);
}

static bool scan_nested(Scan *s, bool (*scan)(Scan *s)) {
  if (s->depth == s->max_depth)
    return too_deep(s);
  s->depth++;
  bool ok = scan(s);
  s->depth--;
  return ok;
}

static bool scan_value(Scan *s) {
  skip_space(s);
  switch (*s->p) {
  case '"': return scan_string(s);
  case '{': return scan_nested(s, scan_object);
  case '[': return scan_nested(s, scan_list);
  case 't': return scan_word(s, "true");
  case 'f': return scan_word(s, "false");
  case 'n': return scan_word(s, "null");
  default: break;
  }
  bool number = *s->p == '-' || (*s->p >= '0' && *s->p <= '9');
  return number ? scan_number(s) : unexpected(s, "expected a value");
}

bool json_scan(Scan *s) {
  s->p = s->text;
  if (!scan_value(s))
    return false;
  skip_space(s);
  return s->p == s->end || fault(s, s->p, "more text behind the value");
}

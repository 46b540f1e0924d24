/* The safety kernel: what may be asked of a pipeline, checked whole before anything is sent; the exact bytes of it;
 * and its one sending. A request is its bytes, so nothing can change it. How they travel is host.http's affair. */
#include "alarm.h"
#include "host.h"
#include "json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define REQUEST_CLASS "host.ExecutionRequest"
#define MASK "••••"

enum {
  MAX_ENTRIES = 10000, /* of one table */
  MAX_NAME = 64,       /* bytes of a name that is compared with others */
  MAX_MESSAGE = 300,   /* bytes of each message of a server */
  MAX_MESSAGES = 10,
  DESCRIBED = JSON_QUOTE_SIZE + 16,
};

/* ---- The nearest name. */

typedef struct Nearest {
  const char *wanted;
  size_t length;
  const char *name; /* NULL while none is near */
  size_t distance;
} Nearest;

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static bool same_letter(char a, char b) {
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* How many letters are wrong, missing, too many, or swapped with the next; of any case. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t rows[3][MAX_NAME + 1];
  size_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= b_length; j++)
    last[j] = j;
  for (size_t i = 1; i <= a_length; i++) {
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      bool same = same_letter(a[i - 1], b[j - 1]);
      row[j] = least(last[j - 1] + !same, 1 + least(last[j], row[j - 1]));
      if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
        row[j] = least(row[j], before[j - 2] + 1);
    }
    size_t *free_row = before;
    before = last;
    last = row;
    row = free_row;
  }
  return last[b_length];
}

/* Keeps the nearest so far; the first of several. A third of the letters may be wrong. */
static bool consider(Nearest *nearest, const char *name, size_t length) {
  if (length > MAX_NAME || nearest->length > MAX_NAME)
    return false;
  size_t found = distance(nearest->wanted, nearest->length, name, length);
  size_t longer = length > nearest->length ? length : nearest->length;
  if (found > (longer + 1) / 3 || (nearest->name != NULL && found >= nearest->distance))
    return false;
  nearest->name = name;
  nearest->distance = found;
  return true;
}

static const char *nearest_of(const char *wanted, size_t length, const char *const names[]) {
  Nearest nearest = { .wanted = wanted, .length = length };
  for (; *names != NULL; names++)
    consider(&nearest, *names, strlen(*names));
  return nearest.name;
}

/* ---- Faults. */

typedef struct Check {
  lua_State *L;
  int faults; /* the list's place on the stack */
  lua_Integer count;
  char path[256];
  size_t length;
} Check;

/* Goes on to a part of the value; returns the way back for leave(). */
static size_t enter(Check *c, const char *key, size_t key_length) {
  size_t back = c->length;
  c->length += json_show_key(c->path + back, sizeof c->path - back, key, key_length, back == 0);
  return back;
}

static size_t enter_item(Check *c, lua_Integer index) {
  size_t back = c->length;
  c->length += (size_t)snprintf(c->path + back, sizeof c->path - back, "[%lld]", (long long)index);
  return back;
}

static void leave(Check *c, size_t back) {
  c->path[back] = '\0';
  c->length = back;
}

static void set_string(lua_State *L, const char *name, const char *value) {
  if (value == NULL)
    return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static bool fault_near(Check *c, const char *found, const char *expected, const char *nearest) {
  lua_State *L = c->L;
  lua_createtable(L, 0, 4);
  set_string(L, "path", c->length > 0 ? c->path : "request");
  set_string(L, "found", found);
  set_string(L, "expected", expected);
  set_string(L, "nearest", nearest);
  lua_rawseti(L, c->faults, ++c->count);
  return false;
}

static bool fault(Check *c, const char *found, const char *expected) {
  return fault_near(c, found, expected, NULL);
}

/* Says what kind of value is on the top, and not which. */
static const char *kind_of(lua_State *L) {
  switch (lua_type(L, -1)) {
  case LUA_TNIL: return "nothing";
  case LUA_TBOOLEAN: return "a boolean";
  case LUA_TNUMBER: return "a number";
  case LUA_TSTRING: return "a string";
  case LUA_TTABLE: return "a table";
  case LUA_TFUNCTION: return "a function";
  case LUA_TTHREAD: return "a coroutine";
  default: return json_is_null(L, -1) ? "null" : "a userdata";
  }
}

/* Says what value is on the top. Not for the values of variables: they may be secret. */
static const char *describe(lua_State *L, char text[DESCRIBED]) {
  char quoted[JSON_QUOTE_SIZE];
  size_t length;
  const char *string;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN: snprintf(text, DESCRIBED, "boolean %s", lua_toboolean(L, -1) ? "true" : "false"); break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1))
      snprintf(text, DESCRIBED, "number %lld", (long long)lua_tointeger(L, -1));
    else
      snprintf(text, DESCRIBED, "number %.14g", lua_tonumber(L, -1));
    break;
  case LUA_TSTRING:
    string = lua_tolstring(L, -1, &length);
    json_quote(quoted, string, length);
    snprintf(text, DESCRIBED, "string %s", quoted);
    break;
  default: return kind_of(L);
  }
  return text;
}

/* The value on the top is not what is expected. */
static bool fault_value(Check *c, const char *expected) {
  char text[DESCRIBED];
  return fault(c, describe(c->L, text), expected);
}

/* ---- The order of lists. */

/* An item of a list, and the text that it is sorted by. */
typedef struct Slot {
  const char *text;
  size_t length;
  lua_Integer index;
} Slot;

/* By number where they differ in a number: actions_to_run[2] comes before actions_to_run[10]. */
static int compare_paths(const void *left, const void *right) {
  const Slot *a = left, *b = right;
  int order = strverscmp(a->text, b->text);
  return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* By byte, and then as they came. */
static int compare_keys(const void *left, const void *right) {
  const Slot *a = left, *b = right;
  int order = memcmp(a->text, b->text, least(a->length, b->length));
  if (order == 0)
    order = (a->length > b->length) - (a->length < b->length);
  return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* list => list, slots: a slot for each item, sorted by a member of it */
static Slot *push_slots(lua_State *L, const char *member, size_t count, int (*compare)(const void *, const void *)) {
  Slot *slots = lua_newuserdatauv(L, count * sizeof *slots, 0);
  for (size_t i = 0; i < count; i++) {
    slots[i].index = (lua_Integer)i + 1;
    lua_rawgeti(L, -2, slots[i].index);
    lua_getfield(L, -1, member);
    slots[i].text = luaL_optlstring(L, -1, "", &slots[i].length); /* which the item keeps */
    lua_pop(L, 2);
  }
  qsort(slots, count, sizeof *slots, compare);
  return slots;
}

/* list, slots => sorted list */
static void reorder(lua_State *L, const Slot *slots, size_t count) {
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -3, slots[i].index);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* ---- Tables. */

typedef enum Shape { EMPTY, LIST, MAP } Shape;

typedef struct Count {
  lua_Integer all, names, items, lowest, highest;
} Count;

/* table => table */
static Count count_keys(lua_State *L) {
  Count count = { .lowest = 1 };
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    count.all++;
    if (lua_type(L, -2) == LUA_TSTRING) {
      count.names++;
    } else if (lua_isinteger(L, -2)) {
      lua_Integer index = lua_tointeger(L, -2);
      count.items++;
      count.lowest = index < count.lowest ? index : count.lowest;
      count.highest = index > count.highest ? index : count.highest;
    }
  }
  return count;
}

/* Whether the value on the top is a plain list or a plain map. A metatable could hide what is in it. */
static bool read_shape(Check *c, const char *expected, Shape *shape) {
  lua_State *L = c->L;
  *shape = EMPTY;
  if (!lua_istable(L, -1))
    return fault(c, kind_of(L), expected);
  if (lua_getmetatable(L, -1)) {
    lua_pop(L, 1);
    if (!json_is_list(L, -1))
      return fault(c, "a table with a metatable", "a plain table");
  }
  Count count = count_keys(L);
  if (count.all > MAX_ENTRIES)
    return fault(c, "a table with more entries than any request needs", expected);
  if (count.all > count.names + count.items || (count.names > 0 && count.items > 0))
    return fault(c, "a table whose keys are neither all names nor all indices", expected);
  if (count.lowest < 1 || count.highest > count.items)
    return fault(c, "a list with holes", expected);
  *shape = count.names > 0 ? MAP : count.items > 0 ? LIST : EMPTY;
  return true;
}

static bool is_one_of(const char *const names[], const char *name, size_t length) {
  for (; *names != NULL; names++) {
    if (strlen(*names) == length && memcmp(*names, name, length) == 0)
      return true;
  }
  return false;
}

static void fault_unknown(Check *c, const char *const names[], const char *name, size_t length) {
  luaL_Buffer b;
  luaL_buffinit(c->L, &b);
  for (int i = 0; names[i] != NULL; i++) {
    luaL_addstring(&b, i == 0 ? "one of " : ", ");
    luaL_addstring(&b, names[i]);
  }
  luaL_pushresult(&b);
  size_t back = enter(c, name, length);
  fault_near(c, "an unknown name", lua_tostring(c->L, -1), nearest_of(name, length, names));
  leave(c, back);
  lua_pop(c->L, 1);
}

/* map => map; a fault for each name that is not one of `names` */
static bool check_names(Check *c, const char *const names[]) {
  lua_State *L = c->L;
  bool good = true;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    if (is_one_of(names, name, length))
      continue;
    fault_unknown(c, names, name, length);
    good = false;
  }
  return good;
}

/* ---- Values. Each check takes the value on the top and leaves what is sent for it, or reports a fault. */

typedef bool CheckValue(Check *c, const char *expected);

/* What may be secret is not shown. */
static bool check_characters(Check *c, const char *expected, bool secret) {
  if (lua_type(c->L, -1) == LUA_TSTRING) {
    size_t length;
    const char *string = lua_tolstring(c->L, -1, &length);
    if (memchr(string, '\0', length) != NULL)
      expected = "text without a zero byte";
    else if (!json_is_utf8(string, length))
      expected = "text in good UTF-8";
    else
      return true;
  }
  return secret ? fault(c, kind_of(c->L), expected) : fault_value(c, expected);
}

static bool check_text(Check *c, const char *expected) {
  return check_characters(c, expected, false);
}

/* On one line, and not empty. */
static bool check_name(Check *c, const char *expected) {
  if (!check_text(c, expected))
    return false;
  const char *name = lua_tostring(c->L, -1);
  bool control = false;
  for (const char *p = name; *p != '\0'; p++)
    control = control || iscntrl((unsigned char)*p);
  return (*name != '\0' && !control) || fault_value(c, expected);
}

static bool check_boolean(Check *c, const char *expected) {
  return lua_isboolean(c->L, -1) || fault_value(c, expected);
}

static bool check_priority(Check *c, const char *expected) {
  static const char *const priorities[] = { "LOW", "NORMAL", "HIGH", NULL };
  if (!check_name(c, expected))
    return false;
  size_t length;
  const char *priority = lua_tolstring(c->L, -1, &length);
  for (int i = 0; priorities[i] != NULL; i++) {
    if (strcmp(priority, priorities[i]) == 0)
      return true;
  }
  char text[DESCRIBED];
  return fault_near(c, describe(c->L, text), expected, nearest_of(priority, length, priorities));
}

static bool check_revision(Check *c, const char *expected) {
  if (!check_name(c, expected))
    return false;
  const char *revision = lua_tostring(c->L, -1);
  size_t length = strlen(revision), digits = strspn(revision, "0123456789abcdefABCDEF");
  return strcmp(revision, "HEAD") == 0 || (digits == length && length >= 4 && length <= 40) || fault_value(c, expected);
}

/* 5.0 is one too; "5" is not, and 0 stands for whatever else is none. */
static lua_Integer integer_at_top(lua_State *L) {
  return lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, NULL) : 0;
}

/* 1 is short for "pull/1". */
static bool check_pull_request(Check *c, const char *expected) {
  lua_State *L = c->L;
  lua_Integer only = integer_at_top(L);
  if (only > 0) {
    lua_pushfstring(L, "pull/%I", (LUAI_UACINT)only);
    lua_replace(L, -2);
    return true;
  }
  if (!check_name(c, expected))
    return false;
  const char *name = lua_tostring(L, -1), *number = name + strlen("pull/");
  bool good = strncmp(name, "pull/", strlen("pull/")) == 0 && *number >= '1' && *number <= '9' &&
              number[strspn(number, "0123456789")] == '\0';
  return good || fault_value(c, expected);
}

static bool check_package(Check *c, const char *expected) {
  if (!check_name(c, expected))
    return false;
  const char *package = lua_tostring(c->L, -1), *colon = strchr(package, ':');
  return (colon != NULL && colon > package && colon[1] != '\0') || fault_value(c, expected);
}

/* seen, id => seen, id */
static bool check_action(Check *c, lua_Integer index) {
  lua_State *L = c->L;
  lua_Integer id = integer_at_top(L);
  if (id <= 0)
    return fault_value(c, "the id of an action, a positive integer");
  lua_pushinteger(L, id);
  lua_replace(L, -2);
  bool repeated = lua_rawgeti(L, -2, id) != LUA_TNIL;
  char found[DESCRIBED];
  snprintf(found, sizeof found, "number %lld, which is item %lld too", (long long)id, (long long)lua_tointeger(L, -1));
  lua_pop(L, 1);
  lua_pushinteger(L, index);
  lua_rawseti(L, -3, id);
  return !repeated || fault(c, found, "each action once");
}

static bool check_actions(Check *c, const char *expected) {
  lua_State *L = c->L;
  Shape shape;
  if (!read_shape(c, expected, &shape))
    return false;
  if (shape != LIST)
    return fault(c, shape == EMPTY ? "an empty list" : "a table with names", expected);
  bool good = true;
  int given = lua_gettop(L);
  lua_Integer length = (lua_Integer)lua_rawlen(L, given);
  lua_createtable(L, (int)length, 0);
  lua_newtable(L); /* given, ids, where each id was seen */
  for (lua_Integer i = 1; i <= length; i++) {
    size_t back = enter_item(c, i);
    lua_rawgeti(L, given, i);
    good = check_action(c, i) && good;
    lua_rawseti(L, given + 1, i);
    leave(c, back);
  }
  lua_pop(L, 1);
  lua_replace(L, given);
  return good;
}

/* ---- Dates. */

static int number_at(const char *text, int digits) {
  int number = 0;
  for (int i = 0; i < digits; i++)
    number = number * 10 + (text[i] - '0');
  return number;
}

/* 2016-11-18T12:38:16Z, with up to nine digits of a fraction of a second. */
static bool parse_date(const char *text, struct tm *date, int *ms) {
  static const char form[] = "dddd-dd-ddTdd:dd:dd";
  for (size_t i = 0; i < strlen(form); i++) {
    if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
      return false;
  }
  *date = (struct tm){
    .tm_year = number_at(text, 4) - 1900,
    .tm_mon = number_at(text + 5, 2) - 1,
    .tm_mday = number_at(text + 8, 2),
    .tm_hour = number_at(text + 11, 2),
    .tm_min = number_at(text + 14, 2),
    .tm_sec = number_at(text + 17, 2),
  };
  const char *end = text + strlen(form);
  char fraction[] = "000";
  if (*end == '.') {
    size_t digits = strspn(++end, "0123456789");
    if (digits == 0 || digits > 9)
      return false;
    memcpy(fraction, end, least(digits, strlen(fraction)));
    end += digits;
  }
  *ms = number_at(fraction, 3);
  return strcmp(end, "Z") == 0;
}

/* There is no February 30th and no 25th hour: timegm would make another day of them. */
static bool is_real(const struct tm *date, time_t *time) {
  struct tm normal = *date;
  *time = timegm(&normal);
  return normal.tm_mon == date->tm_mon && normal.tm_mday == date->tm_mday && normal.tm_hour == date->tm_hour &&
         normal.tm_min == date->tm_min && normal.tm_sec == date->tm_sec;
}

/* Sent in milliseconds, as the API's own samples are. */
static bool check_date(Check *c, const char *expected) {
  if (!check_name(c, expected))
    return false;
  struct tm date;
  time_t seconds;
  int ms;
  const char *text = lua_tostring(c->L, -1);
  if (!parse_date(text, &date, &ms))
    return fault_value(c, expected);
  if (!is_real(&date, &seconds))
    return fault_value(c, "a day and a time that exist");
  if ((double)seconds + ms / 1e3 <= clock_wall(host_of(c->L)))
    return fault_value(c, "a time in the future");
  char normal[32];
  snprintf(normal, sizeof normal, "%.19s.%03dZ", text, ms);
  lua_pushstring(c->L, normal);
  lua_replace(c->L, -2);
  return true;
}

/* ---- Variables. */

static bool is_key(const char *key, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (iscntrl((unsigned char)key[i]) || key[i] == '=')
      return false;
  }
  return length > 0 && json_is_utf8(key, length);
}

static bool check_key(Check *c, const char *expected) {
  if (lua_type(c->L, -1) != LUA_TSTRING)
    return fault_value(c, expected);
  size_t length;
  const char *key = lua_tolstring(c->L, -1, &length);
  return is_key(key, length) || fault_value(c, expected);
}

/* Numbers and booleans are sent as text. */
static bool check_scalar(Check *c, const char *expected) {
  lua_State *L = c->L;
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN: lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false"); break;
  case LUA_TNUMBER:
    if (!isfinite(lua_tonumber(L, -1)))
      return fault(c, "a number that is not finite", expected);
    json_encode(L, -1);
    break;
  default: return check_characters(c, expected, true);
  }
  lua_replace(L, -2);
  return true;
}

static const char SCALAR[] = "a string, a number or a boolean";

/* A list would be a slip here, such as branch = { "master" }. */
static bool check_map(Check *c, const char *expected) {
  Shape shape;
  return read_shape(c, expected, &shape) && (shape != LIST || fault(c, "a list", expected));
}

/* made, map => made, map: checks a member of the map and puts it into what is made */
static bool read_member(Check *c, const char *name, CheckValue *check, const char *expected) {
  lua_State *L = c->L;
  size_t back = enter(c, name, strlen(name));
  lua_getfield(L, -1, name);
  bool good = check(c, expected);
  leave(c, back);
  if (good)
    lua_setfield(L, -3, name);
  else
    lua_pop(L, 1);
  return good;
}

/* entry, map => entry, map: `encrypted` is sent only when it is true */
static bool read_encrypted(Check *c) {
  lua_State *L = c->L;
  bool needless = lua_getfield(L, -1, "encrypted") == LUA_TNIL || (lua_isboolean(L, -1) && !lua_toboolean(L, -1));
  lua_pop(L, 1);
  return needless || read_member(c, "encrypted", check_boolean, "true or false");
}

/* entry, map => entry, map: the name of the variable may be known already */
static bool read_entry(Check *c, bool has_key) {
  static const char *const all[] = { "encrypted", "key", "value", NULL };
  static const char *const without_key[] = { "encrypted", "value", NULL };
  if (!check_map(c, has_key ? SCALAR : "{ key = …, value = … }"))
    return false;
  bool good = check_names(c, has_key ? without_key : all);
  if (!has_key)
    good = read_member(c, "key", check_key, "the name of a variable") && good;
  good = read_member(c, "value", check_scalar, SCALAR) && good;
  return read_encrypted(c) && good;
}

/* value => entry, such as { key = "pass", value = "x", encrypted = true } */
static bool read_variable(Check *c, const char *key) {
  lua_State *L = c->L;
  bool good;
  lua_createtable(L, 0, 3);
  set_string(L, "key", key);
  lua_insert(L, -2);
  if (key == NULL || lua_istable(L, -1)) {
    good = read_entry(c, key != NULL);
    lua_pop(L, 1);
  } else {
    good = check_scalar(c, SCALAR);
    lua_setfield(L, -2, "value");
  }
  return good;
}

/* map, entries => map, entries */
static bool read_variable_map(Check *c) {
  lua_State *L = c->L;
  bool good = true;
  lua_Integer count = 0;
  int entries = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, entries - 1);) {
    size_t length;
    const char *key = lua_tolstring(L, -2, &length);
    size_t back = enter(c, key, length);
    if (!is_key(key, length))
      good = fault(c, "this name", "the name of a variable");
    good = read_variable(c, key) && good; /* entries, key, entry */
    lua_rawseti(L, entries, ++count);
    leave(c, back);
  }
  return good;
}

/* list, entries => list, entries */
static bool read_variable_list(Check *c) {
  lua_State *L = c->L;
  bool good = true;
  lua_Integer length = (lua_Integer)lua_rawlen(L, -2);
  for (lua_Integer i = 1; i <= length; i++) {
    size_t back = enter_item(c, i);
    lua_rawgeti(L, -2, i);
    good = read_variable(c, NULL) && good;
    lua_rawseti(L, -2, i);
    leave(c, back);
  }
  return good;
}

/* Entries of one name stand side by side once they are sorted; one at fault has none. */
static bool check_unique(Check *c, const Slot *slots, size_t count) {
  bool good = true;
  for (size_t i = 1; i < count; i++) {
    const Slot *slot = &slots[i], *before = slot - 1;
    if (slot->length == 0 || slot->length != before->length || memcmp(slot->text, before->text, slot->length) != 0)
      continue;
    char quoted[JSON_QUOTE_SIZE], found[DESCRIBED + 32];
    json_quote(quoted, slot->text, slot->length);
    snprintf(found, sizeof found, "string %s, which is item %lld too", quoted, (long long)before->index);
    size_t back = enter_item(c, slot->index);
    enter(c, "key", strlen("key"));
    good = fault(c, found, "each variable once");
    leave(c, back);
  }
  return good;
}

static bool check_variables(Check *c, const char *expected) {
  lua_State *L = c->L;
  Shape shape;
  if (!read_shape(c, expected, &shape))
    return false;
  lua_newtable(L);
  bool good = shape == MAP ? read_variable_map(c) : read_variable_list(c);
  size_t count = lua_rawlen(L, -1);
  Slot *slots = push_slots(L, "key", count, compare_keys);
  if (shape == LIST)
    good = check_unique(c, slots, count) && good;
  reorder(L, slots, count);
  json_mark_list(L, -1);
  lua_replace(L, -2);
  return good;
}

/* ---- The request. */

typedef struct Field {
  const char *name;
  const char *api;   /* its name in the API, when that is another one */
  const char *inner; /* the one member of the object that the API has for it */
  CheckValue *check;
  const char *expected;
} Field;

#define REVISION "HEAD or a commit, 4 to 40 hexadecimal digits"

/* Sorted by name. Source: https://buddy.works/docs/api/executions/run */
static const Field fields[] = {
  { "actions_to_run", NULL, NULL, check_actions, "a list of the ids of actions" },
  { "branch", NULL, "name", check_name, "the name of a branch" },
  { "clear_cache", NULL, NULL, check_boolean, "true or false" },
  { "comment", NULL, NULL, check_text, "text" },
  { "delay_until", NULL, NULL, check_date, "a time in UTC such as 2016-11-18T12:38:16.000Z" },
  { "environment", NULL, NULL, check_name, "the name of an environment" },
  { "from_revision", NULL, "revision", check_revision, REVISION },
  { "package_version", NULL, NULL, check_package, "a package such as name:1.0" },
  { "priority", NULL, NULL, check_priority, "LOW, NORMAL or HIGH" },
  { "pull_request", NULL, "name", check_pull_request, "a pull request such as pull/1" },
  { "refresh", NULL, NULL, check_boolean, "true or false" },
  { "revision", "to_revision", "revision", check_revision, REVISION },
  { "tag", NULL, "name", check_name, "the name of a tag" },
  { "to_revision", NULL, "revision", check_revision, REVISION },
  { "variables", NULL, NULL, check_variables, "variables by name, or a list of { key = …, value = … }" },
};

enum { FIELDS = sizeof fields / sizeof *fields };

/* value => object with the value in it */
static bool read_object(Check *c, const Field *field) {
  lua_State *L = c->L;
  const char *const names[] = { field->inner, NULL };
  bool good;
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  if (lua_istable(L, -1)) {
    good = check_map(c, field->expected);
    if (good) {
      good = check_names(c, names);
      good = read_member(c, field->inner, field->check, field->expected) && good;
    }
    lua_pop(L, 1);
  } else {
    good = field->check(c, field->expected);
    lua_setfield(L, -2, field->inner);
  }
  return good;
}

/* value => what is sent for it */
static bool read_value(Check *c, const Field *field) {
  if (json_is_null(c->L, -1))
    return fault(c, "null", "no such field when there is nothing to send");
  return field->inner != NULL ? read_object(c, field) : field->check(c, field->expected);
}

/* sent, given => sent, given */
static void read_field(Check *c, const Field *field) {
  lua_State *L = c->L;
  size_t back = enter(c, field->name, strlen(field->name));
  if (lua_getfield(L, -1, field->name) != LUA_TNIL && read_value(c, field))
    lua_setfield(L, -3, field->api != NULL ? field->api : field->name);
  else
    lua_pop(L, 1);
  leave(c, back);
}

/* sent, given => sent, given: of several names that exclude each other only the first is right */
static void check_alone(Check *c, const char *const names[], const char *expected) {
  const char *first = NULL;
  for (; *names != NULL; names++) {
    bool given = lua_getfield(c->L, -1, *names) != LUA_TNIL;
    lua_pop(c->L, 1);
    if (given && first != NULL) {
      char found[DESCRIBED];
      snprintf(found, sizeof found, "%s as well", first);
      size_t back = enter(c, *names, strlen(*names));
      fault(c, found, expected);
      leave(c, back);
    } else if (given) {
      first = *names;
    }
  }
}

/* sent, given => sent, given */
static void check_request(Check *c) {
  static const char *const refs[] = { "branch", "pull_request", "tag", NULL };
  static const char *const revisions[] = { "revision", "to_revision", NULL };
  if (!check_map(c, "a table of fields"))
    return;
  const char *names[FIELDS + 1];
  for (int i = 0; i < FIELDS; i++)
    names[i] = fields[i].name;
  names[FIELDS] = NULL;
  check_names(c, names);
  for (int i = 0; i < FIELDS; i++)
    read_field(c, &fields[i]);
  check_alone(c, refs, "only one of branch, pull_request and tag");
  check_alone(c, revisions, "only one of revision and to_revision");
}

/* All bytes of it, and those to show, which are none when they are the same. */
typedef struct Request {
  size_t length, masked_length;
  char bytes[];
} Request;

/* sent => sent: puts a mask over encrypted values; false when there are none */
static bool mask_values(lua_State *L) {
  bool masked = false;
  lua_Integer count = lua_getfield(L, -1, "variables") == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    if (lua_getfield(L, -1, "encrypted") != LUA_TNIL) {
      lua_pushliteral(L, MASK);
      lua_setfield(L, -3, "value");
      masked = true;
    }
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
  return masked;
}

/* sent => request */
static void push_request(lua_State *L) {
  size_t length, masked_length = 0;
  const char *json, *masked = "";
  json_encode(L, -1);
  json = lua_tolstring(L, -1, &length);
  lua_insert(L, -2);
  if (mask_values(L)) {
    json_encode(L, -1);
    masked = lua_tolstring(L, -1, &masked_length);
  }
  Request *request = lua_newuserdatauv(L, sizeof *request + length + masked_length, 0);
  request->length = length;
  request->masked_length = masked_length;
  memcpy(request->bytes, json, length);
  memcpy(request->bytes + length, masked, masked_length);
  luaL_setmetatable(L, REQUEST_CLASS);
}

/* given => request, or nil and the faults; returns how many values these are */
static int compose(lua_State *L) {
  luaL_checkstack(L, 32, NULL);
  lua_newtable(L);
  lua_newtable(L);
  lua_rotate(L, -3, 2); /* faults, sent, given */
  Check c = { .L = L, .faults = lua_gettop(L) - 2 };
  check_request(&c);
  lua_pop(L, 1);
  if (c.count == 0) {
    push_request(L);
    return 1;
  }
  lua_pop(L, 1);
  reorder(L, push_slots(L, "path", (size_t)c.count, compare_paths), (size_t)c.count);
  luaL_pushfail(L);
  lua_insert(L, -2);
  return 2;
}

static Request *check_request_at(lua_State *L) {
  return luaL_checkudata(L, 1, REQUEST_CLASS);
}

static int l_request(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  return compose(L);
}

static int l_json(lua_State *L) {
  const Request *request = check_request_at(L);
  lua_pushlstring(L, request->bytes, request->length);
  return 1;
}

static int l_masked(lua_State *L) {
  const Request *request = check_request_at(L);
  if (request->masked_length == 0)
    return l_json(L);
  lua_pushlstring(L, request->bytes + request->length, request->masked_length);
  return 1;
}

static int l_eq(lua_State *L) {
  const Request *a = luaL_testudata(L, 1, REQUEST_CLASS), *b = luaL_testudata(L, 2, REQUEST_CLASS);
  lua_pushboolean(L, a != NULL && b != NULL && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0);
  return 1;
}

/* changes, fields => changes, fields */
static void change(lua_State *L, int changes, int fields_at) {
  lua_getfield(L, changes, "revision");
  lua_getfield(L, changes, "to_revision");
  if (!lua_isnil(L, -2) && lua_isnil(L, -1)) /* the short name replaces the long one */
    lua_setfield(L, fields_at, "to_revision");
  lua_settop(L, fields_at);
  for (lua_pushnil(L); lua_next(L, changes);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, fields_at);
  }
}

static int l_with(lua_State *L) {
  const Request *request = check_request_at(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_getmetatable(L, 2) && !json_is_list(L, 2)) {
    lua_settop(L, 2);
    return compose(L); /* finds this fault, before a metamethod can run */
  }
  lua_settop(L, 2);
  json_decode(L, request->bytes, request->length);
  change(L, 2, 3);
  return compose(L);
}

static int l_nearest(lua_State *L) {
  Nearest nearest = { 0 };
  nearest.wanted = luaL_checklstring(L, 1, &nearest.length);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushnil(L); /* wanted, names, nearest */
  lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
  for (lua_Integer i = 1; i <= count; i++) {
    size_t length;
    luaL_argcheck(L, lua_rawgeti(L, 2, i) == LUA_TSTRING, 2, "a list of strings expected");
    const char *name = lua_tolstring(L, -1, &length);
    if (consider(&nearest, name, length))
      lua_copy(L, -1, 3);
    lua_pop(L, 1);
  }
  return 1;
}

/* ---- Sending. */

/* text, value => text: adds what the server says, without what would spoil a terminal */
static void add_message(lua_State *L) {
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    return;
  }
  char clean[MAX_MESSAGE];
  size_t length;
  const char *message = lua_tolstring(L, -1, &length);
  if (length > sizeof clean) {
    length = sizeof clean;
    while (length > 0 && ((unsigned char)message[length] & 0xC0) == 0x80)
      length--; /* not through a character */
  }
  for (size_t i = 0; i < length; i++)
    clean[i] = iscntrl((unsigned char)message[i]) ? ' ' : message[i];
  lua_pushstring(L, lua_rawlen(L, -2) > 0 ? "; " : "");
  lua_pushlstring(L, clean, length);
  lua_remove(L, -3);
  lua_concat(L, 3);
}

/* [-0, +1, m] pushes {"errors":[{"message":"…"}]} as text, or the "error" or "message" of a gateway, or "" */
static void push_reason(lua_State *L, int body) {
  static const char *const gateways[] = { "error", "message" };
  if (!lua_istable(L, body)) {
    lua_pushliteral(L, "");
    return;
  }
  bool several = lua_getfield(L, body, "errors") == LUA_TTABLE;
  lua_pushliteral(L, ""); /* errors, text */
  size_t count = several ? least(lua_rawlen(L, -2), MAX_MESSAGES) : 0;
  for (size_t i = 1; i <= count; i++) {
    if (lua_rawgeti(L, -2, (lua_Integer)i) == LUA_TTABLE) {
      lua_getfield(L, -1, "message");
      lua_remove(L, -2);
    }
    add_message(L);
  }
  for (size_t i = 0; i < 2 && lua_rawlen(L, -1) == 0; i++) {
    lua_getfield(L, body, gateways[i]);
    add_message(L);
  }
  lua_remove(L, -2);
}

/* Where things are on the stack of submit, once the answer is there. */
enum { REQUEST = 1, TARGET, RESPONSE, MESSAGE, CODE, SENT, OUTCOME, BODY };

static int outcome(lua_State *L, const char *name, const char *code) {
  lua_settop(L, OUTCOME);
  set_string(L, "outcome", name);
  set_string(L, "code", code);
  return 1;
}

/* No whole answer. */
static int judge_silence(lua_State *L) {
  lua_pushvalue(L, MESSAGE);
  lua_setfield(L, OUTCOME, "message");
  bool unsent = lua_isboolean(L, SENT) && !lua_toboolean(L, SENT);
  return outcome(L, unsent ? "unsent" : "uncertain", lua_tostring(L, CODE));
}

/* A success has an execution in it, or who knows what it is. */
static int judge_success(lua_State *L) {
  if (lua_istable(L, BODY) && lua_getfield(L, BODY, "id") == LUA_TNUMBER && lua_isinteger(L, -1)) {
    lua_pushvalue(L, BODY);
    lua_setfield(L, OUTCOME, "execution");
    return outcome(L, "accepted", NULL);
  }
  const char *problem = lua_isnil(L, BODY) ? lua_tostring(L, BODY + 1) : "it has no id";
  lua_pushfstring(L, "the answer is not an execution: %s", problem);
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, "uncertain", "json");
}

static int judge_failure(lua_State *L, lua_Integer status) {
  push_reason(L, BODY);
  if (lua_rawlen(L, -1) == 0)
    lua_pushfstring(L, "the server answered with the status %I", (LUAI_UACINT)status);
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, status >= 400 && status < 500 ? "refused" : "uncertain", NULL);
}

/* Not followed: the token stays with its own origin. */
static int judge_redirect(lua_State *L) {
  lua_pushliteral(L, "");
  lua_getfield(L, RESPONSE, "headers");
  lua_getfield(L, -1, "location");
  lua_remove(L, -2);
  add_message(L);
  lua_pushfstring(L, "the server redirects to %s, which is not followed with the token",
                  lua_rawlen(L, -1) > 0 ? lua_tostring(L, -1) : "another address");
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, "refused", "redirects");
}

static int judge_answer(lua_State *L) {
  lua_pushvalue(L, RESPONSE);
  lua_setfield(L, OUTCOME, "response");
  lua_getfield(L, RESPONSE, "status");
  lua_Integer status = lua_tointeger(L, -1);
  lua_setfield(L, OUTCOME, "status");
  size_t length;
  lua_getfield(L, RESPONSE, "body");
  const char *body = luaL_optlstring(L, -1, "", &length);
  json_decode(L, body, length);
  lua_remove(L, BODY);
  if (status >= 200 && status < 300)
    return judge_success(L);
  return status >= 300 && status < 400 ? judge_redirect(L) : judge_failure(L, status);
}

static int finish_submit(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  lua_settop(L, SENT);
  lua_createtable(L, 0, 4);
  return lua_istable(L, RESPONSE) ? judge_answer(L) : judge_silence(L);
}

/* [-0, +1, e] pushes a function of another primitive, which is loaded when it is first needed */
static void push_function(lua_State *L, const char *module, lua_CFunction open, const char *name) {
  luaL_requiref(L, module, open, 0);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

/* [-0, +1, m] pushes the target's headers, and those that each request needs */
static void push_headers(lua_State *L) {
  static const char *const needed[] = { "Content-Type", "Accept" };
  bool given[] = { false, false };
  lua_newtable(L);
  if (lua_getfield(L, TARGET, "headers") != LUA_TNIL) {
    luaL_argcheck(L, lua_istable(L, -1), TARGET, "headers: a table expected");
    for (lua_pushnil(L); lua_next(L, -2);) { /* headers, given, name, value */
      for (int i = 0; i < 2; i++)
        given[i] = given[i] || (lua_type(L, -2) == LUA_TSTRING && strcasecmp(lua_tostring(L, -2), needed[i]) == 0);
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -5);
    }
  }
  lua_pop(L, 1);
  for (int i = 0; i < 2; i++)
    set_string(L, needed[i], given[i] ? NULL : "application/json");
}

static int l_submit(lua_State *L) {
  const Request *request = luaL_checkudata(L, REQUEST, REQUEST_CLASS);
  luaL_checktype(L, TARGET, LUA_TTABLE);
  lua_settop(L, TARGET);
  push_function(L, "host.task", luaopen_host_task, "shield"); /* a cancelled task still learns what became of it */
  push_function(L, "host.http", luaopen_host_http, "request");
  lua_createtable(L, 0, 5);
  set_string(L, "method", "POST");
  lua_pushlstring(L, request->bytes, request->length);
  lua_setfield(L, -2, "body");
  push_headers(L);
  lua_setfield(L, -2, "headers");
  lua_getfield(L, TARGET, "url");
  lua_setfield(L, -2, "url");
  lua_getfield(L, TARGET, "timeout");
  lua_setfield(L, -2, "timeout");
  lua_callk(L, 2, LUA_MULTRET, 0, finish_submit);
  return finish_submit(L, LUA_OK, 0);
}

/* ---- host.execution. */

int luaopen_host_execution(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "__eq", l_eq },       { "__tostring", l_masked }, { "json", l_json },
    { "masked", l_masked }, { "with", l_with },         { NULL, NULL },
  };
  static const luaL_Reg functions[] = {
    { "nearest", l_nearest },
    { "request", l_request },
    { "submit", l_submit },
    { NULL, NULL },
  };
  host_class(L, REQUEST_CLASS, methods);
  luaL_newlib(L, functions);
  lua_createtable(L, FIELDS, 0);
  for (int i = 0; i < FIELDS; i++) {
    lua_pushstring(L, fields[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "fields");
  return 1;
}

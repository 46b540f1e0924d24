/* Goes over the keys of a table, and sorts keys. */
#include "shape.h"

#include <stdlib.h>
#include <string.h>

Shape shape_of(lua_State *L, Key keys[], size_t room) {
  Shape shape = { .first = 1 };
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      if (shape.names < room) {
        Key *key = &keys[shape.names];
        key->text = lua_tolstring(L, -2, &key->length);
        key->index = 0;
      }
      shape.names++;
    } else if (lua_isinteger(L, -2)) {
      lua_Integer index = lua_tointeger(L, -2);
      shape.items++;
      shape.first = index < shape.first ? index : shape.first;
      shape.last = index > shape.last ? index : shape.last;
    } else {
      shape.other = lua_typename(L, lua_type(L, -2));
    }
  }
  return shape;
}

static int compare(const void *left, const void *right) {
  const Key *a = left, *b = right;
  int order = (unsigned char)*a->text - (unsigned char)*b->text; /* most often that is all; at the end stands a zero */
  if (order == 0)
    order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
  if (order == 0)
    order = (a->length > b->length) - (a->length < b->length);
  return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

void keys_sort(Key keys[], size_t count) {
  if (count > FEW_KEYS) {
    qsort(keys, count, sizeof *keys, compare);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    Key key = keys[i];
    size_t place = i;
    for (; place > 0 && compare(&key, &keys[place - 1]) < 0; place--)
      keys[place] = keys[place - 1];
    keys[place] = key;
  }
}

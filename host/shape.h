/* What the keys of a table make of it: an object, a list, or neither. */
#ifndef MOONSAIL_SHAPE_H
#define MOONSAIL_SHAPE_H

#include <lua.h>
#include <stddef.h>

typedef struct Shape {
  size_t names, items;     /* keys that are strings, and integers */
  const char *other;       /* the type of a key that is neither; NULL when there is none */
  lua_Integer first, last; /* of the items; 1 and 0 without any */
} Shape;

/* A key, which its table keeps; or the text that an item of a list is sorted by, and its index. */
typedef struct Key {
  const char *text;
  size_t length;
  lua_Integer index;
} Key;

enum { FEW_KEYS = 24 }; /* find room on the C stack */

/* [-0, +0, -] The shape of the table on the top, whatever its metatable says. Notes the names, as many as there is
 * room for. Needs two free places on the stack. */
Shape shape_of(lua_State *L, Key keys[], size_t room);

/* By byte, and equal ones by index. */
void keys_sort(Key keys[], size_t count);

#endif

/* Paths to a part of a value, such as actions[2].name. Each function on the way down keeps its step on the C stack and
 * links it to the one before, which costs next to nothing; a path is printed only when there is a fault to report. */
#ifndef MOONSAIL_PATH_H
#define MOONSAIL_PATH_H

#include "text.h"
#include <lua.h>

typedef struct Step {
  const struct Step *outer;
  const char *key; /* NULL in a list */
  size_t length;
  lua_Integer index;
  const void *table; /* that the step goes into, for who wants to know it again */
} Step;

enum {
  PATH_OUTER = 6, /* steps of a long path that are shown: the outermost */
  PATH_INNER = 3, /* and the innermost */
  PATH_KEY_SIZE = TEXT_QUOTE_SIZE + 2,
  PATH_SIZE = (PATH_OUTER + PATH_INNER) * PATH_KEY_SIZE + 4,
};

/* Prints the path that ends with a step and returns its length; it is empty without a step. */
size_t path_print(char path[PATH_SIZE], const Step *innermost);

#endif

/* The nearest right name for a misspelt one. */
#ifndef MOONSAIL_NEAREST_H
#define MOONSAIL_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Nearest {
  const char *wanted;
  size_t length;
  const char *name; /* NULL while none is near */
  size_t distance;
} Nearest;

/* Keeps the name if it is nearer than those before, and returns whether it is; of equally near ones the first stays. */
bool nearest_consider(Nearest *nearest, const char *name, size_t length);

/* The nearest of some names, or NULL. */
const char *nearest_of(const char *wanted, size_t length, const char *const names[], size_t count);

#endif

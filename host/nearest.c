/* Finds the nearest name: how many letters are wrong, missing, too many, or swapped with the next, whatever their case.
 */
#include "nearest.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 64 }; /* bytes of a name that is compared */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static bool same_letter(char a, char b) {
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t rows[3][LONGEST + 1];
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

/* A third of the letters may be wrong. */
bool nearest_consider(Nearest *nearest, const char *name, size_t length) {
  if (length > LONGEST || nearest->length > LONGEST)
    return false;
  size_t found = distance(nearest->wanted, nearest->length, name, length);
  size_t longer = length > nearest->length ? length : nearest->length;
  if (found > (longer + 1) / 3 || (nearest->name != NULL && found >= nearest->distance))
    return false;
  nearest->name = name;
  nearest->distance = found;
  return true;
}

const char *nearest_of(const char *wanted, size_t length, const char *const names[], size_t count) {
  Nearest nearest = { .wanted = wanted, .length = length };
  for (size_t i = 0; i < count; i++)
    nearest_consider(&nearest, names[i], strlen(names[i]));
  return nearest.name;
}

/* Bytes that grow at the end. All zero is an empty one. */
#ifndef MOONSAIL_BUFFER_H
#define MOONSAIL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Buffer {
  char *data;
  size_t size;
  size_t capacity;
} Buffer;

/* Room for `more` bytes at the end; NULL when out of memory. */
char *buffer_room(Buffer *buffer, size_t more);

bool buffer_add(Buffer *buffer, const char *data, size_t size);
void buffer_free(Buffer *buffer);

/* Empties it, and gives back what one large content has left. */
void buffer_reset(Buffer *buffer);

#endif

/* A buffer keeps its memory when it is emptied, since the next content is most often as large. */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#define KEPT ((size_t)64 * 1024)

char *buffer_room(Buffer *buffer, size_t more) {
  if (more > buffer->capacity - buffer->size) {
    size_t capacity = buffer->capacity < 512 ? 512 : buffer->capacity;
    while (capacity - buffer->size < more)
      capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL)
      return NULL;
    buffer->data = data;
    buffer->capacity = capacity;
  }
  return buffer->data + buffer->size;
}

bool buffer_add(Buffer *buffer, const char *data, size_t size) {
  char *room = buffer_room(buffer, size);
  if (room == NULL)
    return false;
  memcpy(room, data, size);
  buffer->size += size;
  return true;
}

void buffer_free(Buffer *buffer) {
  free(buffer->data);
  *buffer = (Buffer){ 0 };
}

void buffer_reset(Buffer *buffer) {
  buffer->size = 0;
  if (buffer->capacity > KEPT)
    buffer_free(buffer);
}

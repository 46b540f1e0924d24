/* The allocator of the Lua state. Lua allocates many small blocks and says their size when it gives them back, so a
 * free list for each size is all it takes; that is a fifth off a fan-out, in which half of malloc's time was spent on
 * merging blocks that are wanted again at once. What is large goes to malloc. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
enum { LARGEST = 0 }; /* everything to malloc, which the sanitizer watches */
#else
enum { LARGEST = 1024 };
#endif
enum { GRAIN = 16, CLASSES = LARGEST / GRAIN, CHUNK = 64 * 1024 };

typedef struct Block {
  struct Block *next;
} Block;

typedef struct Chunk {
  struct Chunk *next;
  _Alignas(GRAIN) char bytes[CHUNK];
} Chunk;

struct Memory {
  Chunk *chunks;
  size_t taken; /* of the newest chunk */
  Block *free[CLASSES + 1];
};

static size_t class_of(size_t size) {
  return (size + GRAIN - 1) / GRAIN;
}

static void *take(Memory *memory, size_t class) {
  Block *block = memory->free[class];
  if (block != NULL) {
    memory->free[class] = block->next;
    return block;
  }
  size_t size = class * GRAIN;
  if (memory->chunks == NULL || memory->taken + size > CHUNK) {
    Chunk *chunk = malloc(sizeof *chunk);
    if (chunk == NULL)
      return NULL;
    chunk->next = memory->chunks;
    memory->chunks = chunk;
    memory->taken = 0;
  }
  void *fresh = memory->chunks->bytes + memory->taken;
  memory->taken += size;
  return fresh;
}

static void give_back(Memory *memory, void *block, size_t size) {
  if (size > LARGEST) {
    free(block);
    return;
  }
  Block *freed = block;
  freed->next = memory->free[class_of(size)];
  memory->free[class_of(size)] = freed;
}

static void *resize(Memory *memory, void *block, size_t old_size, size_t new_size) {
  if (old_size > LARGEST && new_size > LARGEST)
    return realloc(block, new_size);
  if (old_size <= LARGEST && new_size <= LARGEST && class_of(old_size) == class_of(new_size))
    return block;
  void *moved = new_size > LARGEST ? malloc(new_size) : take(memory, class_of(new_size));
  if (moved == NULL)
    return old_size >= new_size ? block : NULL; /* Lua counts on it that shrinking works */
  memcpy(moved, block, old_size < new_size ? old_size : new_size);
  give_back(memory, block, old_size);
  return moved;
}

void *memory_allocate(void *context, void *block, size_t old_size, size_t new_size) {
  Memory *memory = context;
  if (block == NULL) /* then old_size is the kind of object */
    return new_size == 0 ? NULL : new_size > LARGEST ? malloc(new_size) : take(memory, class_of(new_size));
  if (new_size > 0)
    return resize(memory, block, old_size, new_size);
  give_back(memory, block, old_size);
  return NULL;
}

Memory *memory_open(void) {
  return calloc(1, sizeof(Memory));
}

void memory_close(Memory *memory) {
  if (memory == NULL)
    return;
  for (Chunk *chunk = memory->chunks, *next; chunk != NULL; chunk = next) {
    next = chunk->next;
    free(chunk);
  }
  free(memory);
}

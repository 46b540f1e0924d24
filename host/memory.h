/* The allocator of the Lua state; see memory.c. */
#ifndef MOONSAIL_MEMORY_H
#define MOONSAIL_MEMORY_H

#include <stddef.h>

typedef struct Memory Memory;

Memory *memory_open(void);

/* A lua_Alloc whose context is a Memory. */
void *memory_allocate(void *memory, void *block, size_t old_size, size_t new_size);

/* Frees everything at once: nothing of it may be used afterwards. NULL is ignored. */
void memory_close(Memory *memory);

#endif

/* The Lua modules that are compiled into the binary. */
#ifndef MOONSAIL_MODULE_H
#define MOONSAIL_MODULE_H

#include <lua.h>
#include <stddef.h>

typedef struct Module {
  const char *name;
  const unsigned char *code;
  size_t size;
} Module;

/* Made by embed.c at build time; the last one has no name. */
extern const Module modules[];

/* [-0, +0, m] Makes `require` find host.* and the modules above; from `directory` instead when that is not NULL. */
void module_install(lua_State *L, const char *directory);

#endif

/* Coroutines that may wait, and protected calls that let a cancellation pass. */
#ifndef MOONSAIL_COROUTINE_H
#define MOONSAIL_COROUTINE_H

#include <lua.h>

/* [-0, +0, m] Replaces resume, wrap, close and status of the coroutine library, and pcall and xpcall, in the globals.
 */
void coroutine_install(lua_State *L);

#endif

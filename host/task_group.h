/* Several tasks at once; see task_group.c. */
#ifndef MOONSAIL_TASK_GROUP_H
#define MOONSAIL_TASK_GROUP_H

#include <lua.h>

int l_all(lua_State *L);
int l_map(lua_State *L);
int l_race(lua_State *L);

#endif

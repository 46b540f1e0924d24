/* JSON for the C core; see json.c. */
#ifndef MOONSAIL_JSON_H
#define MOONSAIL_JSON_H

#include <lua.h>
#include <stdbool.h>

/* [-0, +1|+3, m] decodes the string at `index`: pushes the value and returns 1, or nil, message, code and returns 3. */
int json_decode(lua_State *L, int index);

/* [-0, +0, -] whether the value at `index` is json.null */
bool json_is_null(lua_State *L, int index);

/* [-0, +1, m] pushes the metatable that marks a table as a list */
void json_push_list_mark(lua_State *L);

/* [-0, +0, m] whether the table at `index` is marked as a list */
bool json_is_list(lua_State *L, int index);

#endif

/* JSON for the C core; see json.c. */
#ifndef MOONSAIL_JSON_H
#define MOONSAIL_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* [-0, +1, e] pushes the value at `index` as JSON text; raises with the path of what cannot be written. */
void json_encode(lua_State *L, int index);

/* [-0, +1|+3, m] pushes the decoded value and returns 1, or nil, message, code and returns 3. */
int json_decode(lua_State *L, const char *text, size_t length);

/* [-0, +0, -] whether the value at `index` is json.null */
bool json_is_null(lua_State *L, int index);

/* [-0, +0, m] marks the table at `index` as a list */
void json_mark_list(lua_State *L, int index);

/* [-0, +0, m] whether the table at `index` is marked as a list */
bool json_is_list(lua_State *L, int index);

/* Whether the text, which a zero byte follows as it does in every Lua string, is all good UTF-8. */
bool json_is_utf8(const char *text, size_t length);

enum { JSON_QUOTE_SIZE = 64, JSON_KEY_SIZE = JSON_QUOTE_SIZE + 2 };

/* Writes the start of a text in quotes, for a message: what is long is cut with an ellipsis, and what would
 * spoil a line is escaped. */
void json_quote(char quoted[JSON_QUOTE_SIZE], const char *text, size_t length);

/* Writes a key as a part of a path, .name or ["a name"], and returns its length, less than JSON_KEY_SIZE. The
 * first name of a path has no dot. */
size_t json_show_key(char *text, size_t size, const char *key, size_t length, bool first);

#endif

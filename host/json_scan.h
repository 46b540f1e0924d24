/* The scanner of json.c, which knows all about a text before cjson sees it. */
#ifndef MOONSAIL_JSON_SCAN_H
#define MOONSAIL_JSON_SCAN_H

#include "path.h"

/* Begins a marked string. No document holds it: it is not UTF-8, which cjson does not mind. */
#define JSON_MARK '\xFF'

enum { JSON_DEPTH = 128 }; /* of nesting, unless the caller says otherwise */

typedef struct Scan {
  /* What to scan. */
  lua_State *L;
  const char *text, *end;
  int max_depth;
  int decode; /* where cjson's decode is on the stack, to find the second of two members of one name; else 0 */

  /* What was found. */
  size_t members; /* of all objects */
  char *marked;   /* what cjson gets, when that is not the text itself: a userdata on the stack */

  /* On the way. */
  const char *p;
  const Step *step;
  int depth;
  size_t length;      /* of marked */
  const char *copied; /* up to where the text is in marked */
} Scan;

/* [-0, +n, m] Goes over the whole text and returns whether it is good JSON. Whatever it leaves on the stack, on the top
 * is a message with path and place when it is not. */
bool json_scan(Scan *s);

/* [-0, +1, m] pushes the marked text */
void json_scan_push_marked(Scan *s);

#endif

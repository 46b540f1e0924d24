/* The writer of json.c, for those that write JSON piece by piece. */
#ifndef MOONSAIL_JSON_WRITE_H
#define MOONSAIL_JSON_WRITE_H

#include "path.h"

typedef struct Writer {
  lua_State *L;
  char *data;
  size_t length, capacity;
  int slot; /* on the stack, for the userdata that holds the data once that is long */
  int indent, depth;
  const Step *step; /* to what is being written, for errors */
  char first[2048];
} Writer;

/* [-0, +1, -] Opens a writer. What it pushes must stay until its data is no longer needed. */
void writer_open(Writer *w, lua_State *L);

/* Each of these may raise, for want of memory or for a value that JSON cannot hold: [-0, +0, e] */
void writer_put(Writer *w, const char *bytes, size_t length);
void writer_put_byte(Writer *w, char byte);
void writer_string(Writer *w, const char *text, size_t length); /* a zero byte follows the text */
void writer_integer(Writer *w, lua_Integer integer);
void writer_value(Writer *w); /* the value on the top */

#endif

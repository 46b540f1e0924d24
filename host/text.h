/* The bytes of texts: for JSON, for requests, and for messages. Every text here is followed by a zero byte, as Lua's
 * strings are. */
#ifndef MOONSAIL_TEXT_H
#define MOONSAIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a byte of a JSON string is not simply itself: the end, escapes, control characters, UTF-8. */
extern const bool text_special[256];

static inline const char *text_skip_plain(const char *p) {
  while (!text_special[(unsigned char)*p])
    p++;
  return p;
}

/* The length of the UTF-8 sequence at p; 0 when it is a bad one. */
size_t text_utf8_length(const char *p);

bool text_is_utf8(const char *text, size_t length);

enum { TEXT_QUOTED = 40, TEXT_QUOTE_SIZE = 64 };

/* Writes the start of a text in quotes, for a message: at most TEXT_QUOTED bytes of it, then an ellipsis; what would
 * spoil a line is escaped. */
void text_quote(char quoted[TEXT_QUOTE_SIZE], const char *text, size_t length);

#endif

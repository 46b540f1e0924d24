/* What the bytes of a text are: plain or special, good UTF-8 or bad; and the start of a text in quotes. */
#include "text.h"

#include <stdio.h>
#include <string.h>

const bool text_special[256] = { [0 ... 31] = true, ['"'] = true, ['\\'] = true, [128 ... 255] = true };

static bool is_tail(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

size_t text_utf8_length(const char *p) {
  const unsigned char *s = (const unsigned char *)p;
  if (s[0] < 0x80)
    return 1;
  if (s[0] < 0xC2 || s[0] > 0xF4 || !is_tail(s[1]))
    return 0;
  if (s[0] < 0xE0)
    return 2;
  /* too long a form, half of a surrogate pair, beyond the last code point */
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
      (s[0] == 0xF4 && s[1] > 0x8F) || !is_tail(s[2]))
    return 0;
  if (s[0] < 0xF0)
    return 3;
  return is_tail(s[3]) ? 4 : 0;
}

bool text_is_utf8(const char *text, size_t length) {
  const char *p = text, *end = text + length;
  while ((p = text_skip_plain(p)) < end) {
    size_t n = text_utf8_length(p);
    if (n == 0)
      return false;
    p += n;
  }
  return true;
}

void text_quote(char quoted[TEXT_QUOTE_SIZE], const char *text, size_t length) {
  const char *p = text, *end = text + length;
  char *out = quoted, piece[8];
  *out++ = '"';
  while (p < end) {
    size_t n = text_utf8_length(p), shown = n;
    if (n > 1 || (n == 1 && !text_special[(unsigned char)*p]))
      memcpy(piece, p, n);
    else
      shown = (size_t)snprintf(piece, sizeof piece, *p == '"' || *p == '\\' ? "\\%c" : "\\x%02X", (unsigned char)*p);
    if (out + shown > quoted + 1 + TEXT_QUOTED)
      break;
    memcpy(out, piece, shown);
    out += shown;
    p += n > 0 ? n : 1;
  }
  snprintf(out, (size_t)(quoted + TEXT_QUOTE_SIZE - out), "%s\"", p < end ? "…" : "");
}

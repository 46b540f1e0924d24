/* Prints paths: names as they are, odd names in brackets and quotes, of a long path its two ends. */
#include "path.h"

#include <stdio.h>

static bool is_name(const char *key, size_t length) {
  for (size_t i = 0; i < length; i++) {
    char c = key[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
      return false;
  }
  return length > 0 && length <= TEXT_QUOTED;
}

static size_t print_step(char *text, size_t size, const Step *step, bool first) {
  char quoted[TEXT_QUOTE_SIZE];
  if (step->key == NULL)
    return (size_t)snprintf(text, size, "[%lld]", (long long)step->index);
  if (is_name(step->key, step->length))
    return (size_t)snprintf(text, size, "%s%.*s", first ? "" : ".", (int)step->length, step->key);
  text_quote(quoted, step->key, step->length);
  return (size_t)snprintf(text, size, "[%s]", quoted);
}

static const Step *go_out(const Step *step, size_t steps) {
  for (; steps > 0; steps--)
    step = step->outer;
  return step;
}

size_t path_print(char path[PATH_SIZE], const Step *innermost) {
  size_t length = 0, depth = 0;
  path[0] = '\0';
  for (const Step *step = innermost; step != NULL; step = step->outer)
    depth++;
  for (size_t i = 0; i < depth; i++) {
    if (i == PATH_OUTER && i + PATH_INNER < depth) {
      length += (size_t)snprintf(path + length, PATH_SIZE - length, "…");
      i = depth - PATH_INNER;
    }
    length += print_step(path + length, PATH_SIZE - length, go_out(innermost, depth - 1 - i), i == 0);
  }
  return length;
}

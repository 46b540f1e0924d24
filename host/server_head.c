/* Whether the head of a request is one: what libmicrohttpd would refuse in words of its own is refused here, so that
 * the client gets the error in the form that it understands. */
#include "server.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* What a head says of how its request goes on. */
typedef struct Framing {
  int hosts, lengths, codings;
} Framing;

size_t head_length(const char *data, size_t size, size_t from) {
  size_t start = 0;
  while (start < size && (data[start] == '\r' || data[start] == '\n'))
    start++; /* empty lines before a request are nothing */
  for (size_t i = from > start + 3 ? from - 3 : start; i < size; i++) {
    if (data[i] != '\n')
      continue;
    size_t next = i + 1 < size && data[i + 1] == '\r' ? i + 2 : i + 1;
    if (next < size && data[next] == '\n')
      return next + 1;
  }
  return 0;
}

bool head_has_request_line(const char *data, size_t size) {
  const char *start = data;
  while (size > 0 && (*start == '\r' || *start == '\n'))
    start++, size--;
  return memchr(start, '\n', size) != NULL;
}

static size_t token_length(const char *text, size_t size) {
  size_t n = 0;
  while (n < size && (isalnum((unsigned char)text[n]) || (text[n] != '\0' && strchr("-_!#$%&'*+.^`|~", text[n]))))
    n++;
  return n;
}

static const char *version_fault(const char *version, size_t size, int *status) {
  if (size == 8 && memcmp(version, "HTTP/1.", 7) == 0 && (version[7] == '0' || version[7] == '1'))
    return NULL;
  if (size < 5 || memcmp(version, "HTTP/", 5) != 0)
    return "this is not a request of HTTP/1.1";
  *status = MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED;
  return "the server speaks HTTP/1.1 and HTTP/1.0";
}

/* METHOD SP target SP version */
static const char *request_line_fault(const char *line, size_t size, int *status) {
  const char *end = line + size;
  const char *target = line + token_length(line, size);
  if (target == line || target == end || *target != ' ')
    return "this is not a request of HTTP/1.1";
  target++;
  const char *space = memchr(target, ' ', (size_t)(end - target));
  if (space == NULL || space == target)
    return "this is not a request of HTTP/1.1";
  for (const char *c = target; c < space; c++) {
    if (iscntrl((unsigned char)*c))
      return "the path holds a control character; percent-encode it";
  }
  return version_fault(space + 1, (size_t)(end - space - 1), status);
}

static bool is_named(const char *line, size_t length, const char *name) {
  return length == strlen(name) && strncasecmp(line, name, length) == 0;
}

static bool is_number(const char *text, size_t size) {
  size_t digits = 0;
  while (digits < size && isdigit((unsigned char)text[digits]))
    digits++;
  return digits > 0 && digits == size && size < 19;
}

static const char *framing_fault(Framing *framing, const char *name, size_t length, const char *value, size_t size,
                                 int *status) {
  if (is_named(name, length, "host"))
    framing->hosts++;
  if (is_named(name, length, "content-length")) {
    framing->lengths++;
    if (!is_number(value, size))
      return "the header Content-Length is not a number";
  }
  if (is_named(name, length, "transfer-encoding")) {
    framing->codings++;
    if (!is_named(value, size, "chunked")) {
      *status = MHD_HTTP_NOT_IMPLEMENTED;
      return "of all transfer codings the server knows chunked only";
    }
  }
  return NULL;
}

static const char *field_fault(Framing *framing, const char *line, size_t size, int *status) {
  size_t length = token_length(line, size);
  if (length == 0 || length == size || line[length] != ':')
    return "a header is not of the form \"Name: value\"";
  const char *value = line + length + 1;
  const char *end = line + size;
  while (value < end && (*value == ' ' || *value == '\t'))
    value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
    end--;
  for (const char *c = value; c < end; c++) {
    if (iscntrl((unsigned char)*c) && *c != '\t')
      return "a header holds a control character";
  }
  return framing_fault(framing, line, length, value, (size_t)(end - value), status);
}

/* Two that read a request differently would not agree where the next one begins. */
static const char *ambiguity(const Framing *framing, bool is_old) {
  if (framing->lengths > 1 || framing->codings > 1 || (framing->lengths > 0 && framing->codings > 0))
    return "the length of the body is said more than once";
  if (framing->hosts > 1 || (framing->hosts == 0 && !is_old))
    return "a request has one header Host";
  return NULL;
}

const char *head_fault(const char *head, size_t size, int *status) {
  const char *end = head + size;
  Framing framing = { 0, 0, 0 };
  const char *fault = NULL;
  bool is_first = true, is_old = false;
  *status = MHD_HTTP_BAD_REQUEST;
  while (head < end && (*head == '\r' || *head == '\n'))
    head++;
  while (fault == NULL && head < end) {
    const char *next = memchr(head, '\n', (size_t)(end - head));
    if (next == NULL)
      break;
    size_t length = (size_t)(next - head);
    if (length > 0 && head[length - 1] == '\r')
      length--;
    if (is_first) {
      fault = request_line_fault(head, length, status);
      is_old = length > 0 && head[length - 1] == '0';
    } else if (length > 0) {
      fault = field_fault(&framing, head, length, status);
    }
    is_first = false;
    head = next + 1;
  }
  return fault != NULL ? fault : ambiguity(&framing, is_old);
}

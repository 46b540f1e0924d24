/* A Transfer is one request at a time on one easy handle of libcurl's; handles are kept with their options and
 * buffers, since making them is most of the cost of a small request.
 *
 * Exactly once: when a kept connection turns out to be dead, libcurl sends the request again on a new one, and the
 * server may have read the first. The hook that libcurl calls before it sends is where this is refused for methods
 * that are not idempotent, and where we learn whether anything was sent at all. */
#include "http.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEPT_TRANSFERS 256
#define UNREAD_LIMIT ((size_t)256 * 1024) /* a streamed answer waits while this much is not handed over */

/* ---- What libcurl tells of one. */

/* On a connection that is used again no socket is opened. */
static bool is_outside(const Host *host, const char *peer, int port) {
  struct sockaddr_in6 v6;
  struct sockaddr_in v4;
  if (host->listening == NULL)
    return true;
  if (uv_ip4_addr(peer, port, &v4) == 0)
    return !listening_here(host, (struct sockaddr *)&v4);
  return uv_ip6_addr(peer, port, &v6) != 0 || !listening_here(host, (struct sockaddr *)&v6);
}

/* Connected, and about to send. */
static int on_ready_to_send(void *data, char *peer, char *local, int peer_port, int local_port) {
  (void)local, (void)local_port;
  Transfer *t = data;
  Host *host = t->http->host;
  t->connecting = false;
  t->outside = is_outside(host, peer, peer_port);
  host->sent_inside = true;
  bool again = t->sent && !t->answered; /* and so not a redirect */
  t->worn |= again;
  if (again && !t->idempotent)
    return CURL_PREREQFUNC_ABORT;
  t->sent = t->connected = true;
  t->answered = false;
  return CURL_PREREQFUNC_OK;
}

/* Adds "name: value" to the head, the name in lower case; a line that begins with a blank goes on with the last one. */
static bool add_header(Transfer *t, const char *line, size_t length) {
  while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
    length--;
  size_t name = 0;
  char *to = buffer_room(&t->head, length + 2);
  if (to == NULL)
    return false;
  bool goes_on = *line == ' ' || *line == '\t';
  if (goes_on && t->head.size > 0) {
    to[-1] = ' ';
  } else {
    const char *colon = memchr(line, ':', length);
    if (goes_on || colon == NULL)
      return true;
    name = (size_t)(colon - line);
    for (size_t i = 0; i < name; i++) {
      bool upper = line[i] >= 'A' && line[i] <= 'Z';
      *to++ = (char)(upper ? line[i] + ('a' - 'A') : line[i]);
    }
    *to++ = '\0';
    name++;
  }
  while (name < length && (line[name] == ' ' || line[name] == '\t'))
    name++;
  memcpy(to, line + name, length - name);
  to[length - name] = '\0';
  t->head.size = (size_t)(to + (length - name) + 1 - t->head.data);
  return true;
}

static void begin_head(Transfer *t, const char *line, size_t length) {
  const char *status = memchr(line, ' ', length);
  long left = status != NULL ? line + length - status : 0;
  t->interim = left > 1 && status[1] == '1';
  t->answered = !t->interim;
  t->head_ended = false;
  t->head.size = 0;
  /* "See other" means GET, which libcurl does for a POST and not for a method that it was given. */
  if (t->custom && left >= 4 && memcmp(status, " 303", 4) == 0)
    t->http->curl.curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, NULL);
}

/* One line of a head. There may be several heads: of a 100 Continue, of redirects; the last one counts. */
static size_t on_header(char *line, size_t unit, size_t count, void *data) {
  Transfer *t = data;
  size_t size = unit * count;
  size_t length = size;
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
    length--;
  if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    begin_head(t, line, length);
  } else if (length == 0) {
    t->head_ended = !t->interim;
    t->connected &= t->interim;                                /* after a redirect its sockets are others */
  } else if (!t->head_ended && !add_header(t, line, length)) { /* after the end: trailers */
    t->no_memory = true;
    return 0;
  }
  return size;
}

static size_t on_body(char *data, size_t unit, size_t count, void *transfer) {
  Transfer *t = transfer;
  size_t size = unit * count;
  if (size > t->max_bytes - t->received) {
    t->too_large = true;
    return 0;
  }
  if (t->streamed && t->body.size >= UNREAD_LIMIT) {
    t->paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (!buffer_add(&t->body, data, size)) {
    t->no_memory = true;
    return 0;
  }
  t->received += size;
  if (t->streamed)
    task_wake(&t->wait);
  return size;
}

/* ---- Their life. */

/* The alarm of a connection is not moved when it is there, but when it rings. */
static void on_late(Host *host, Alarm *alarm) {
  Transfer *t = (Transfer *)((char *)alarm - offsetof(Transfer, alarm));
  uint64_t now = clock_monotonic_ns(host);
  if (t->connecting || now >= t->due_ns || !alarm_set(host, alarm, (double)(t->due_ns - now) / 1e9, on_late))
    transfer_end(t, CURLE_OPERATION_TIMEDOUT);
}

/* libcurl has such a limit too, and counts in real time. */
static bool limit_connecting(Transfer *t) {
  Host *host = t->http->host;
  uint64_t now = clock_monotonic_ns(host);
  double left = t->due_ns > now ? (double)(t->due_ns - now) / 1e9 : 0;
  t->connecting = true;
  return alarm_set(host, &t->alarm, fmin(t->connect_timeout, left), on_late);
}

/* One that follows a redirect connects anew; one that tries another address of its server goes on doing so. */
void transfer_connect(Transfer *t, const struct sockaddr *peer) {
  t->connected = false;
  t->outside = !listening_here(t->http->host, peer);
  if (!t->connecting)
    limit_connecting(t); /* it only moves, which needs no memory */
}

void transfer_stop(Transfer *t) {
  if (!t->active)
    return;
  t->active = false;
  alarm_cancel(t->http->host, &t->alarm);
  t->http->curl.curl_multi_remove_handle(t->http->multi, t->easy);
}

void transfer_end(Transfer *t, CURLcode result) {
  t->result = result;
  transfer_stop(t);
  task_wake(&t->wait);
}

void transfer_free(Transfer *t) {
  transfer_stop(t);
  if (t->older != NULL)
    t->older->younger = t->younger;
  if (t->younger != NULL)
    t->younger->older = t->older;
  else
    t->http->all = t->older;
  t->http->curl.curl_easy_cleanup(t->easy);
  t->http->curl.curl_url_cleanup(t->url);
  buffer_free(&t->url_text);
  buffer_free(&t->lines);
  buffer_free(&t->head);
  buffer_free(&t->body);
  free(t);
}

void transfer_put(Transfer *t) {
  Http *http = t->http;
  transfer_stop(t);
  if (t->worn || http->idle_count >= KEPT_TRANSFERS) {
    transfer_free(t);
    return;
  }
  buffer_reset(&t->lines);
  buffer_reset(&t->head);
  buffer_reset(&t->body);
  t->next_idle = http->idle;
  http->idle = t;
  http->idle_count++;
}

static bool set_options(Transfer *t) {
  Curl *curl = &t->http->curl;
  CURL *easy = t->easy;
  CURLcode failed = 0;
#define SET(option, value) (failed |= curl->curl_easy_setopt(easy, option, value))
  SET(CURLOPT_PRIVATE, t);
  SET(CURLOPT_ERRORBUFFER, t->error);
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)INT_MAX); /* the limit is ours */
  SET(CURLOPT_QUICK_EXIT, 1L);                   /* a cancelled request does not wait for the resolver's thread */
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  SET(CURLOPT_ACCEPT_ENCODING, ""); /* whatever it can decode; what is asked for stands in own_lines */
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
  SET(CURLOPT_OPENSOCKETDATA, t);
  SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
  SET(CURLOPT_CLOSESOCKETDATA, t->http);
  SET(CURLOPT_PREREQFUNCTION, on_ready_to_send);
  SET(CURLOPT_PREREQDATA, t);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, t);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, t);
  if (!t->http->proxied)
    SET(CURLOPT_NOPROXY, "*"); /* saves libcurl a search of the environment for each request */
  /* What the curl command reads, and libcurl leaves to it. */
  const char *bundle = getenv("CURL_CA_BUNDLE");
  const char *directory = bundle == NULL ? getenv("SSL_CERT_DIR") : NULL;
  const char *file = bundle == NULL && directory == NULL ? getenv("SSL_CERT_FILE") : bundle;
  if (directory != NULL)
    SET(CURLOPT_CAPATH, directory);
  if (file != NULL)
    SET(CURLOPT_CAINFO, file);
#undef SET
  return failed == 0;
}

static Transfer *transfer_new(Http *http) {
  Transfer *t = calloc(1, sizeof *t);
  if (t == NULL)
    return NULL;
  t->http = http;
  t->older = http->all;
  if (http->all != NULL)
    http->all->younger = t;
  http->all = t;
  t->easy = http->curl.curl_easy_init();
  t->url = http->curl.curl_url();
  if (t->easy != NULL && t->url != NULL && set_options(t))
    return t;
  transfer_free(t);
  return NULL;
}

Transfer *transfer_take(Http *http) {
  Transfer *t = http->idle;
  if (t == NULL)
    return transfer_new(http);
  http->idle = t->next_idle;
  http->idle_count--;
  return t;
}

/* ---- Beginning a request. */

/* Returns what is wrong with the URL, or NULL. Most often it is the one that the handle had before. */
static const char *set_url(Transfer *t, const char *url, size_t length) {
  Curl *curl = &t->http->curl;
  if (length > 0 && length == t->url_text.size && memcmp(url, t->url_text.data, length) == 0)
    return NULL;
  t->url_text.size = 0;
  CURLUcode fault = curl->curl_url_set(t->url, CURLUPART_URL, url, CURLU_DISALLOW_USER);
  if (fault != CURLUE_OK)
    return curl->curl_url_strerror(fault);
  if (!buffer_add(&t->url_text, url, length))
    return "not enough memory";
  curl->curl_easy_setopt(t->easy, CURLOPT_URL, NULL); /* else libcurl goes on from its copy of the last one */
  curl->curl_easy_setopt(t->easy, CURLOPT_CURLU, t->url);
  return NULL;
}

/* Header lines of our own, unless the request has its own. One without a value keeps libcurl from adding it: a type
 * that nobody named, and a question (Expect: 100-continue) before a large body. The others could be options, but
 * libcurl formats each byte of those twice, and formatting is a third of what it does for a small request. */
static const struct {
  const char *name;
  const char *line;
  bool with_body;
  size_t least_body;
} own_lines[] = {
  { "User-Agent", "User-Agent: moonsail/" MOONSAIL_VERSION, false, 0 },
  { "Accept-Encoding", "Accept-Encoding: gzip", false, 0 },
  { "Content-Type", "Content-Type:", true, 0 },
  { "Expect", "Expect:", true, (size_t)1024 * 1024 },
};
enum { OWN_LINES = sizeof own_lines / sizeof *own_lines };

unsigned transfer_own_line(const char *name) {
  for (unsigned i = 0; i < OWN_LINES; i++) {
    if (strcasecmp(name, own_lines[i].name) == 0)
      return 1U << i;
  }
  return 0;
}

/* Writes a line into the text and its node into the list of libcurl's. */
static char *add_line(struct curl_slist *node, char *text, const char *name, const char *value) {
  node->data = text;
  node->next = node + 1;
  text = stpcpy(text, name);
  value += strspn(value, " \t");
  if (*value == '\0')
    text = stpcpy(text, ";"); /* libcurl's way to send an empty one */
  else
    text = stpcpy(stpcpy(text, ": "), value);
  return text + 1;
}

/* L: as in enum REQUEST. Header lines as libcurl takes them: it reads the list, and neither copies nor frees it. */
static bool set_headers(lua_State *L, Transfer *t, const Request *r) {
  size_t most = r->header_count + OWN_LINES;
  t->lines.size = 0;
  struct curl_slist *list = (void *)buffer_room(&t->lines, most * sizeof *list + r->header_size);
  if (list == NULL)
    return false;
  struct curl_slist *node = list;
  char *text = (char *)(list + most);
  if (lua_istable(L, HEADERS)) {
    for (lua_pushnil(L); lua_next(L, HEADERS) != 0; lua_pop(L, 1))
      text = add_line(node++, text, lua_tostring(L, -2), lua_tostring(L, -1));
  }
  for (unsigned i = 0; i < OWN_LINES; i++) {
    bool applies = r->body_length >= own_lines[i].least_body && (r->body != NULL || !own_lines[i].with_body);
    if (applies && (r->given & 1U << i) == 0) {
      *node = (struct curl_slist){ (char *)own_lines[i].line, node + 1 };
      node++;
    }
  }
  node[-1].next = NULL;
  t->http->curl.curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, list);
  return true;
}

/* What a method means for libcurl: its own GET, HEAD and POST, or any name with or without a body. */
static bool set_method(Transfer *t, const Request *r) {
  Curl *curl = &t->http->curl;
  static const char *const idempotent[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };
  bool posts = strcmp(r->method, "POST") == 0;
  bool heads = strcmp(r->method, "HEAD") == 0;
  t->idempotent = false;
  for (size_t i = 0; i < LIBRARY_COUNT(idempotent); i++)
    t->idempotent |= strcmp(r->method, idempotent[i]) == 0;
  t->custom = !posts && !heads && (r->body != NULL || strcmp(r->method, "GET") != 0);
  if (heads) {
    curl->curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
  } else if (posts || r->body != NULL) {
    curl->curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl->curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_length);
    curl->curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body != NULL ? r->body : "");
  } else {
    curl->curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
  }
  /* Moved (301, 302): a POST becomes a GET, as everywhere; any other method stays what it is. */
  curl->curl_easy_setopt(t->easy, CURLOPT_POSTREDIR, posts ? 0L : (long)(CURL_REDIR_POST_301 | CURL_REDIR_POST_302));
  return curl->curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, t->custom ? r->method : NULL) == CURLE_OK;
}

static void forget_last(Transfer *t) {
  t->received = 0;
  t->result = CURLE_OK;
  t->sent = t->connected = t->answered = t->head_ended = t->paused = false;
  t->too_large = t->no_memory = false;
  t->error[0] = '\0';
}

const char *transfer_begin(lua_State *L, Transfer *t, const Request *r) {
  Http *http = t->http;
  Curl *curl = &http->curl;
  forget_last(t);
  const char *fault = set_url(t, r->url, r->url_length);
  if (fault != NULL)
    return fault;
  t->max_bytes = (size_t)r->max_bytes;
  t->timeout = r->timeout;
  t->due_ns = clock_monotonic_ns(http->host) + (uint64_t)(t->timeout * 1e9);
  t->outside = true;
  t->connect_timeout = fmin(r->connect_timeout, r->timeout);
  t->streamed = !lua_isnil(L, ON_DATA);
  curl->curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, (long)(r->redirects > 0));
  curl->curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)r->redirects);
  t->no_memory = !set_method(t, r) || !set_headers(L, t, r) || !limit_connecting(t) ||
                 curl->curl_multi_add_handle(http->multi, t->easy) != CURLM_OK;
  t->active = !t->no_memory;
  if (!t->active)
    alarm_cancel(http->host, &t->alarm);
  return NULL;
}

/* ---- For the simulated clock. */

bool http_is_outside(const Host *host) {
  const Transfer *t = host->http != NULL ? host->http->all : NULL;
  while (t != NULL && !(t->active && t->outside && t->wait.task != NULL))
    t = t->older;
  return t != NULL;
}

int http_count_inside(const Host *host) {
  int count = 0;
  for (const Transfer *t = host->http != NULL ? host->http->all : NULL; t != NULL; t = t->older)
    count += t->active && !t->outside;
  return count;
}

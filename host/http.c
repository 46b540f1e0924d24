/* HTTP requests: libcurl's multi socket interface on the host's loop. libcurl is loaded at the first request.
 *
 * A Transfer is one request at a time on one easy handle; handles are kept with their options and buffers, since
 * making them is most of the cost of a small request. libcurl decides when it acts: it names sockets and times, and
 * is called when one of them is due. Requests of one turn of the loop are begun together, at its end.
 *
 * Exactly once: when a kept connection turns out to be dead, libcurl sends the request again on a new one, and the
 * server may have read the first. The hook that libcurl calls before it sends is where this is refused for methods
 * that are not idempotent, and where we learn whether anything was sent at all. */
#include "alarm.h"
#include "library.h"
#include "task.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_CLASS "host.http.Stream"
#define DEFAULT_TIMEOUT 30.0
#define DEFAULT_CONNECT_TIMEOUT 10.0
#define DEFAULT_MAX_BYTES (16 * 1024 * 1024)
#define MOST_SECONDS 1e6
#define MOST_BYTES ((lua_Integer)1 << 40)
#define MOST_REDIRECTS 50
#define KEPT_CONNECTIONS 256L
#define KEPT_TRANSFERS 256
#define KEPT_BUFFER ((size_t)64 * 1024)
#define UNREAD_LIMIT ((size_t)256 * 1024) /* a streamed answer waits while this much is not handed over */
#define WHERE_SIZE 300

#define CURL_FUNCTIONS(X)                                                                                              \
  X(curl_global_init)                                                                                                  \
  X(curl_global_cleanup)                                                                                               \
  X(curl_free)                                                                                                         \
  X(curl_easy_init)                                                                                                    \
  X(curl_easy_cleanup)                                                                                                 \
  X(curl_easy_setopt)                                                                                                  \
  X(curl_easy_getinfo)                                                                                                 \
  X(curl_easy_pause)                                                                                                   \
  X(curl_easy_strerror)                                                                                                \
  X(curl_multi_init)                                                                                                   \
  X(curl_multi_cleanup)                                                                                                \
  X(curl_multi_setopt)                                                                                                 \
  X(curl_multi_add_handle)                                                                                             \
  X(curl_multi_remove_handle)                                                                                          \
  X(curl_multi_info_read)                                                                                              \
  X(curl_multi_socket_action)                                                                                          \
  X(curl_multi_strerror)                                                                                               \
  X(curl_url)                                                                                                          \
  X(curl_url_cleanup)                                                                                                  \
  X(curl_url_get)                                                                                                      \
  X(curl_url_set)                                                                                                      \
  X(curl_url_strerror)

/* Called through the struct below, and so not as the macros that check the type of a third argument. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

typedef struct Curl {
  CURL_FUNCTIONS(LIBRARY_MEMBER)
} Curl;

static const char *const curl_names[] = { CURL_FUNCTIONS(LIBRARY_NAME) };

typedef struct Buffer {
  char *data;
  size_t size;
  size_t capacity;
} Buffer;

typedef struct Http Http;
typedef struct Transfer Transfer;

struct Http {
  uv_timer_t timer; /* first: its close callback frees the whole. libcurl's own times, which are real ones */
  Host *host;
  Curl curl;
  CURLM *multi;
  TurnHook drive;          /* something was begun in this turn, or libcurl wants to be called at once */
  struct Socket **sockets; /* by descriptor */
  int socket_count;
  Transfer *all;
  Transfer *idle;
  int idle_count;
  Transfer *unclaimed; /* being turned into a Lua value; stays here when Lua runs out of memory meanwhile */
  bool proxied;        /* the environment names a proxy */
};

/* A socket of libcurl's and what is watched on it. Telling the kernel is the costly part, so interest that libcurl
 * drops in an established connection is only forgotten when an event comes that nobody wants. Any other socket
 * (half a connection, the pipe of a name resolution) libcurl may close without a word before it says
 * CURL_POLL_REMOVE, so with that word it is forgotten at once. */
typedef struct Socket {
  uv_poll_t poll; /* first: its close callback frees the whole */
  Http *http;
  int fd;
  int wanted;       /* CURL_POLL_IN | CURL_POLL_OUT */
  int watched;      /* the same, as the kernel knows it */
  bool established; /* a connection that carries requests: libcurl tells us before it closes it */
} Socket;

struct Transfer {
  Wait wait;   /* first: the task's callbacks get this address */
  Alarm alarm; /* for the whole exchange */
  Http *http;
  Transfer *older, *younger; /* in http->all */
  Transfer *next_idle;
  CURL *easy;
  CURLU *url;
  Buffer url_text; /* what is in `url` */
  Buffer lines;    /* header lines of the request: a list for libcurl, then their text */
  Buffer head;     /* of the answer: name, NUL, value, NUL, ... */
  Buffer body;     /* of the answer */
  size_t received;
  size_t max_bytes;
  double timeout;
  double connect_timeout;
  CURLcode result;
  bool active;     /* libcurl has it */
  bool connected;  /* from when it could send until a socket is opened for it, or its answer's head has ended */
  bool idempotent; /* may be sent again */
  bool sent;       /* the request, or a part of it, has left */
  bool answered;   /* since then something has come back */
  bool head_ended; /* the empty line was seen */
  bool interim;    /* a 1xx, after which the answer is still to come */
  bool custom;     /* libcurl was given a method of its own */
  bool streamed;   /* there is an on_data */
  bool worn;       /* libcurl counts what it sends again over the handle's whole life, and gives up at five */
  bool paused;     /* libcurl holds data back until we have room */
  bool timed_out;
  bool too_large;
  bool no_memory;
  char error[CURL_ERROR_SIZE];
};

/* A request as Lua wrote it, checked. The strings are Lua's. */
typedef struct Request {
  const char *url;
  size_t url_length;
  const char *method;
  const char *body;
  size_t body_length;
  lua_Number timeout;
  lua_Number connect_timeout;
  lua_Integer max_bytes;
  lua_Integer redirects;
  size_t header_count;
  size_t header_size; /* of their text */
  unsigned given;     /* a bit for each of own_lines that it replaces */
} Request;

/* The stack of a request. Its strings stay there while it waits, whatever happens to its table. */
enum { REQUEST = 1, URL, METHOD, HEADERS, BODY, ON_DATA, STREAM };

/* ---- Buffers. */

/* Room for `more` bytes at the end; NULL when out of memory. */
static char *buffer_room(Buffer *buffer, size_t more) {
  if (more > buffer->capacity - buffer->size) {
    size_t capacity = buffer->capacity < 512 ? 512 : buffer->capacity;
    while (capacity - buffer->size < more)
      capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL)
      return NULL;
    buffer->data = data;
    buffer->capacity = capacity;
  }
  return buffer->data + buffer->size;
}

static bool buffer_add(Buffer *buffer, const char *data, size_t size) {
  char *room = buffer_room(buffer, size);
  if (room == NULL)
    return false;
  memcpy(room, data, size);
  buffer->size += size;
  return true;
}

static void buffer_free(Buffer *buffer) {
  free(buffer->data);
  *buffer = (Buffer){ 0 };
}

/* Empties it, and gives back what one large answer has left. */
static void buffer_reset(Buffer *buffer) {
  buffer->size = 0;
  if (buffer->capacity > KEPT_BUFFER)
    buffer_free(buffer);
}

/* ---- Sockets. */

static void on_socket_closed(uv_handle_t *handle) {
  free(handle);
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Tells the kernel what is wanted. A failure shows as a timeout of the request. */
static void socket_watch(Socket *s) {
  int events = (s->wanted & CURL_POLL_IN ? UV_READABLE : 0) | (s->wanted & CURL_POLL_OUT ? UV_WRITABLE : 0);
  s->watched = s->wanted;
  if (events == 0)
    uv_poll_stop(&s->poll);
  else
    uv_poll_start(&s->poll, events, on_poll);
}

static Socket *socket_new(Http *http, int fd) {
  if (fd >= http->socket_count) {
    int count = fd < 32 ? 64 : fd * 2;
    Socket **sockets = realloc(http->sockets, (size_t)count * sizeof *sockets);
    if (sockets == NULL)
      return NULL;
    memset(sockets + http->socket_count, 0, (size_t)(count - http->socket_count) * sizeof *sockets);
    http->sockets = sockets;
    http->socket_count = count;
  }
  Socket *s = calloc(1, sizeof *s);
  if (s == NULL || uv_poll_init(&http->host->loop, &s->poll, fd) != 0) {
    free(s);
    return NULL;
  }
  uv_unref((uv_handle_t *)&s->poll); /* what keeps the loop alive is a request's alarm */
  s->http = http;
  s->fd = fd;
  return http->sockets[fd] = s;
}

/* Must come before the descriptor is closed: its number may be another socket's right afterwards. */
static void socket_close(Socket *s) {
  s->http->sockets[s->fd] = NULL;
  uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

/* What was watched under this number is gone, if anything was. libcurl, which tells of changes only, may believe
 * that the new socket is watched in its place. */
static bool socket_renew(Http *http, int fd) {
  Socket *stale = fd < http->socket_count ? http->sockets[fd] : NULL;
  if (stale == NULL)
    return true;
  int wanted = stale->wanted;
  socket_close(stale);
  Socket *s = socket_new(http, fd);
  if (s == NULL)
    return false;
  s->wanted = wanted;
  socket_watch(s);
  return true;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  Transfer *t = data;
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
  if (fd < 0)
    return CURL_SOCKET_BAD;
  t->connected = false;
  if (socket_renew(t->http, fd))
    return fd;
  close(fd);
  return CURL_SOCKET_BAD;
}

static int on_close_socket(void *data, curl_socket_t fd) {
  Http *http = data;
  if (fd < http->socket_count && http->sockets[fd] != NULL)
    socket_close(http->sockets[fd]);
  return close(fd);
}

/* libcurl says what it wants of a socket, on behalf of a transfer. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *unused) {
  (void)unused;
  Http *http = data;
  Socket *s = fd < http->socket_count ? http->sockets[fd] : NULL;
  if (what == CURL_POLL_REMOVE) {
    if (s != NULL && s->established)
      s->wanted = 0;
    else if (s != NULL)
      socket_close(s);
    return 0;
  }
  if (s == NULL && (s = socket_new(http, fd)) == NULL)
    return -1;
  Transfer *t = NULL;
  http->curl.curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
  s->established |= t != NULL && t->connected;
  s->wanted = what & CURL_POLL_INOUT;
  if ((s->wanted & ~s->watched) != 0)
    socket_watch(s);
  return 0;
}

/* ---- Driving libcurl. */

static void transfer_end(Transfer *t, CURLcode result);

/* Takes in what has ended. */
static void http_collect(Http *http) {
  int left;
  for (CURLMsg *message; (message = http->curl.curl_multi_info_read(http->multi, &left)) != NULL;) {
    Transfer *t = NULL;
    CURLcode result = message->data.result; /* gone once the handle is removed */
    http->curl.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
    transfer_end(t, result);
  }
}

static void http_act(Http *http, curl_socket_t fd, int events) {
  int running;
  http->curl.curl_multi_socket_action(http->multi, fd, events, &running);
  http_collect(http);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  Socket *s = (Socket *)poll;
  int ready = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
  ready &= s->wanted; /* the same bits as CURL_POLL_IN and CURL_POLL_OUT */
  if (status < 0) {
    s->watched = 0; /* libuv has stopped watching */
    ready = s->wanted | CURL_CSELECT_ERR;
  }
  if (s->wanted == 0 || ready == 0) {
    socket_watch(s);
    return;
  }
  http_act(s->http, s->fd, ready);
  if (!uv_is_closing((uv_handle_t *)poll) && (s->wanted & ~s->watched) != 0)
    socket_watch(s);
}

static void on_drive(Host *host, TurnHook *hook) {
  (void)hook;
  http_act(host->http, CURL_SOCKET_TIMEOUT, 0);
}

static void on_timer(uv_timer_t *timer) {
  http_act((Http *)timer, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl says when to call it. The timer is only ever moved forward: one that rings too early costs a call, after
 * which libcurl says again, and moving it for each request would cost more. */
static int on_curl_time(CURLM *multi, long timeout_ms, void *data) {
  (void)multi;
  Http *http = data;
  if (timeout_ms == 0)
    host_after_turn(http->host, &http->drive);
  else if (timeout_ms > 0 &&
           (!uv_is_active((uv_handle_t *)&http->timer) || uv_timer_get_due_in(&http->timer) > (uint64_t)timeout_ms))
    uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
  return 0;
}

/* ---- What libcurl tells of a transfer. */

/* Connected, and about to send. */
static int on_ready_to_send(void *data, char *peer, char *local, int peer_port, int local_port) {
  (void)peer, (void)local, (void)peer_port, (void)local_port;
  Transfer *t = data;
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
    for (size_t i = 0; i < name; i++)
      *to++ = line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] + ('a' - 'A')) : line[i];
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

/* ---- Transfers. */

static void on_too_late(Host *host, Alarm *alarm) {
  (void)host;
  Transfer *t = (Transfer *)((char *)alarm - offsetof(Transfer, alarm));
  t->timed_out = true;
  transfer_end(t, CURLE_OPERATION_TIMEDOUT);
}

/* libcurl lets go of it; a connection on which it was still at work is closed. */
static void transfer_stop(Transfer *t) {
  if (!t->active)
    return;
  t->active = false;
  alarm_cancel(t->http->host, &t->alarm);
  t->http->curl.curl_multi_remove_handle(t->http->multi, t->easy);
}

static void transfer_end(Transfer *t, CURLcode result) {
  t->result = result;
  transfer_stop(t);
  task_wake(&t->wait);
}

static void transfer_free(Transfer *t) {
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

/* Done with: kept for another request. */
static void transfer_put(Transfer *t) {
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
  SET(CURLOPT_QUICK_EXIT, 1L); /* a cancelled request does not wait for the resolver's thread */
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

/* One to begin a request with; NULL when out of memory. */
static Transfer *transfer_take(Http *http) {
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
  t->timed_out = t->too_large = t->no_memory = false;
  t->error[0] = '\0';
}

/* Returns what is wrong with the URL, or NULL; anything else that fails is a lack of memory. */
static const char *transfer_begin(lua_State *L, Transfer *t, const Request *r) {
  Http *http = t->http;
  Curl *curl = &http->curl;
  forget_last(t);
  const char *fault = set_url(t, r->url, r->url_length);
  if (fault != NULL)
    return fault;
  t->max_bytes = (size_t)r->max_bytes;
  t->timeout = r->timeout;
  t->connect_timeout = fmin(r->connect_timeout, r->timeout);
  t->streamed = !lua_isnil(L, ON_DATA);
  curl->curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, (long)(r->redirects > 0));
  curl->curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)r->redirects);
  curl->curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(t->connect_timeout * 1000));
  t->no_memory = !set_method(t, r) || !set_headers(L, t, r) ||
                 !alarm_set(http->host, &t->alarm, t->timeout, on_too_late) ||
                 curl->curl_multi_add_handle(http->multi, t->easy) != CURLM_OK;
  t->active = !t->no_memory;
  if (!t->active)
    alarm_cancel(http->host, &t->alarm);
  return NULL;
}

/* ---- Opening and closing. */

static bool names_a_proxy(void) {
  static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
  for (size_t i = 0; i < LIBRARY_COUNT(names); i++) {
    if (getenv(names[i]) != NULL)
      return true;
  }
  return false;
}

static bool open_multi(Http *http) {
  Curl *curl = &http->curl;
  http->multi = curl->curl_multi_init();
  if (http->multi == NULL)
    return false;
  curl->curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl->curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
  curl->curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_time);
  curl->curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
  curl->curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
  return uv_timer_init(&http->host->loop, &http->timer) == 0;
}

/* Returns NULL with a reason when libcurl cannot be had. */
static Http *http_open(Host *host, char *message, size_t size) {
  Http *http = calloc(1, sizeof *http);
  if (http == NULL) {
    snprintf(message, size, "not enough memory");
    return NULL;
  }
  if (!library_load("libcurl.so.4", curl_names, LIBRARY_COUNT(curl_names), &http->curl, message, size)) {
    free(http);
    return NULL;
  }
  http->host = host;
  http->drive.run = on_drive;
  http->proxied = names_a_proxy();
  if (http->curl.curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK || !open_multi(http)) {
    snprintf(message, size, "libcurl cannot start: not enough memory");
    if (http->multi != NULL)
      http->curl.curl_multi_cleanup(http->multi);
    free(http);
    return NULL;
  }
  uv_unref((uv_handle_t *)&http->timer);
  return host->http = http;
}

static void on_http_closed(uv_handle_t *timer) {
  free(timer);
}

void http_close(Host *host) {
  Http *http = host->http;
  if (http == NULL)
    return;
  while (http->all != NULL)
    transfer_free(http->all);
  http->curl.curl_multi_cleanup(http->multi);
  http->curl.curl_global_cleanup();
  for (int i = 0; i < http->socket_count; i++) {
    if (http->sockets[i] != NULL)
      socket_close(http->sockets[i]);
  }
  free(http->sockets);
  host->http = NULL;
  uv_close((uv_handle_t *)&http->timer, on_http_closed);
}

/* ---- Reading a request. */

static int field_fault(lua_State *L, const char *field, const char *fault) {
  return luaL_argerror(L, REQUEST, lua_pushfstring(L, "field '%s' %s", field, fault));
}

static bool has_control(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)text[i] < ' ' && text[i] != '\t')
      return true;
    if (text[i] == '\x7f')
      return true;
  }
  return false;
}

/* A name in HTTP's sense: no blanks, no separators. */
static bool is_token(const char *text, size_t length) {
  static const char marks[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (!alphanumeric && (c == '\0' || strchr(marks, c) == NULL))
      return false;
  }
  return length > 0;
}

/* Stricter than libcurl, which guesses schemes and takes credentials. */
static const char *url_fault(const char *url, size_t length) {
  size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)url[i] <= ' ' || url[i] == '\x7f')
      return "has a blank or a control character in it; percent-encode it";
  }
  if (scheme == 0)
    return "is not a URL that begins with http:// or https://";
  size_t host = strcspn(url + scheme, "/?#");
  if (memchr(url + scheme, '@', host) != NULL)
    return "has credentials in it; send them in a header instead";
  if (host == 0)
    return "names no host";
  return NULL;
}

static void check_url(lua_State *L, Request *r) {
  if (lua_isnil(L, URL))
    field_fault(L, "url", "is missing");
  r->url = lua_tolstring(L, URL, &r->url_length);
  const char *fault = url_fault(r->url, r->url_length);
  if (fault != NULL)
    field_fault(L, "url", fault);
}

static void check_method(lua_State *L, Request *r) {
  r->body = lua_tolstring(L, BODY, &r->body_length);
  size_t length = 0;
  r->method = lua_isnil(L, METHOD) ? (r->body != NULL ? "POST" : "GET") : lua_tolstring(L, METHOD, &length);
  if (lua_isnil(L, METHOD))
    return;
  bool capitals = is_token(r->method, length);
  for (size_t i = 0; i < length; i++)
    capitals = capitals && (r->method[i] < 'a' || r->method[i] > 'z');
  if (!capitals || strcmp(r->method, "CONNECT") == 0)
    field_fault(L, "method", "is not the name of a method in capitals, such as \"POST\"");
  if (r->body != NULL && strcmp(r->method, "HEAD") == 0)
    field_fault(L, "body", "cannot go with the method HEAD");
}

/* L: ..., name, value. Checks one header. */
static void check_header(lua_State *L, Request *r) {
  if (lua_type(L, -2) != LUA_TSTRING)
    field_fault(L, "headers", "has a name that is not a string");
  size_t name_length, length;
  const char *name = lua_tolstring(L, -2, &name_length);
  if (!is_token(name, name_length))
    field_fault(L, "headers", "has a name with a character that a header's name cannot have");
  if (lua_type(L, -1) != LUA_TSTRING)
    field_fault(L, "headers",
                lua_pushfstring(L, "has a %s as the value of '%s', not a string", luaL_typename(L, -1), name));
  const char *value = lua_tolstring(L, -1, &length);
  if (has_control(value, length))
    field_fault(L, "headers", lua_pushfstring(L, "has a control character in the value of '%s'", name));
  if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
    field_fault(L, "headers", lua_pushfstring(L, "has '%s', which follows from the body; leave it out", name));
  for (unsigned i = 0; i < OWN_LINES; i++) {
    if (strcasecmp(name, own_lines[i].name) == 0)
      r->given |= 1U << i;
  }
  r->header_count++;
  r->header_size += name_length + length + 3; /* ": " and NUL */
}

static void check_headers(lua_State *L, Request *r) {
  if (lua_isnil(L, HEADERS))
    return;
  for (lua_pushnil(L); lua_next(L, HEADERS) != 0; lua_pop(L, 1))
    check_header(L, r);
}

static lua_Number seconds_of(lua_State *L, const char *field) {
  lua_Number seconds = lua_tonumber(L, -1);
  if (!(seconds > 0))
    field_fault(L, field, "is not a number of seconds above 0");
  return fmin(seconds, MOST_SECONDS);
}

static lua_Integer integer_of(lua_State *L, const char *field, lua_Integer most) {
  int whole;
  lua_Integer n = lua_tointegerx(L, -1, &whole);
  if (!whole || n < 0 || n > most)
    field_fault(L, field, lua_pushfstring(L, "is not a whole number from 0 to %I", (LUAI_UACINT)most));
  return n;
}

/* L: as in enum REQUEST, then name, value. */
static void read_field(lua_State *L, Request *r) {
  static const struct {
    const char *name;
    int type;
    int slot; /* where the value is kept */
  } fields[] = {
    { "url", LUA_TSTRING, URL },     { "method", LUA_TSTRING, METHOD },     { "headers", LUA_TTABLE, HEADERS },
    { "body", LUA_TSTRING, BODY },   { "on_data", LUA_TFUNCTION, ON_DATA }, { "timeout", LUA_TNUMBER, 0 },
    { "max_bytes", LUA_TNUMBER, 0 }, { "redirects", LUA_TNUMBER, 0 },       { "connect_timeout", LUA_TNUMBER, 0 },
  };
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  size_t i = 0;
  while (i < LIBRARY_COUNT(fields) && strcmp(fields[i].name, name) != 0)
    i++;
  if (i == LIBRARY_COUNT(fields))
    luaL_argerror(L, REQUEST, lua_pushfstring(L, "there is no field '%s'", luaL_tolstring(L, -2, NULL)));
  if (lua_type(L, -1) != fields[i].type)
    field_fault(L, name,
                lua_pushfstring(L, "is a %s, not a %s", luaL_typename(L, -1), lua_typename(L, fields[i].type)));
  if (fields[i].slot != 0)
    lua_copy(L, -1, fields[i].slot);
  else if (strcmp(name, "timeout") == 0)
    r->timeout = seconds_of(L, name);
  else if (strcmp(name, "connect_timeout") == 0)
    r->connect_timeout = seconds_of(L, name);
  else if (strcmp(name, "max_bytes") == 0)
    r->max_bytes = integer_of(L, name, MOST_BYTES);
  else
    r->redirects = integer_of(L, name, MOST_REDIRECTS);
}

/* [-0, +STREAM-1, e] L: the request. Afterwards as in enum REQUEST. */
static Request read_request(lua_State *L) {
  Request r = { .timeout = DEFAULT_TIMEOUT,
                .connect_timeout = DEFAULT_CONNECT_TIMEOUT,
                .max_bytes = DEFAULT_MAX_BYTES };
  luaL_checktype(L, REQUEST, LUA_TTABLE);
  lua_settop(L, STREAM);
  for (lua_pushnil(L); lua_next(L, REQUEST) != 0; lua_pop(L, 1))
    read_field(L, &r);
  check_url(L, &r);
  check_method(L, &r);
  check_headers(L, &r);
  return r;
}

/* ---- Handing over an answer. */

/* [-0, +1, m] */
static void push_headers(lua_State *L, Transfer *t) {
  lua_createtable(L, 0, 8);
  const char *end = t->head.data + t->head.size;
  for (const char *name = t->head.data; name < end;) {
    const char *value = name + strlen(name) + 1;
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_pushstring(L, value);
    } else {
      lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
      lua_remove(L, -2);
    }
    lua_rawset(L, -3);
    name = value + strlen(value) + 1;
  }
}

/* [-0, +1, m] */
static void push_url(lua_State *L, Transfer *t) {
  long redirects = 0;
  char *url = NULL;
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_COUNT, &redirects);
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  if (redirects > 0 && url != NULL)
    lua_pushstring(L, url);
  else
    lua_pushvalue(L, URL);
}

static int push_response(lua_State *L, Transfer *t) {
  long status = 0;
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "status");
  push_headers(L, t);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, t->body.data, t->body.size);
  lua_setfield(L, -2, "body");
  push_url(L, t);
  lua_setfield(L, -2, "url");
  return 1;
}

/* Writes "host:port" of the server that was asked last. */
static void write_where(Transfer *t, char where[WHERE_SIZE]) {
  Curl *curl = &t->http->curl;
  char *url = NULL, *host = NULL, *port = NULL;
  curl->curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  CURLU *parts = curl->curl_url();
  if (parts != NULL && url != NULL && curl->curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
    curl->curl_url_get(parts, CURLUPART_HOST, &host, 0);
    curl->curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
  }
  snprintf(where, WHERE_SIZE, "%s:%s", host != NULL ? host : "the server", port != NULL ? port : "?");
  curl->curl_free(host);
  curl->curl_free(port);
  curl->curl_url_cleanup(parts);
}

static const char *failure_code(const Transfer *t) {
  if (t->too_large)
    return "too_large";
  switch (t->result) {
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY: return "resolve";
  case CURLE_COULDNT_CONNECT:
  case CURLE_PROXY: return "connect";
  case CURLE_OPERATION_TIMEDOUT: return "timeout";
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CRL_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_PEER_FAILED_VERIFICATION: return "tls";
  case CURLE_TOO_MANY_REDIRECTS: return "redirects";
  case CURLE_OUT_OF_MEMORY: return "too_large"; /* a line of the head is, for libcurl's own limit */
  case CURLE_PARTIAL_FILE: return "truncated";
  case CURLE_OK: /* the head never ended, which libcurl takes for a whole answer */
  case CURLE_GOT_NOTHING:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_HTTP2_STREAM:
  case CURLE_ABORTED_BY_CALLBACK: return !t->sent ? "connect" : t->answered ? "truncated" : "reset";
  default: return "protocol";
  }
}

/* What libcurl, or the system, says of it. */
static const char *failure_detail(Transfer *t) {
  long number = 0;
  if (t->result == CURLE_COULDNT_CONNECT && !t->http->proxied)
    t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
  if (number != 0)
    return strerror((int)number);
  if (t->result == CURLE_OK)
    return "its head is incomplete";
  return t->error[0] != '\0' ? t->error : t->http->curl.curl_easy_strerror(t->result);
}

/* [-0, +4, m] */
static int push_failure(lua_State *L, Transfer *t) {
  const char *code = failure_code(t);
  const char *detail = failure_detail(t);
  char where[WHERE_SIZE];
  write_where(t, where);
  if (strcmp(code, "resolve") == 0)
    host_fail(L, code, "cannot find %s: %s", where, detail);
  else if (strcmp(code, "connect") == 0)
    host_fail(L, code, "cannot connect to %s: %s", where, detail);
  else if (strcmp(code, "tls") == 0)
    host_fail(L, code, "no secure connection to %s: %s", where, detail);
  else if (strcmp(code, "timeout") == 0 && t->sent)
    host_fail(L, code, "%s did not answer within %g s", where, t->timeout);
  else if (strcmp(code, "timeout") == 0)
    host_fail(L, code, "cannot connect to %s within %g s", where, t->connect_timeout);
  else if (strcmp(code, "reset") == 0)
    host_fail(L, code, "%s closed the connection without an answer; it may have read the request", where);
  else if (strcmp(code, "truncated") == 0)
    host_fail(L, code, "the answer of %s ended before it was whole: %s", where, detail);
  else if (strcmp(code, "too_large") == 0 && t->too_large)
    host_fail(L, code, "the answer of %s is larger than %zu bytes", where, t->max_bytes);
  else if (strcmp(code, "too_large") == 0)
    host_fail(L, code, "the answer of %s has too large a head", where);
  else if (strcmp(code, "redirects") == 0)
    host_fail(L, code, "%s redirects once more: %s", where, detail);
  else
    host_fail(L, code, "the answer of %s cannot be understood: %s", where, detail);
  lua_pushboolean(L, t->sent);
  return 4;
}

static int push_answer(lua_State *L, Transfer *t) {
  if (t->no_memory)
    return luaL_error(L, "not enough memory for the answer");
  return t->result == CURLE_OK && t->head_ended ? push_response(L, t) : push_failure(L, t);
}

/* ---- Waiting. */

static void on_cancelled(Wait *wait) {
  Transfer *t = (Transfer *)wait;
  if (t->streamed)
    transfer_stop(t); /* its Stream gives it back */
  else
    transfer_put(t);
}

static int on_finished(lua_State *L, Wait *wait) {
  Transfer *t = (Transfer *)wait;
  Http *http = t->http;
  if (http->unclaimed != NULL)
    transfer_put(http->unclaimed);
  http->unclaimed = t;
  int count = push_answer(L, t);
  http->unclaimed = NULL;
  transfer_put(t);
  return count;
}

static int hand_over(lua_State *L, Transfer *t);

static int on_streamed(lua_State *L, Wait *wait) {
  return hand_over(L, (Transfer *)wait);
}

static int on_handed_over(lua_State *L, int status, lua_KContext context) {
  (void)status;
  return hand_over(L, (Transfer *)context);
}

/* Gives on_data what has come, until the answer has ended. on_data may wait; libcurl holds back what we have no room
 * for meanwhile. */
static int hand_over(lua_State *L, Transfer *t) {
  while (t->body.size > 0) {
    lua_settop(L, STREAM);
    lua_pushvalue(L, ON_DATA);
    lua_pushlstring(L, t->body.data, t->body.size);
    t->body.size = 0;
    if (t->paused && t->active) {
      t->paused = false;
      t->http->curl.curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
    lua_callk(L, 1, 0, (lua_KContext)t, on_handed_over);
  }
  if (!t->active)
    return push_answer(L, t);
  task_check(L); /* on_data may have been the last to run in a cancelled task */
  return task_wait(L, &t->wait, on_cancelled, on_streamed);
}

/* ---- Lua. */

static Http *http_of(lua_State *L) {
  Host *host = host_of(L);
  char message[256];
  if (host->http == NULL && http_open(host, message, sizeof message) == NULL)
    luaL_error(L, "%s", message);
  return host->http;
}

/* A streamed answer belongs to this userdata, since on_data runs, and may fail, while the request goes on. */
static Transfer **stream_new(lua_State *L) {
  Transfer **stream = lua_newuserdatauv(L, sizeof *stream, 0);
  *stream = NULL;
  luaL_setmetatable(L, STREAM_CLASS);
  lua_replace(L, STREAM);
  lua_toclose(L, STREAM);
  return stream;
}

static int l_stream_close(lua_State *L) {
  Transfer **stream = luaL_checkudata(L, 1, STREAM_CLASS);
  Transfer *t = *stream;
  *stream = NULL;
  if (t != NULL && host_of(L)->http != NULL)
    transfer_put(t);
  return 0;
}

static int l_request(lua_State *L) {
  Request r = read_request(L);
  task_check(L);
  Http *http = http_of(L);
  Transfer **stream = lua_isnil(L, ON_DATA) ? NULL : stream_new(L);
  Transfer *t = transfer_take(http);
  if (t == NULL)
    return luaL_error(L, "not enough memory for a request");
  if (stream != NULL)
    *stream = t;
  const char *fault = transfer_begin(L, t, &r);
  if (t->active)
    return stream != NULL ? hand_over(L, t) : task_wait(L, &t->wait, on_cancelled, on_finished);
  if (stream == NULL)
    transfer_put(t);
  if (fault != NULL)
    return field_fault(L, "url", lua_pushfstring(L, "is not valid: %s", fault));
  return luaL_error(L, "not enough memory for a request");
}

int luaopen_host_http(lua_State *L) {
  static const luaL_Reg functions[] = { { "request", l_request }, { NULL, NULL } };
  static const luaL_Reg stream[] = { { "__close", l_stream_close }, { "__gc", l_stream_close }, { NULL, NULL } };
  host_class(L, STREAM_CLASS, stream);
  luaL_newlib(L, functions);
  return 1;
}

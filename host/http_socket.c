/* libcurl on the loop: loads it at the first request, watches its sockets and its times, and calls it when one of
 * them is due. Requests of one turn of the loop are begun together, at its end. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT_CONNECTIONS 256L

static const char *const curl_names[] = { CURL_FUNCTIONS(LIBRARY_NAME) };

typedef struct Socket Socket;

/* A socket of libcurl's and what is watched on it. Telling the kernel is the costly part, so interest that libcurl
 * drops in an established connection is only forgotten when an event comes that nobody wants. Any other socket
 * (half a connection, the pipe of a name resolution) libcurl may close without a word before it says
 * CURL_POLL_REMOVE, so with that word it is forgotten at once. */
struct Socket {
  uv_poll_t poll; /* first: its close callback frees the whole */
  Http *http;
  int fd;
  int wanted;       /* CURL_POLL_IN | CURL_POLL_OUT */
  int watched;      /* the same, as the kernel knows it */
  bool established; /* a connection that carries requests: libcurl tells us before it closes it */
};

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

curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  Transfer *t = data;
  int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
  if (fd < 0)
    return CURL_SOCKET_BAD;
  transfer_connect(t, &address->addr);
  if (socket_renew(t->http, fd))
    return fd;
  close(fd);
  return CURL_SOCKET_BAD;
}

int on_close_socket(void *data, curl_socket_t fd) {
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
  uv_stop(timer->loop); /* timers run before the poll, which must not sleep now that a task may be ready */
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

Http *http_open(Host *host, char *message, size_t size) {
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

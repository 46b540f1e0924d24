/* What the parts of host.http share: http.c, http_request.c, http_transfer.c, http_socket.c and http_answer.c. */
#ifndef MOONSAIL_HTTP_H
#define MOONSAIL_HTTP_H

#include "alarm.h"
#include "buffer.h"
#include "library.h"
#include "listening.h"
#include "task.h"

#include <curl/curl.h>

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

struct Transfer {
  Wait wait;   /* first: the task's callbacks get this address */
  Alarm alarm; /* for what is due first: to be connected, or the end of the whole exchange */
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
  uint64_t due_ns; /* the end of the whole */
  CURLcode result;
  bool active;     /* libcurl has it */
  bool outside;    /* its peer is not known to be in this process */
  bool connecting; /* from its beginning, or the first socket that is opened, until it can send */
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
  unsigned given;     /* a bit for each line of our own that it replaces: transfer_own_line */
} Request;

/* The stack of a request. Its strings stay there while it waits, whatever happens to its table. */
enum { REQUEST = 1, URL, METHOD, HEADERS, BODY, ON_DATA, STREAM };

/* ---- http_request.c */

/* [-0, +STREAM-1, e] L: the request. Afterwards as in enum REQUEST. */
Request request_read(lua_State *L);

/* Raises: field '`field`' of the request `fault`. */
int request_fault(lua_State *L, const char *field, const char *fault);

/* ---- http_transfer.c */

/* One to begin a request with; NULL when out of memory. */
Transfer *transfer_take(Http *http);

/* Done with: kept for another request. */
void transfer_put(Transfer *t);

/* L: as in enum REQUEST. Returns what is wrong with the URL, or NULL; anything else that fails is a lack of memory.
 * Whether it has begun says t->active. */
const char *transfer_begin(lua_State *L, Transfer *t, const Request *r);

/* libcurl lets go of it; a connection on which it was still at work is closed. */
void transfer_stop(Transfer *t);

/* A socket is opened to this peer. */
void transfer_connect(Transfer *t, const struct sockaddr *peer);

/* It is over: stops it and wakes its task. */
void transfer_end(Transfer *t, CURLcode result);

void transfer_free(Transfer *t);

/* A bit for the header line of our own that a request's header of this name replaces, or 0. */
unsigned transfer_own_line(const char *name);

/* ---- http_socket.c */

/* Returns NULL with a reason when libcurl cannot be had. */
Http *http_open(Host *host, char *message, size_t size);

/* libcurl's CURLOPT_OPENSOCKETFUNCTION, its data a Transfer, and CURLOPT_CLOSESOCKETFUNCTION, its data the Http. */
curl_socket_t on_open_socket(void *transfer, curlsocktype purpose, struct curl_sockaddr *address);
int on_close_socket(void *http, curl_socket_t fd);

/* ---- http_answer.c */

/* [-0, +1|+4, m] L: as in enum REQUEST. Pushes what http.request returns, and returns their number. */
int answer_push(lua_State *L, Transfer *t);

#endif

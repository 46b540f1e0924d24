/* What the parts of host.server share: server.c, server_visitor.c, server_head.c, server_peer.c, server_exchange.c,
 * server_request.c, server_response.c and server_loop.c. */
#ifndef MOONSAIL_SERVER_H
#define MOONSAIL_SERVER_H

#include "buffer.h"
#include "host.h"
#include "library.h"
#include "listening.h"
#include "task.h"

#include <microhttpd.h>
#include <netinet/in.h>

/* The most for a request's headers, and for its answer's. */
enum { HEADER_BYTES = 8 * 1024 };

#define MHD_FUNCTIONS(X)                                                                                               \
  X(MHD_add_connection)                                                                                                \
  X(MHD_add_response_header)                                                                                           \
  X(MHD_create_response_from_buffer)                                                                                   \
  X(MHD_destroy_response)                                                                                              \
  X(MHD_get_connection_info)                                                                                           \
  X(MHD_get_connection_values_n)                                                                                       \
  X(MHD_get_daemon_info)                                                                                               \
  X(MHD_get_reason_phrase_for)                                                                                         \
  X(MHD_get_response_headers)                                                                                          \
  X(MHD_get_timeout)                                                                                                   \
  X(MHD_lookup_connection_value)                                                                                       \
  X(MHD_queue_response)                                                                                                \
  X(MHD_resume_connection)                                                                                             \
  X(MHD_run)                                                                                                           \
  X(MHD_start_daemon)                                                                                                  \
  X(MHD_stop_daemon)                                                                                                   \
  X(MHD_suspend_connection)

typedef struct Microhttpd {
  MHD_FUNCTIONS(LIBRARY_MEMBER)
} Microhttpd;

typedef struct Server Server;
typedef struct Exchange Exchange;
typedef struct Peer Peer;
typedef struct Visitor Visitor;

struct Servers {
  Microhttpd mhd;
  TurnHook hook; /* one for all servers, so that it needs no server to be alive */
  Server *first;
};

/* What Lua holds; its user values are the functions. It is in the registry, by its own address, while open. */
typedef struct Handle {
  Wait wait;      /* of the server's own task, which is the parent of the handlers */
  Server *server; /* NULL once closed */
  Task *keeper;
  int port;
  char address[INET6_ADDRSTRLEN];
} Handle;

enum { HANDLER = 1, ON_ERROR = 2, REJECT = 3 };

struct Server {
  uv_poll_t poll;   /* of libmicrohttpd's epoll */
  uv_poll_t door;   /* of the listening socket */
  uv_timer_t timer; /* libmicrohttpd's next timeout, which it counts in real time */
  uv_timer_t sweep; /* once a second while there are connections: whose time is over */
  int handles;      /* how many of these are open; the whole is freed with the last one */
  Listening listening;
  Host *host;
  const Microhttpd *mhd;
  struct MHD_Daemon *daemon;
  Handle *handle;
  Server *next;
  Exchange *exchanges; /* from the first header to the end of the answer or, if later, of the handler */
  Exchange *spare;
  Visitor *first_visitor, *last_visitor;
  int visitors, max_visitors;
  int ready;                    /* of the visitors: there was no room for them yet */
  Peer *first_idle, *last_idle; /* the longest idle one first */
  int connections, max_connections;
  int door_fd;
  unsigned idle_timeout_s, head_timeout_s, body_timeout_s;
  size_t max_body;
  unsigned pass; /* counts the calls of pump */
  unsigned run;  /* counts those of MHD_run */
  bool due;      /* an answer is ready, or a timeout: pump at the end of the turn */
  bool again;    /* libmicrohttpd has to run once more to write an answer */
  bool waiting;  /* libmicrohttpd has asked for an answer that was not there yet */
  int busy;      /* libmicrohttpd or a function of the user runs, so that the server must not go away yet */
  bool closing;
};

struct Exchange {
  Server *server;                    /* NULL once it has closed */
  struct MHD_Connection *connection; /* NULL once the client has gone */
  Exchange *previous, *next;
  struct MHD_Response *response; /* until it is queued */
  unsigned status;
  unsigned run;      /* in which it began */
  unsigned pass;     /* in which its handler was started */
  uint64_t since_ms; /* it began, or was answered */
  bool started;
  bool answered;
  bool running;
  bool suspended;
  const char *method, *path; /* while the request is made */
  Buffer body;               /* the request's, and then the answer's until that is sent */
};

/* ---- server.c */

/* [-0, +1, -] The handler, on_error or reject: a function, or nil for one that was not given. */
void server_push_function(lua_State *L, const Server *server, int which);

/* [-2, +0, -] L: error, traceback or nil. Tells on_error; what that raises is lost. */
void server_report(lua_State *L, const Server *server);

/* Ends its exchanges and frees the server, at once or when it is no longer busy. */
void server_stop(Server *server);

/* Between the two, the server stays although it is stopped. */
void server_enter(Server *server);
void server_leave(Server *server);

/* ---- server_exchange.c */

/* Stops libmicrohttpd's daemon and with it every exchange. A handler that still runs keeps its own until it ends. */
void exchanges_end(Server *server);

/* libmicrohttpd's MHD_AccessHandlerCallback, its data a Server: called with the headers, with each piece of the body,
 * and from then on until there is an answer. */
enum MHD_Result on_request(void *server, struct MHD_Connection *connection, const char *path, const char *method,
                           const char *version, const char *body, size_t *body_size, void **context);

/* libmicrohttpd's MHD_OPTION_NOTIFY_COMPLETED: the answer is sent, or the client has gone. */
void on_completed(void *data, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code);

/* Ends those whose body, or whose reader, is too slow. */
void exchanges_sweep(Server *server);

/* ---- server_peer.c */

/* libmicrohttpd's MHD_OPTION_NOTIFY_CONNECTION. */
void on_connection(void *server, struct MHD_Connection *connection, void **context,
                   enum MHD_ConnectionNotificationCode code);

/* A request begins, or has come to its end. */
void peer_begin(Server *server, struct MHD_Connection *connection);
void peer_rest(Server *server, struct MHD_Connection *connection);

/* -1 when it cannot be told. */
int peer_socket(const Server *server, struct MHD_Connection *connection);

/* Makes the longest idle one go; false when all are busy. */
bool peer_evict(Server *server);

void peers_sweep(Server *server);

/* ---- server_visitor.c */

/* Lets clients in from here on. */
void visitors_open_door(Server *server);

/* Lets in those who have waited for room. */
void visitors_promote(Server *server);

/* Keeps a connection, of which libmicrohttpd has the descriptor, until its client has read the answer. */
void visitor_linger(Server *server, int fd);

void visitors_sweep(Server *server);
void visitors_end(Server *server);

/* ---- server_head.c */

/* The length of a whole head at the beginning of the data, or 0. The first `from` bytes are known to hold none. */
size_t head_length(const char *data, size_t size, size_t from);

bool head_has_request_line(const char *data, size_t size);

/* NULL, or what is wrong with a whole head, with the status to answer. */
const char *head_fault(const char *head, size_t size, int *status);

/* ---- server_request.c */

/* [-0, +3, m] L: exchange -> exchange, query, headers, request. Nothing else may be on the stack. */
void request_push(lua_State *L, const Exchange *x);

/* ---- server_response.c */

/* [-0, +0, -] On top of `co`: what the handler returned or raised. Afterwards there is an answer to queue. */
void response_take(Host *host, Exchange *x, lua_State *co, bool ok);

/* [-0, +1, -] Answers with an error and leaves its body, or nil, on the stack. Should `reject` fail, it is an empty
 * 500. */
void response_reject(lua_State *L, Exchange *x, int status, const char *message);

/* Gives the answer to libmicrohttpd; MHD_NO closes the connection. */
enum MHD_Result response_queue(Exchange *x);

/* Frees an answer that has not been queued, if there is one. */
void response_drop(Exchange *x);

/* Before the body: libmicrohttpd sends the answer, does not read on, and closes. */
enum MHD_Result response_refuse_early(Exchange *x, int status, const char *message);

/* In the middle of a body libmicrohttpd takes no answer, it only closes: the answer is written past it. */
enum MHD_Result response_refuse_midway(Exchange *x, int status, const char *message);

/* Writes the server's own answer to a socket, as far as there is room for it. */
void response_write(Server *server, int fd, int status, const char *message);

/* ---- server_loop.c */

/* Watches the daemon's epoll descriptor and the listening socket; false when that cannot be done. */
bool loop_enter(Server *server, int epoll_fd);

/* Forgets both, which must still be open, and the timers. The server is freed in a later turn. */
void loop_leave(Server *server);

/* Runs libmicrohttpd if that is due. */
void loop_run_due(Server *server);

/* Looks after a while whose time is over. */
void loop_sweep_soon(Server *server);

/* libmicrohttpd runs at the end of this turn. */
void loop_pump_soon(Server *server);

/* The hook of all servers: runs those that are due, and takes their next timeouts. */
void on_server_turn_end(Host *host, TurnHook *hook);

#endif

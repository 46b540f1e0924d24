/* What the parts of host.process share: process.c, process_options.c, process_start.c, process_output.c and
 * process_end.c. A Process holds the libuv handles and lives until the last of them is closed and its leader is
 * reaped; the userdata only points to it. */
#ifndef MOONSAIL_PROCESS_H
#define MOONSAIL_PROCESS_H

#include "alarm.h"
#include "task.h"

#define PROCESS_CLASS "host.Process"

typedef struct Process Process;

typedef struct Stream {
  uv_pipe_t pipe; /* first: libuv's callbacks get this address */
  char *data;     /* what nobody has read yet */
  size_t length;
  size_t capacity;
  uint64_t arrival; /* of the first unread byte, to keep the order of the two streams */
  bool open;        /* more may come */
  bool paused;      /* its writer waits until the unread part is read */
} Stream;

typedef struct Status {
  int64_t code;
  int signal; /* 0 when the process exited by itself */
} Status;

/* Who waits for the end of a process. */
typedef struct Waiter Waiter;
struct Waiter {
  Wait wait;
  Process *process; /* valid while the process has not ended */
  Waiter *next;
  Status status;
};

/* What Lua holds. */
typedef struct Owner {
  Process *process; /* NULL once closed */
  pid_t pid;
} Owner;

/* Who waits for output, or in `run` for the end of everything. */
typedef struct Reader {
  Wait wait;
  Owner *owner;
} Reader;

struct Processes {
  Process *first;
};

struct Process {
  Alarm silence; /* first: its callback gets this address */
  Host *host;
  Owner *owner;   /* NULL once closed */
  Process *next;  /* in the host's list */
  Process **link; /* what points to this one there */
  uv_process_t leader;
  uv_pipe_t input;
  uv_write_t write;
  Stream streams[2]; /* standard output, standard error */
  int handles;       /* those not yet closed */
  pid_t pid;
  bool running;    /* spawned and not yet reaped */
  bool group_gone; /* nobody is left to get a signal */
  bool silent;     /* a descendant keeps a pipe open and writes nothing: taken for the end */
  bool collects;   /* for `run`: keeps everything up to max_bytes */
  bool too_large;
  int failure; /* of reading; a libuv error number */
  size_t max_bytes;
  size_t total;
  uint64_t arrivals;
  Status status;
  Reader *reader;
  Waiter *waiters;
};

/* Points into the table of options at index 1 and into arrays above it on the stack. */
typedef struct Request {
  char **arguments;
  char **environment;    /* NULL: our own */
  const char *directory; /* NULL: our own */
  const char *input;
  size_t input_length;
  bool merge;
  size_t max_bytes;
} Request;

/* ---- process_options.c */

/* [-0, +n, e] L: the table of options, which may have those `names` and no others. Leaves on the stack what the
 * request points to. */
void process_check_request(lua_State *L, const char *const names[], Request *r);

/* ---- process_start.c */

/* [-0, +1|+3, m] L: as process_check_request left it. Pushes a process that runs, or the failure, and returns their
 * number. */
int process_push(lua_State *L, const Request *r, bool collects);

/* ---- process_output.c */

/* Begins, or goes on after a pause; a libuv error number. */
int process_start_reading(Stream *s);

/* Whether what the reader waits for is there: output or its end; with `collects`, the end of everything. */
bool process_is_ready(const Process *p);

/* Something has come or ended: tells the reader if that is what it waits for, or sees to it that somebody will. */
void process_notify(Process *p);

/* [-0, +1|+2|+3, m] pushes the oldest piece of output and its stream, or the end, or the failure, and returns their
 * number. */
int process_push_output(lua_State *L, Process *p);

/* [-0, +0, m] sets `stdout` and `stderr`, all that was collected, in the table on top */
void process_set_output(lua_State *L, const Process *p);

/* ---- process_end.c */

/* Signals the group, while it has a member; a libuv error number. */
int process_signal(Process *p, int signum);

/* libuv's exit_cb: the leader is reaped. */
void process_on_exit(uv_process_t *leader, int64_t code, int signum);

/* Closes one of the process's handles, unless it was never opened or is closed already. */
void process_close_handle(void *handle);

/* No more output comes from it; what is unread stays. */
void process_close_stream(Stream *s);

/* Kills what is left and lets go of everything; of the leader once it is reaped. `p` may be gone afterwards. */
void process_release(Process *p);

#endif

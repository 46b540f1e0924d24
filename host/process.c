/* Child processes. Each leads a session and a process group of its own, which end with whoever owns the process.
 * A Process holds the libuv handles and lives until the last of them is closed and its leader is reaped; the
 * userdata only points to it. Output is read ahead up to a limit, then its writer waits. */
#include "alarm.h"
#include "task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS_CLASS "host.Process"
#define UNREAD_LIMIT ((size_t)256 * 1024)
#define READ_SIZE ((size_t)64 * 1024)
#define RUN_LIMIT ((size_t)16 * 1024 * 1024)
#define SILENCE_SECONDS 0.2
#define REAP_MS 2000

static const char *const stream_names[] = { "stdout", "stderr" };

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

/* ---- The process group. */

/* Signals the group; a libuv error number. Until the leader is reaped, its number means nobody else. Afterwards the
 * kernel still gives that number to no new process as long as the group has a member. So if a process of that number
 * exists again, the group has ended and the one of that name today is a stranger's. */
static int signal_group(Process *p, int signum) {
  if (!p->group_gone && !p->running && (kill(p->pid, 0) == 0 || errno != ESRCH))
    p->group_gone = true;
  if (p->group_gone || kill(-p->pid, signum) == 0)
    return 0;
  if (errno != ESRCH)
    return -errno;
  p->group_gone = true;
  return 0;
}

/* ---- Lifetime. */

static void unlink_from_host(Process *p) {
  if (p->link == NULL)
    return;
  *p->link = p->next;
  if (p->next != NULL)
    p->next->link = p->link;
  p->link = NULL;
}

static void destroy(Process *p) {
  unlink_from_host(p);
  free(p);
}

static void on_closed(uv_handle_t *handle) {
  Process *p = handle->data;
  if (--p->handles == 0)
    destroy(p);
}

static void close_handle(void *handle) {
  if (uv_handle_get_type(handle) != UV_UNKNOWN_HANDLE && !uv_is_closing(handle))
    uv_close(handle, on_closed);
}

static void close_stream(Stream *s) {
  s->open = false;
  close_handle(&s->pipe);
}

/* Kills what is left and lets go of everything; of the leader once it is reaped. */
static void release(Process *p) {
  if (p->owner == NULL)
    return;
  p->owner->process = NULL;
  p->owner = NULL;
  signal_group(p, SIGKILL);
  alarm_cancel(p->host, &p->silence);
  for (int i = 0; i < 2; i++) {
    close_stream(&p->streams[i]);
    free(p->streams[i].data);
    p->streams[i].data = NULL;
  }
  close_handle(&p->input);
  if (!p->running)
    close_handle(&p->leader);
  if (p->reader != NULL)
    task_wake(&p->reader->wait);
  p->reader = NULL;
  if (p->handles == 0)
    destroy(p);
}

/* Nobody can refuse SIGKILL, but who hangs in the kernel, or has become another user's, may outlive us. */
static void reap(const Process *p) {
  for (int tries = 0; tries < REAP_MS && waitpid(p->pid, NULL, WNOHANG) == 0; tries++)
    poll(NULL, 0, 1);
}

void process_close(Host *host) {
  struct Processes *processes = host->processes;
  if (processes == NULL)
    return;
  for (Process *p = processes->first; p != NULL; p = p->next)
    signal_group(p, SIGKILL);
  for (Process *p; (p = processes->first) != NULL;) {
    unlink_from_host(p);
    if (p->running)
      reap(p);
    p->running = false;
    p->reader = NULL; /* no task runs again */
    p->waiters = NULL;
    if (p->owner != NULL)
      release(p);
    else
      close_handle(&p->leader); /* closed, and not yet reaped */
  }
  free(processes);
  host->processes = NULL;
}

/* ---- Output. */

static bool is_at_end(const Process *p) {
  return p->silent || p->failure != 0 || (!p->streams[0].open && !p->streams[1].open);
}

/* Whether what the reader waits for is there. */
static bool is_ready(const Process *p) {
  if (p->collects)
    return p->too_large || p->failure != 0 || (is_at_end(p) && !p->running);
  return p->streams[0].length > 0 || p->streams[1].length > 0 || is_at_end(p);
}

static void notify_reader(Process *p) {
  if (p->reader != NULL && is_ready(p))
    task_wake(&p->reader->wait);
}

static void end_in_silence(Process *p) {
  p->silent = true;
  for (int i = 0; i < 2; i++) {
    if (p->streams[i].open)
      uv_read_stop((uv_stream_t *)&p->streams[i].pipe);
  }
  notify_reader(p);
}

/* The loop may have been late itself, with output in the pipe since long. */
static bool has_output_waiting(const Stream *s) {
  uv_os_fd_t fd;
  if (!s->open || uv_fileno((const uv_handle_t *)&s->pipe, &fd) != 0)
    return false;
  struct pollfd readable = { .fd = fd, .events = POLLIN };
  return poll(&readable, 1, 0) > 0;
}

static void watch_for_silence(Process *p);

static void on_silence(Host *host, Alarm *alarm) {
  (void)host;
  Process *p = (Process *)alarm;
  if (has_output_waiting(&p->streams[0]) || has_output_waiting(&p->streams[1]))
    watch_for_silence(p);
  else
    end_in_silence(p);
}

/* After the leader's end, whoever keeps a pipe open gets a moment; and another one after each piece of output. */
static void watch_for_silence(Process *p) {
  if (p->running || p->owner == NULL || is_at_end(p) || p->streams[0].paused || p->streams[1].paused)
    alarm_cancel(p->host, &p->silence);
  else if (!alarm_set(p->host, &p->silence, SILENCE_SECONDS, on_silence))
    end_in_silence(p);
}

static void on_room_needed(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  (void)suggested;
  Stream *s = (Stream *)handle;
  *room = uv_buf_init(NULL, 0);
  if (s->capacity - s->length < READ_SIZE) {
    size_t capacity = s->capacity == 0 ? READ_SIZE : s->capacity * 2;
    char *data = realloc(s->data, capacity);
    if (data == NULL)
      return;
    s->data = data;
    s->capacity = capacity;
  }
  *room = uv_buf_init(s->data + s->length, (unsigned)(s->capacity - s->length));
}

static void pause_reading(Stream *s) {
  s->paused = true;
  uv_read_stop((uv_stream_t *)&s->pipe);
}

static void take_in(Process *p, Stream *s, size_t count) {
  if (s->length == 0)
    s->arrival = p->arrivals++;
  s->length += count;
  p->total += count;
  if (p->collects)
    p->too_large = p->total > p->max_bytes;
  if (p->collects ? p->too_large : s->length >= UNREAD_LIMIT)
    pause_reading(s);
}

static void on_output(uv_stream_t *pipe, ssize_t count, const uv_buf_t *room) {
  (void)room;
  Process *p = pipe->data;
  Stream *s = (Stream *)pipe;
  if (count == 0)
    return; /* nothing yet */
  if (count > 0) {
    take_in(p, s, (size_t)count);
  } else if (count == UV_ENOBUFS && s->length > 0 && !p->collects) {
    pause_reading(s); /* there will be room when this is read */
  } else {
    if (count != UV_EOF)
      p->failure = (int)count;
    close_stream(s);
  }
  watch_for_silence(p);
  notify_reader(p);
}

static int start_reading(Stream *s) {
  s->paused = false;
  int err = uv_read_start((uv_stream_t *)&s->pipe, on_room_needed, on_output);
  s->open = err == 0;
  return err;
}

static Stream *oldest_unread(Process *p) {
  Stream *a = &p->streams[0], *b = &p->streams[1];
  if (a->length == 0 || b->length == 0)
    return a->length > 0 ? a : b;
  return a->arrival < b->arrival ? a : b;
}

/* [-0, +2|+1|+3, m] pushes a piece of output and its stream, or the end. */
static int push_output(lua_State *L, Process *p) {
  Stream *s = oldest_unread(p);
  if (s->length == 0) {
    if (p->failure != 0)
      return host_fail_uv(L, p->failure, "cannot read the process's output");
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, s->data, s->length);
  lua_pushstring(L, stream_names[s - p->streams]);
  s->length = 0;
  if (s->paused && s->open && !p->silent) {
    start_reading(s);
    watch_for_silence(p);
  }
  return 2;
}

/* ---- Input. */

static void on_input_written(uv_write_t *write, int err) {
  (void)err; /* whoever does not want to read it need not */
  close_handle(write->handle);
}

static int write_input(Process *p, const char *text, size_t length) {
  uv_buf_t buffer = { .base = (char *)text, .len = length };
  return uv_write(&p->write, (uv_stream_t *)&p->input, &buffer, 1, on_input_written);
}

/* ---- The end. */

static void on_exit_of_leader(uv_process_t *leader, int64_t code, int signum) {
  Process *p = leader->data;
  p->running = false;
  p->status = (Status){ .code = code, .signal = signum };
  /* Mostly nobody is left: its number is free from now on, and must not be used again. */
  p->group_gone = p->group_gone || (kill(-p->pid, 0) != 0 && errno == ESRCH);
  for (Waiter *w = p->waiters; w != NULL; w = w->next) {
    w->status = p->status;
    task_wake(&w->wait);
  }
  p->waiters = NULL;
  if (p->owner == NULL) {
    close_handle(&p->leader);
    return;
  }
  watch_for_silence(p);
  notify_reader(p);
}

static void push_signal_name(lua_State *L, int signum) {
  lua_pushliteral(L, "SIG");
  if (sigabbrev_np(signum) != NULL)
    lua_pushstring(L, sigabbrev_np(signum));
  else
    lua_pushinteger(L, signum); /* a real-time signal */
  lua_concat(L, 2);
}

static void push_status(lua_State *L, Status status) {
  lua_createtable(L, 0, 3);
  if (status.signal != 0) {
    push_signal_name(L, status.signal);
    lua_setfield(L, -2, "signal");
  } else {
    lua_pushinteger(L, (lua_Integer)status.code);
    lua_setfield(L, -2, "code");
  }
}

/* ---- What is asked for. */

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

/* The string at `index`, which must stay where it is; `what` names it. */
static char *check_bytes(lua_State *L, int index, const char *what, size_t *length) {
  if (lua_type(L, index) != LUA_TSTRING)
    luaL_argerror(L, 1, lua_pushfstring(L, "%s is a %s, expected a string", what, luaL_typename(L, index)));
  return (char *)lua_tolstring(L, index, length);
}

static char *check_text(lua_State *L, int index, const char *what) {
  size_t length;
  char *text = check_bytes(L, index, what, &length);
  if (strlen(text) != length)
    luaL_argerror(L, 1, lua_pushfstring(L, "%s contains a NUL byte", what));
  return text;
}

/* [-0, +1, -] pushes an option and returns its type */
static int push_option(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, 1);
}

static void check_names(lua_State *L, const char *const names[]) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
    bool known = false;
    for (const char *const *name = names; *name != NULL && !known; name++)
      known = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), *name) == 0;
    if (!known)
      luaL_argerror(L, 1, lua_pushfstring(L, "no option is called '%s'", luaL_tolstring(L, -2, NULL)));
  }
}

/* [-0, +2, e] pushes the array that execve takes, above what keeps its strings alive. */
static char **check_command(lua_State *L) {
  int type = push_option(L, "command");
  size_t count = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
  if (count == 0) {
    luaL_argerror(L, 1, "command must be a list of strings, the program first");
    return NULL;
  }
  int command = lua_gettop(L);
  char **arguments = lua_newuserdatauv(L, (count + 1) * sizeof *arguments, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, command, (lua_Integer)i + 1);
    arguments[i] = check_text(L, -1, "command's program or argument");
    lua_pop(L, 1);
  }
  arguments[count] = NULL;
  luaL_argcheck(L, *arguments[0] != '\0', 1, "command's program is an empty string");
  return arguments;
}

/* [-0, +1, e] pushes a list of "NAME=value" from the table on top; returns its length. */
static size_t push_variables(lua_State *L) {
  int table = lua_gettop(L), list = table + 1, name = table + 2, value = table + 3;
  size_t count = 0;
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_settop(L, name)) {
    const char *key = check_text(L, name, "a name in environment");
    if (*key == '\0' || strchr(key, '=') != NULL)
      luaL_argerror(L, 1, lua_pushfstring(L, "environment has the name '%s'", key));
    lua_pushfstring(L, "environment.%s", key);
    lua_pushfstring(L, "%s=%s", key, check_text(L, value, lua_tostring(L, -1)));
    lua_rawseti(L, list, (lua_Integer)++count);
  }
  return count;
}

static int compare_variables(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* [-0, +0|+3, e] pushes the array that execve takes, sorted: a child sees the same order at each start. */
static char **check_environment(lua_State *L) {
  int type = push_option(L, "environment");
  if (type == LUA_TNIL)
    return NULL;
  luaL_argcheck(L, type == LUA_TTABLE, 1, "environment must be a table of strings by name");
  size_t count = push_variables(L);
  int list = lua_gettop(L);
  char **environment = lua_newuserdatauv(L, (count + 1) * sizeof *environment, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, list, (lua_Integer)i + 1);
    environment[i] = (char *)lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  environment[count] = NULL;
  qsort(environment, count, sizeof *environment, compare_variables);
  return environment;
}

/* Leaves on the stack what the request points to. */
static void check_request(lua_State *L, const char *const names[], Request *r) {
  check_names(L, names);
  lua_settop(L, 1);
  *r = (Request){ .max_bytes = RUN_LIMIT };
  r->arguments = check_command(L);
  r->environment = check_environment(L);
  if (push_option(L, "directory") != LUA_TNIL)
    r->directory = check_text(L, -1, "directory");
  if (push_option(L, "input") != LUA_TNIL)
    r->input = check_bytes(L, -1, "input", &r->input_length);
  push_option(L, "merge");
  r->merge = lua_toboolean(L, -1);
  if (push_option(L, "max_bytes") != LUA_TNIL) {
    luaL_argcheck(L, lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0, 1,
                  "max_bytes must be an integer, not negative");
    r->max_bytes = (size_t)lua_tointeger(L, -1);
  }
}

/* ---- Spawning. */

/* [-0, +1, m] pushes the userdata, closed until it is proven open. */
static Owner *push_owner(lua_State *L) {
  Owner *owner = lua_newuserdatauv(L, sizeof *owner, 1);
  *owner = (Owner){ .process = NULL };
  luaL_setmetatable(L, PROCESS_CLASS);
  return owner;
}

static Process *process_new(Host *host, Owner *owner) {
  if (host->processes == NULL)
    host->processes = calloc(1, sizeof *host->processes);
  Process *p = host->processes != NULL ? calloc(1, sizeof *p) : NULL;
  if (p == NULL)
    return NULL;
  p->host = host;
  p->group_gone = true;
  p->owner = owner;
  owner->process = p;
  p->link = &host->processes->first;
  p->next = *p->link;
  if (p->next != NULL)
    p->next->link = &p->next;
  *p->link = p;
  return p;
}

/* Makes a pipe between `pipe`, which gets its end number `ours`, and the child. A real one and not the pair of
 * sockets that libuv would make, since a child may want to open /dev/stdout. */
static int open_pipe(Process *p, uv_pipe_t *pipe, int ours, int *childs) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return -errno;
  *childs = ends[1 - ours];
  uv_pipe_init(&p->host->loop, pipe, 0); /* of the kind that cannot fail */
  pipe->data = p;
  p->handles++;
  int err = uv_pipe_open(pipe, ends[ours]);
  if (err != 0)
    close(ends[ours]);
  return err;
}

/* Ours are all opened so, but a library's, or one that we inherited, may not be. */
static void set_close_on_exec(void) {
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
    return;
  DIR *descriptors = opendir("/proc/self/fd"); /* before Linux 5.11 */
  if (descriptors == NULL)
    return;
  for (struct dirent *entry; (entry = readdir(descriptors)) != NULL;) {
    int fd = atoi(entry->d_name);
    if (fd > 2)
      fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  closedir(descriptors);
}

static int spawn(Process *p, const Request *r, const int ends[3]) {
  uv_stdio_container_t stdio[3];
  for (int i = 0; i < 3; i++) {
    int fd = i == 2 && r->merge ? ends[1] : ends[i];
    stdio[i].flags = fd < 0 ? UV_IGNORE : UV_INHERIT_FD; /* ignored means /dev/null */
    stdio[i].data.fd = fd;
  }
  uv_process_options_t options = {
    .file = r->arguments[0],
    .args = r->arguments,
    .env = r->environment,
    .cwd = r->directory,
    .flags = UV_PROCESS_DETACHED, /* setsid: a session and a group of its own */
    .stdio_count = 3,
    .stdio = stdio,
    .exit_cb = on_exit_of_leader,
  };
  set_close_on_exec();
  p->leader.data = p;
  p->handles++; /* also when it fails */
  int err = uv_spawn(&p->host->loop, &p->leader, &options);
  if (err != 0)
    return err;
  p->pid = p->leader.pid;
  p->running = true;
  p->group_gone = false;
  return 0;
}

static int begin_streams(Process *p, const Request *r) {
  int err = start_reading(&p->streams[0]);
  if (err == 0 && !r->merge)
    err = start_reading(&p->streams[1]);
  if (err == 0 && r->input_length > 0)
    err = write_input(p, r->input, r->input_length);
  return err;
}

static int start(Process *p, const Request *r) {
  int ends[3] = { -1, -1, -1 }; /* the child's */
  int err = 0;
  if (r->input_length > 0)
    err = open_pipe(p, &p->input, 1, &ends[0]);
  if (err == 0)
    err = open_pipe(p, &p->streams[0].pipe, 0, &ends[1]);
  if (err == 0 && !r->merge)
    err = open_pipe(p, &p->streams[1].pipe, 0, &ends[2]);
  if (err == 0)
    err = spawn(p, r, ends);
  for (int i = 0; i < 3; i++) {
    if (ends[i] >= 0)
      close(ends[i]);
  }
  return err == 0 ? begin_streams(p, r) : err;
}

/* Why nobody could enter a folder; 0 when one can. */
static int check_directory(const char *path) {
  struct stat status;
  if (stat(path, &status) != 0)
    return -errno;
  if (!S_ISDIR(status.st_mode))
    return UV_ENOTDIR;
  return access(path, X_OK) == 0 ? 0 : -errno;
}

/* [-0, +3, m] The child says only what failed, and not at which step. */
static int fail_to_spawn(lua_State *L, const Request *r, int err) {
  const char *program = r->arguments[0];
  int entering = r->directory != NULL ? check_directory(r->directory) : 0;
  if (entering != 0)
    return host_fail_uv(L, entering,
                        lua_pushfstring(L, "cannot run \"%s\" in the directory %s", program, r->directory));
  if (err == UV_ENOENT && strchr(program, '/') == NULL)
    return host_fail(L, "ENOENT", "cannot run \"%s\": no such program in the child's PATH; install it or give its path",
                     program);
  if (err == UV_ENOENT)
    return host_fail(L, "ENOENT", "cannot run \"%s\": the program, or the interpreter it names, does not exist",
                     program);
  return host_fail_uv(L, err, lua_pushfstring(L, "cannot run \"%s\"", program));
}

/* [-0, +1|+3, m] pushes a process that runs, or the failure; returns the number. */
static int push_process(lua_State *L, const Request *r, bool collects) {
  Owner *owner = push_owner(L);
  push_option(L, "input");
  lua_setiuservalue(L, -2, 1); /* libuv reads it until all is written */
  Process *p = process_new(host_of(L), owner);
  if (p == NULL)
    return fail_to_spawn(L, r, UV_ENOMEM);
  p->collects = collects;
  p->max_bytes = r->max_bytes;
  int err = start(p, r);
  if (err != 0) {
    release(p);
    return fail_to_spawn(L, r, err);
  }
  owner->pid = p->pid;
  return 1;
}

/* ---- What Lua calls. */

static Owner *check_owner(lua_State *L) {
  return luaL_checkudata(L, 1, PROCESS_CLASS);
}

static Process *check_open(lua_State *L) {
  Process *p = check_owner(L)->process;
  luaL_argcheck(L, p != NULL, 1, "the process is closed");
  return p;
}

static int l_spawn(lua_State *L) {
  static const char *const names[] = { "command", "directory", "environment", "input", "merge", NULL };
  Request request;
  check_request(L, names, &request);
  return push_process(L, &request, false);
}

static void on_reader_cancelled(Wait *wait) {
  release(((Reader *)wait)->owner->process);
}

/* Suspends the task until the process is ready for it. */
static int await_reader(lua_State *L, Owner *owner, WaitFinish finish) {
  Reader *reader = lua_newuserdatauv(L, sizeof *reader, 0);
  reader->owner = owner;
  owner->process->reader = reader;
  return task_wait(L, &reader->wait, on_reader_cancelled, finish);
}

static int finish_read(lua_State *L, Wait *wait) {
  Process *p = ((Reader *)wait)->owner->process;
  if (p == NULL) { /* closed by another task */
    lua_pushnil(L);
    return 1;
  }
  p->reader = NULL;
  return push_output(L, p);
}

static int l_read(lua_State *L) {
  Process *p = check_open(L);
  luaL_argcheck(L, p->reader == NULL, 1, "another task is reading from the process");
  task_check(L);
  return is_ready(p) ? push_output(L, p) : await_reader(L, p->owner, finish_read);
}

static void on_waiter_cancelled(Wait *wait) {
  Waiter *w = (Waiter *)wait;
  Waiter **link = &w->process->waiters;
  while (*link != w)
    link = &(*link)->next;
  *link = w->next;
}

static int finish_wait(lua_State *L, Wait *wait) {
  push_status(L, ((Waiter *)wait)->status);
  return 1;
}

static int l_wait(lua_State *L) {
  Process *p = check_open(L);
  task_check(L);
  if (!p->running) {
    push_status(L, p->status);
    return 1;
  }
  Waiter *w = lua_newuserdatauv(L, sizeof *w, 0);
  w->process = p;
  w->next = p->waiters;
  p->waiters = w;
  return task_wait(L, &w->wait, on_waiter_cancelled, finish_wait);
}

static int check_signal(lua_State *L, int index) {
  const char *name = luaL_optstring(L, index, "SIGTERM");
  for (int signum = 1; signum < NSIG; signum++) {
    const char *known = sigabbrev_np(signum);
    if (known != NULL && strncmp(name, "SIG", 3) == 0 && strcmp(name + 3, known) == 0)
      return signum;
  }
  return luaL_argerror(L, index, lua_pushfstring(L, "no signal is called '%s'; one is \"SIGTERM\"", name));
}

static int l_kill(lua_State *L) {
  Process *p = check_open(L);
  int err = signal_group(p, check_signal(L, 2));
  if (err != 0)
    return host_fail_uv(L, err, lua_pushfstring(L, "cannot signal process group %d", (int)p->pid));
  lua_pushboolean(L, 1);
  return 1;
}

static int l_close(lua_State *L) {
  Process *p = check_owner(L)->process;
  if (p != NULL)
    release(p);
  return 0;
}

static int finish_run(lua_State *L, Wait *wait) {
  Owner *owner = ((Reader *)wait)->owner;
  Process *p = owner->process;
  p->reader = NULL;
  if (p->too_large || p->failure != 0) {
    size_t max_bytes = p->max_bytes;
    int failure = p->failure;
    release(p);
    if (failure != 0)
      return host_fail_uv(L, failure, "cannot read the process's output");
    return host_fail(L, "too_large", "the process wrote more than %zu bytes; raise max_bytes, or spawn it and read",
                     max_bytes);
  }
  push_status(L, p->status);
  for (int i = 0; i < 2; i++) {
    lua_pushlstring(L, p->streams[i].data, p->streams[i].length);
    lua_setfield(L, -2, stream_names[i]);
  }
  release(p);
  return 1;
}

static int l_run(lua_State *L) {
  static const char *const names[] = { "command", "directory", "environment", "input", "merge", "max_bytes", NULL };
  Request request;
  check_request(L, names, &request);
  task_check(L);
  int count = push_process(L, &request, true);
  if (count != 1)
    return count;
  return await_reader(L, lua_touserdata(L, -1), finish_run);
}

/* [-0, +1, -] `pid`, or a method */
static int l_index(lua_State *L) {
  Owner *owner = check_owner(L);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL && lua_rawequal(L, 2, lua_upvalueindex(2)))
    lua_pushinteger(L, owner->pid);
  return 1;
}

int luaopen_host_process(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "read", l_read },  { "wait", l_wait },     { "kill", l_kill }, { "close", l_close },
    { "__gc", l_close }, { "__close", l_close }, { NULL, NULL },
  };
  static const luaL_Reg functions[] = { { "spawn", l_spawn }, { "run", l_run }, { NULL, NULL } };
  host_class(L, PROCESS_CLASS, methods);
  luaL_getmetatable(L, PROCESS_CLASS);
  lua_getfield(L, -1, "__index");
  lua_pushliteral(L, "pid");
  lua_pushcclosure(L, l_index, 2);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}

/* Spawning: the pipes, the child that leads a session and a group of its own, and why there is none. */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void on_input_written(uv_write_t *write, int err) {
  (void)err; /* whoever does not want to read it need not */
  process_close_handle(write->handle);
}

static int write_input(Process *p, const char *text, size_t length) {
  uv_buf_t buffer = { .base = (char *)text, .len = length };
  return uv_write(&p->write, (uv_stream_t *)&p->input, &buffer, 1, on_input_written);
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
    .exit_cb = process_on_exit,
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
  int err = process_start_reading(&p->streams[0]);
  if (err == 0 && !r->merge)
    err = process_start_reading(&p->streams[1]);
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

int process_push(lua_State *L, const Request *r, bool collects) {
  Owner *owner = push_owner(L);
  lua_pushliteral(L, "input");
  lua_rawget(L, 1);
  lua_setiuservalue(L, -2, 1); /* libuv reads it until all is written */
  Process *p = process_new(host_of(L), owner);
  if (p == NULL)
    return fail_to_spawn(L, r, UV_ENOMEM);
  p->collects = collects;
  p->max_bytes = r->max_bytes;
  int err = start(p, r);
  if (err != 0) {
    process_release(p);
    return fail_to_spawn(L, r, err);
  }
  owner->pid = p->pid;
  return 1;
}

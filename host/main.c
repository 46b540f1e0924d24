/* argv → host → the command line's Lua. Owns the signals and the exit code. */
#include "host.h"
#include "signals.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_FAULT = 1, EXIT_INTERRUPTED = 130 };

enum { MANY_FILES = 64 * 1024 };

typedef struct Main {
  Host *host;
  Task *task;
  bool interrupted;
  int code;
} Main;

static void on_interrupt(Host *host, void *data) {
  Main *run = data;
  run->interrupted = true;
  task_cancel(host, run->task, "interrupted");
}

/* The command line returns its exit code. What it raises is its own fault, so it is shown whole. */
static void on_ended(Host *host, void *data, lua_State *co, bool ok, int count) {
  (void)host;
  Main *run = data;
  if (ok) {
    run->code = count > 0 ? (int)lua_tointeger(co, -count) : 0;
  } else if (task_is_cancellation(co, -1) && run->interrupted) {
    run->code = EXIT_INTERRUPTED;
  } else if (task_is_cancellation(co, -1)) {
    fprintf(stderr, "moonsail: the run cannot go on: %s\n", task_reason(run->task));
    run->code = EXIT_FAULT;
  } else {
    const char *message = luaL_tolstring(co, -1, NULL);
    fprintf(stderr, "moonsail: %s\n", message);
    lua_pop(co, 1);
    task_push_traceback(co);
    if (lua_isstring(co, -1))
      fprintf(stderr, "%s\n", lua_tostring(co, -1));
    run->code = EXIT_FAULT;
  }
}

/* L: main, argc, argv */
static int start(lua_State *L) {
  Main *run = lua_touserdata(L, 1);
  int argc = (int)lua_tointeger(L, 2);
  char **argv = lua_touserdata(L, 3);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "moonsail.cli");
  lua_call(L, 1, 1);
  lua_createtable(L, argc, 0);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_pushliteral(L, MOONSAIL_VERSION);
  run->task = task_start(L, NULL, 2, on_ended, run);
  return 0;
}

/* Whoever starts us may have closed them; else the first file that we open would be taken for one of them. */
static bool open_standard_files(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
      return false;
  }
  return true;
}

/* A client is a descriptor. Not more than that, since some of our children may walk through all that are possible. */
static void allow_many_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= MANY_FILES)
    return;
  limit.rlim_cur = limit.rlim_max < MANY_FILES ? limit.rlim_max : MANY_FILES;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* What a program reads from us must not be cut short in silence. A reader who has gone wanted no more. */
static bool output_is_lost(Host *host) {
  bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;
  struct pollfd out = { .fd = STDOUT_FILENO };
  bool gone = poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
  return host->output_error != 0 || (failed && !gone);
}

int main(int argc, char **argv) {
  if (!open_standard_files())
    return EXIT_FAULT;
  allow_many_files();
  Main run = { .host = host_new(), .code = EXIT_FAULT };
  if (run.host == NULL) {
    fputs("moonsail: cannot start: not enough memory, or no file descriptors left\n", stderr);
    return EXIT_FAULT;
  }
  lua_State *L = run.host->L;
  lua_pushcfunction(L, start);
  lua_pushlightuserdata(L, &run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) {
    Signals *signals = signals_open(run.host, on_interrupt, &run, EXIT_INTERRUPTED);
    task_run_until_ended(run.host, run.task);
    signals_close(signals);
  } else {
    fprintf(stderr, "moonsail: %s\n", lua_tostring(L, -1));
  }
  if (output_is_lost(run.host)) {
    fputs("moonsail: standard output could not be written, so what was printed is not whole\n"
          "  What was done stands. Is there space where the output goes?\n",
          stderr);
    run.code = run.code == 0 ? EXIT_FAULT : run.code;
  }
  if (!host_close(run.host)) {
    fputs("moonsail: a handle was left open; please report this\n", stderr);
    run.code = run.code == 0 ? EXIT_FAULT : run.code;
  }
  return run.code;
}

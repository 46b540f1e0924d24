/* What stands at the other end of standard input, output and error. Keeps no buffer: what is written is out. */
#include "host.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* In the order of their file descriptors. */
static const char *const streams[] = { "stdin", "stdout", "stderr", NULL };

static int l_is_terminal(lua_State *L) {
  int fd = luaL_checkoption(L, 1, NULL, streams);
  lua_pushboolean(L, isatty(fd));
  return 1;
}

/* The size of the first stream that is a terminal which knows its own: a pipeline may have replaced any of them. */
static int l_size(lua_State *L) {
  static const int fds[] = { STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO };
  struct winsize size = { .ws_col = 0, .ws_row = 0 };
  for (size_t i = 0; i < sizeof fds / sizeof *fds && size.ws_col == 0; i++) {
    if (ioctl(fds[i], TIOCGWINSZ, &size) != 0)
      size.ws_col = size.ws_row = 0;
  }
  lua_pushinteger(L, size.ws_col > 0 ? size.ws_col : 80);
  lua_pushinteger(L, size.ws_row > 0 ? size.ws_row : 24);
  return 2;
}

/* The descriptor may be non-blocking, since whoever started us shares it: then waits until it takes more. */
static int write_all(int fd, const char *text, size_t length) {
  while (length > 0) {
    ssize_t count = write(fd, text, length);
    if (count >= 0) {
      text += count;
      length -= (size_t)count;
    } else if (errno == EAGAIN) {
      struct pollfd writable = { .fd = fd, .events = POLLOUT };
      if (poll(&writable, 1, -1) < 0 && errno != EINTR)
        return -errno;
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return 0;
}

static int l_write(lua_State *L) {
  int fd = luaL_checkoption(L, 1, NULL, streams);
  luaL_argcheck(L, fd != STDIN_FILENO, 1, "cannot write to \"stdin\"; use \"stdout\" or \"stderr\"");
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  int err = write_all(fd, text, length);
  if (fd == STDOUT_FILENO && err != 0 && err != -EPIPE)
    host_of(L)->output_error = err;
  if (err != 0)
    return host_fail_uv(L, err,
                        fd == STDOUT_FILENO ? "cannot write to standard output" : "cannot write to standard error");
  lua_pushboolean(L, 1);
  return 1;
}

int luaopen_host_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "is_terminal", l_is_terminal },
    { "size", l_size },
    { "write", l_write },
    { NULL, NULL },
  };
  luaL_newlib(L, functions);
  return 1;
}

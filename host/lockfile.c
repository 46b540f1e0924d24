/* A small file that processes share, changed by one of them at a time: host.lockfile. The lock is the operating
 * system's, so it ends with its holder; it is held only while a function that cannot wait runs. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCKFILE_CLASS "host.Lockfile"

enum {
  MAX_TEXT = 4096, /* bytes */
  TRIES = 50,      /* for the lock, a hundredth of a second in all: who holds it longer has been stopped */
  PAUSE_US = 200,
};

typedef struct Lockfile {
  int fd; /* -1 once closed */
} Lockfile;

static Lockfile *lockfile_at(lua_State *L) {
  Lockfile *file = luaL_checkudata(L, 1, LOCKFILE_CLASS);
  luaL_argcheck(L, file->fd >= 0, 1, "it is closed");
  return file;
}

static int fail_errno(lua_State *L, int err, const char *what) {
  return host_fail(L, uv_err_name(uv_translate_sys_error(err)), "%s: %s", what, strerror(err));
}

/* Whether the file is ours alone: others could otherwise read it, or make us wait for ever. */
static bool is_private(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
         (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  Lockfile *file = lua_newuserdatauv(L, sizeof *file, 0);
  file->fd = -1;
  luaL_setmetatable(L, LOCKFILE_CLASS);
  file->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (file->fd < 0)
    return fail_errno(L, errno, path);
  if (is_private(file->fd))
    return 1;
  close(file->fd);
  file->fd = -1;
  return host_fail(L, "EACCES", "%s is not a file of this user alone; remove it", path);
}

/* Returns 0 or an errno. The loop stands still meanwhile, so not for long. */
static int take_lock(int fd) {
  for (int try = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; try++) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return errno;
    if (try == TRIES)
      return EBUSY;
    usleep(PAUSE_US);
  }
  return 0;
}

static int store_text(int fd, const char *text, size_t length) {
  if (length > MAX_TEXT)
    return EFBIG;
  ssize_t written = pwrite(fd, text, length, 0);
  if (written != (ssize_t)length)
    return written < 0 ? errno : ENOSPC;
  return ftruncate(fd, (off_t)length) == 0 ? 0 : errno;
}

/* L: change, fd => errno. In a protected call, so that the lock is given back whatever is raised. */
static int change_text(lua_State *L) {
  int fd = (int)lua_tointeger(L, 2);
  char text[MAX_TEXT];
  ssize_t length = pread(fd, text, sizeof text, 0);
  int err = length < 0 ? errno : 0;
  if (err == 0) {
    lua_pushvalue(L, 1);
    lua_pushlstring(L, text, (size_t)length);
    lua_call(L, 1, 1);
    size_t size;
    const char *changed = lua_tolstring(L, -1, &size);
    err = changed != NULL ? store_text(fd, changed, size) : 0;
  }
  lua_pushinteger(L, err);
  return 1;
}

static int l_update(lua_State *L) {
  int fd = lockfile_at(L)->fd;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lua_pushcfunction(L, change_text);
  lua_insert(L, 2);
  lua_pushinteger(L, fd);
  int err = take_lock(fd);
  if (err != 0)
    return fail_errno(L, err, "the file cannot be locked");
  int status = lua_pcall(L, 2, 1, 0);
  flock(fd, LOCK_UN);
  if (status != LUA_OK)
    return lua_error(L);
  err = (int)lua_tointeger(L, -1);
  if (err != 0)
    return fail_errno(L, err, "the file cannot be changed");
  lua_pushboolean(L, true);
  return 1;
}

static int l_close(lua_State *L) {
  Lockfile *file = luaL_checkudata(L, 1, LOCKFILE_CLASS);
  if (file->fd >= 0)
    close(file->fd);
  file->fd = -1;
  return 0;
}

int luaopen_host_lockfile(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "update", l_update }, { "close", l_close }, { "__close", l_close }, { "__gc", l_close }, { NULL, NULL },
  };
  static const luaL_Reg functions[] = { { "open", l_open }, { NULL, NULL } };
  host_class(L, LOCKFILE_CLASS, methods);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}

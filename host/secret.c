/* Keys and digests, by libsodium: host.secret. Owns the memory of each key, which is locked, guarded and wiped, and the
 * file that keeps it between starts. What is sealed (XSalsa20-Poly1305) cannot be read or altered without the key. */
#include "host.h"
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_CLASS "host.Key"

#define SODIUM_FUNCTIONS(X)                                                                                            \
  X(crypto_generichash)                                                                                                \
  X(crypto_secretbox_easy)                                                                                             \
  X(crypto_secretbox_open_easy)                                                                                        \
  X(randombytes_buf)                                                                                                   \
  X(sodium_bin2hex)                                                                                                    \
  X(sodium_free)                                                                                                       \
  X(sodium_init)                                                                                                       \
  X(sodium_malloc)                                                                                                     \
  X(sodium_mprotect_readonly)

/* A userdata, the first upvalue of the module's functions and the user value of each key. */
typedef struct Sodium {
  SODIUM_FUNCTIONS(LIBRARY_MEMBER)
  bool loaded;
} Sodium;

typedef struct Key {
  const Sodium *sodium;
  unsigned char *bytes; /* NULL once closed */
} Key;

enum {
  KEY_SIZE = crypto_secretbox_KEYBYTES,
  NONCE_SIZE = crypto_secretbox_NONCEBYTES,
  OVERHEAD = NONCE_SIZE + crypto_secretbox_MACBYTES,
  DIGEST_SIZE = crypto_generichash_BYTES,
};

/* The library; NULL when it cannot be had, with nil, message, code pushed. */
static const Sodium *load_sodium(lua_State *L) {
  static const char *const names[] = { SODIUM_FUNCTIONS(LIBRARY_NAME) };
  Sodium *sodium = lua_touserdata(L, lua_upvalueindex(1));
  char message[200] = "libsodium found no source of random numbers";
  if (!sodium->loaded)
    sodium->loaded = library_load("libsodium.so.23", names, LIBRARY_COUNT(names), sodium, message, sizeof message) &&
                     sodium->sodium_init() >= 0;
  if (sodium->loaded)
    return sodium;
  host_fail(L, "ELIBACC", "%s; install libsodium23", message);
  return NULL;
}

/* ---- The key's file. These return 0 or an errno. */

enum { REFUSED = -1 }; /* what is there is not a key's file, or not for us alone */

static int close_file(int fd, int err) {
  return close(fd) == 0 || err != 0 ? err : errno;
}

static int sync_folder(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? errno : close_file(fd, fsync(fd) == 0 ? 0 : errno);
}

static int write_key(int fd, const unsigned char *bytes) {
  ssize_t written = write(fd, bytes, KEY_SIZE);
  if (written != KEY_SIZE)
    return written < 0 ? errno : ENOSPC;
  return fsync(fd) == 0 ? 0 : errno;
}

/* A new key gets its name when it is whole and on disk: who loses the key loses what it has sealed. EEXIST when another
 * process was faster. `temporary` ends in XXXXXX. */
static int make_file(const Key *key, const char *path, char *temporary, const char *folder) {
  int fd = mkostemp(temporary, O_CLOEXEC); /* O_EXCL, mode 0600 */
  if (fd < 0)
    return errno;
  int err = close_file(fd, write_key(fd, key->bytes));
  if (err == 0 && link(temporary, path) != 0)
    err = errno;
  unlink(temporary);
  return err == 0 ? sync_folder(folder) : err;
}

static int read_key(int fd, const Key *key, struct stat *status) {
  if (fstat(fd, status) != 0)
    return errno;
  if (!S_ISREG(status->st_mode) || (status->st_mode & (S_IRWXG | S_IRWXO)) != 0 || status->st_size != KEY_SIZE)
    return REFUSED;
  ssize_t count = read(fd, key->bytes, KEY_SIZE);
  return count < 0 ? errno : count == KEY_SIZE ? 0 : EIO;
}

static int load_file(const Key *key, const char *path, struct stat *status) {
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  return fd < 0 ? errno : close_file(fd, read_key(fd, key, status));
}

/* ---- secret.key */

static int fail_errno(lua_State *L, int err, const char *path) {
  return host_fail(L, uv_err_name(uv_translate_sys_error(err)), "cannot use the key %s: %s", path, strerror(err));
}

static int fail_refused(lua_State *L, const char *path, const struct stat *status) {
  if (!S_ISREG(status->st_mode))
    return host_fail(L, "EINVAL", "the key %s is not a file; move it away, or choose another folder", path);
  if ((status->st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return host_fail(L, "EACCES", "the key %s can be read by others: its mode is %04o; chmod 600 %s", path,
                     status->st_mode & 07777U, path);
  return host_fail(L, "EINVAL",
                   "the key %s holds %lld bytes and not %d; bring it back from a backup: what it has sealed cannot be "
                   "read without it",
                   path, (long long)status->st_size, KEY_SIZE);
}

/* [-0, +1, m] L: path, ..., key on top. Makes the file with a new key. */
static int make_key(lua_State *L, const Key *key) {
  const char *path = lua_tostring(L, 1);
  const char *slash = strrchr(path, '/');
  const char *folder = slash == NULL ? "." : lua_pushlstring(L, path, (size_t)(slash - path) + 1);
  lua_pushfstring(L, "%s.XXXXXX", path);
  size_t size = lua_rawlen(L, -1) + 1;
  char *temporary = lua_newuserdatauv(L, size, 0);
  memcpy(temporary, lua_tostring(L, -2), size);
  key->sodium->randombytes_buf(key->bytes, KEY_SIZE);
  int err = make_file(key, path, temporary, folder);
  lua_settop(L, 2);
  return err;
}

/* [-0, +1, m] A key whose bytes are not known yet. */
static Key *new_key(lua_State *L, const Sodium *sodium) {
  Key *key = lua_newuserdatauv(L, sizeof *key, 1);
  key->sodium = sodium;
  key->bytes = NULL;
  luaL_setmetatable(L, KEY_CLASS);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, -2, 1);
  key->bytes = sodium->sodium_malloc(KEY_SIZE);
  return key;
}

static int l_key(lua_State *L) {
  size_t length;
  const char *path = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, length > 0 && strlen(path) == length, 1, "must be the path of a file");
  lua_settop(L, 1);
  const Sodium *sodium = load_sodium(L);
  if (sodium == NULL)
    return 3;
  Key *key = new_key(L, sodium);
  int err = key->bytes == NULL ? ENOMEM : 0;
  if (err == 0 && access(path, F_OK) != 0 && errno == ENOENT)
    err = make_key(L, key);
  struct stat status = { 0 };
  if (err == 0 || err == EEXIST)
    err = load_file(key, path, &status);
  if (err == REFUSED)
    return fail_refused(L, path, &status);
  if (err != 0)
    return fail_errno(L, err, path);
  sodium->sodium_mprotect_readonly(key->bytes);
  return 1;
}

/* ---- Keys. */

static Key *check_key(lua_State *L) {
  Key *key = luaL_checkudata(L, 1, KEY_CLASS);
  luaL_argcheck(L, key->bytes != NULL, 1, "the key is closed");
  return key;
}

static int l_seal(lua_State *L) {
  const Key *key = check_key(L);
  size_t length;
  const char *text = luaL_checklstring(L, 2, &length);
  luaL_Buffer b;
  unsigned char *sealed = (unsigned char *)luaL_buffinitsize(L, &b, length + OVERHEAD);
  key->sodium->randombytes_buf(sealed, NONCE_SIZE);
  key->sodium->crypto_secretbox_easy(sealed + NONCE_SIZE, (const unsigned char *)text, length, sealed, key->bytes);
  luaL_pushresultsize(&b, length + OVERHEAD);
  return 1;
}

static int l_open(lua_State *L) {
  const Key *key = check_key(L);
  size_t length;
  const unsigned char *sealed = (const unsigned char *)luaL_checklstring(L, 2, &length);
  luaL_Buffer b;
  unsigned char *text = (unsigned char *)luaL_buffinitsize(L, &b, length);
  if (length < OVERHEAD ||
      key->sodium->crypto_secretbox_open_easy(text, sealed + NONCE_SIZE, length - NONCE_SIZE, sealed, key->bytes) != 0)
    return host_fail(L, "EBADMSG", "this was sealed with another key, or has been altered");
  luaL_pushresultsize(&b, length - OVERHEAD);
  return 1;
}

static int l_key_close(lua_State *L) {
  Key *key = luaL_checkudata(L, 1, KEY_CLASS);
  unsigned char *bytes = key->bytes;
  key->bytes = NULL;
  if (bytes != NULL)
    key->sodium->sodium_free(bytes); /* wipes it first */
  return 0;
}

/* ---- Digests. */

static int l_digest(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  const Sodium *sodium = load_sodium(L);
  if (sodium == NULL)
    return 3;
  unsigned char digest[DIGEST_SIZE];
  char hex[2 * DIGEST_SIZE + 1];
  sodium->crypto_generichash(digest, sizeof digest, (const unsigned char *)text, length, NULL, 0);
  sodium->sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
  lua_pushlstring(L, hex, sizeof hex - 1);
  return 1;
}

/* ---- The module. */

int luaopen_host_secret(lua_State *L) {
  static const luaL_Reg key[] = {
    { "close", l_key_close },   { "open", l_open },      { "seal", l_seal },
    { "__close", l_key_close }, { "__gc", l_key_close }, { NULL, NULL },
  };
  static const luaL_Reg module[] = { { "digest", l_digest }, { "key", l_key }, { NULL, NULL } };
  host_class(L, KEY_CLASS, key);
  luaL_newlibtable(L, module);
  memset(lua_newuserdatauv(L, sizeof(Sodium), 0), 0, sizeof(Sodium));
  luaL_setfuncs(L, module, 1);
  return 1;
}

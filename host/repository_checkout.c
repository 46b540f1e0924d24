/* Checkouts: the tree of a revision, written into a folder by a worker thread while the task waits.
 *
 * libgit2's objects are not shared between threads, so the worker opens the repository for itself. Its copy is told
 * that the folder is the work tree, and that the index is one in memory that says what the revision says: the work
 * tree and the index of the user are neither read nor written, and the attributes are those of the revision. */
#include "repository.h"
#include "task.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Result {
  const char *code; /* NULL: it went well */
  char message[512];
} Result;

/* Lives in the task, which may end before the worker does. */
typedef struct CheckoutWait {
  Wait wait; /* first: the task's callbacks get this address */
  struct Checkout *checkout;
  Result result;
} CheckoutWait;

/* Lives until the worker is done. */
typedef struct Checkout {
  uv_work_t work; /* first: libuv's callbacks get this address */
  struct Repositories *git;
  CheckoutWait *waiter; /* NULL once nobody waits */
  Result result;
  git_oid tree;
  const char *directory;  /* in `text`, as the next */
  const char *repository; /* its git folder */
  char text[];
} Checkout;

/* ---- On the worker thread. */

/* Makes a folder and those above it. */
static bool make_folders(Checkout *checkout) {
  char path[PATH_MAX];
  size_t length = strlen(checkout->directory);
  int err = length < sizeof path ? 0 : ENAMETOOLONG;
  for (size_t i = 1; err == 0 && i <= length; i++) {
    if (checkout->directory[i] != '/' && checkout->directory[i] != '\0')
      continue;
    memcpy(path, checkout->directory, i);
    path[i] = '\0';
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
      err = errno;
  }
  if (err == 0)
    return true;
  checkout->result.code = uv_err_name(-err);
  snprintf(checkout->result.message, sizeof checkout->result.message, "cannot make the folder %s: %s",
           checkout->directory, strerror(err));
  return false;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where) {
  (void)status;
  (void)type;
  (void)where;
  return remove(path);
}

/* Whether what lies there can stay for libgit2 to compare and write. Not a file with other names: they may be
 * outside of the folder. */
static bool is_kind(mode_t mode, nlink_t links, git_filemode_t wanted) {
  switch (wanted) {
  case GIT_FILEMODE_TREE:
  case GIT_FILEMODE_COMMIT: return S_ISDIR(mode);
  case GIT_FILEMODE_LINK: return S_ISLNK(mode);
  default: return S_ISREG(mode) && links == 1;
  }
}

/* Refuses a tree that would write elsewhere: git makes none, but whoever pushes can. libgit2 refuses them too, and
 * more that only other systems take for .git, but not before it has leaked a little. */
static int check_name(const char *root, const git_tree_entry *entry, void *data) {
  Checkout *checkout = data;
  const char *name = checkout->git->api.git_tree_entry_name(entry);
  if (name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
      strcasecmp(name, ".git") != 0)
    return 0;
  checkout->result.code = "EGIT";
  snprintf(checkout->result.message, sizeof checkout->result.message,
           "the revision has a file or folder named \"%s%s\", which is not written for safety; remove it there", root,
           name);
  return -1;
}

/* Removes what lies in the place of an entry and is of another kind. Positive: there is nothing below. */
static int clear_place(const char *root, const git_tree_entry *entry, void *data) {
  const Checkout *checkout = data;
  const Git *g = &checkout->git->api;
  char path[PATH_MAX];
  struct stat found;
  int length = snprintf(path, sizeof path, "%s/%s%s", checkout->directory, root, g->git_tree_entry_name(entry));
  if (length >= (int)sizeof path)
    return 1; /* libgit2 will refuse it too */
  if (lstat(path, &found) != 0)
    return 1;
  if (is_kind(found.st_mode, found.st_nlink, g->git_tree_entry_filemode(entry)))
    return 0;
  if (S_ISDIR(found.st_mode))
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  else
    unlink(path);
  return lstat(path, &found) == 0 ? -1 : 1;
}

/* The tree is its own baseline: what differs from it is written anew, what is missing is made, what equals it keeps
 * its time of change, and what it does not have is left alone. libgit2 would write through a symbolic link that is
 * in the way, so these go first. */
static int write_tree(Checkout *checkout, git_repository *repository, git_index *index, git_tree *tree) {
  const Git *g = &checkout->git->api;
  git_checkout_options options = {
    .version = GIT_CHECKOUT_OPTIONS_VERSION,
    .checkout_strategy = GIT_CHECKOUT_FORCE | GIT_CHECKOUT_DONT_UPDATE_INDEX | GIT_CHECKOUT_NO_REFRESH,
    .target_directory = checkout->directory,
    .baseline = tree,
  };
  int err = g->git_tree_walk(tree, GIT_TREEWALK_PRE, check_name, checkout);
  if (err == 0)
    err = g->git_index_read_tree(index, tree);
  if (err == 0)
    err = g->git_repository_set_workdir(repository, checkout->directory, 0);
  if (err == 0)
    err = g->git_repository_set_index(repository, index);
  if (err == 0)
    err = g->git_tree_walk(tree, GIT_TREEWALK_PRE, clear_place, checkout);
  return err == 0 ? g->git_checkout_tree(repository, (git_object *)tree, &options) : err;
}

static int check_out(Checkout *checkout) {
  const Git *g = &checkout->git->api;
  git_repository *repository = NULL;
  git_index *index = NULL;
  git_object *tree = NULL;
  int err = g->git_repository_open(&repository, checkout->repository);
  if (err == 0)
    err = g->git_object_lookup(&tree, repository, &checkout->tree, GIT_OBJECT_TREE);
  if (err == 0)
    err = g->git_index_new(&index);
  if (err == 0)
    err = write_tree(checkout, repository, index, (git_tree *)tree);
  g->git_object_free(tree);
  g->git_index_free(index);
  g->git_repository_free(repository);
  return err;
}

static void on_work(uv_work_t *work) {
  Checkout *checkout = (Checkout *)work;
  if (!make_folders(checkout) || check_out(checkout) == 0 || checkout->result.code != NULL)
    return;                                                     /* done, or explained */
  const git_error *error = checkout->git->api.git_error_last(); /* this thread's */
  checkout->result.code = "EGIT";
  snprintf(checkout->result.message, sizeof checkout->result.message, "cannot write into %s: %s", checkout->directory,
           error != NULL ? error->message : "unknown error");
}

/* ---- On the loop. */

static void on_work_done(uv_work_t *work, int status) {
  (void)status; /* nobody cancels the work */
  Checkout *checkout = (Checkout *)work;
  checkout->git->checkouts--;
  if (checkout->waiter != NULL) {
    checkout->waiter->result = checkout->result;
    task_wake(&checkout->waiter->wait);
  }
  free(checkout);
}

bool repository_is_outside(const Host *host) {
  return host->git != NULL && host->git->checkouts > 0;
}

/* The worker goes on: half a checkout is no better than a whole one, and it ends soon. */
static void checkout_cancel(Wait *wait) {
  ((CheckoutWait *)wait)->checkout->waiter = NULL;
}

static int checkout_finish(lua_State *L, Wait *wait) {
  const Result *result = &((CheckoutWait *)wait)->result;
  if (result->code != NULL)
    return host_fail(L, result->code, "%s", result->message);
  lua_pushboolean(L, true);
  return 1;
}

static Checkout *checkout_new(const Held *repository, const git_oid *tree, const char *directory) {
  const char *path = repository->git->api.git_repository_path(repository->repository);
  size_t directory_size = strlen(directory) + 1;
  size_t path_size = strlen(path) + 1;
  Checkout *checkout = calloc(1, sizeof *checkout + directory_size + path_size);
  if (checkout == NULL)
    return NULL;
  checkout->git = repository->git;
  checkout->tree = *tree;
  checkout->directory = memcpy(checkout->text, directory, directory_size);
  checkout->repository = memcpy(checkout->text + directory_size, path, path_size);
  return checkout;
}

int l_repository_checkout(lua_State *L) {
  Held *repository = repository_check(L);
  const char *revision = repository_check_text(L, 2);
  const char *directory = repository_check_text(L, 3);
  luaL_argcheck(L, directory[0] == '/', 3, "an absolute path expected");
  task_check(L);
  lua_settop(L, 3);
  git_object *object = repository_resolve(L, repository, revision, GIT_OBJECT_TREE);
  if (object == NULL)
    return 3;
  git_oid tree = *repository->git->api.git_object_id(object);
  repository_drop(L);
  CheckoutWait *waiter = lua_newuserdatauv(L, sizeof *waiter, 0);
  Checkout *checkout = checkout_new(repository, &tree, directory);
  if (checkout == NULL)
    return luaL_error(L, "not enough memory");
  int err = uv_queue_work(&host_of(L)->loop, &checkout->work, on_work, on_work_done);
  if (err != 0) {
    free(checkout);
    return host_fail_uv(L, err, "cannot begin the checkout");
  }
  repository->git->checkouts++;
  checkout->waiter = waiter;
  waiter->checkout = checkout;
  return task_wait(L, &waiter->wait, checkout_cancel, checkout_finish);
}

/* A git repository, read with libgit2: opening it, what changed, files. Writes nothing. The rest of host.repository:
 * repository_refs.c, repository_commit.c, and repository_checkout.c for checkouts into folders of their own.
 *
 * What libgit2 hands out is owned by a userdata on the stack that is to be closed: it is freed when the function
 * returns, pops it, or raises, be it for want of memory. */
#include "repository.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPOSITORY_CLASS "host.Repository"
#define HELD_CLASS "host.repository.Held"

/* ---- What is owned. */

static void held_free(Held *held) {
  const Git *g = &held->git->api;
  switch (held->kind) {
  case HELD_REPOSITORY: g->git_repository_free(held->repository); break;
  case HELD_OBJECT: g->git_object_free(held->object); break;
  case HELD_REFERENCE: g->git_reference_free(held->reference); break;
  case HELD_ENTRY: g->git_tree_entry_free(held->entry); break;
  case HELD_DIFF: g->git_diff_free(held->diff); break;
  case HELD_WALK: g->git_revwalk_free(held->walk); break;
  case HELD_NAMES: g->git_strarray_dispose(&held->names); break;
  }
}

static void held_close(Held *held) {
  if (held->git == NULL)
    return;
  held_free(held);
  *(held->previous != NULL ? &held->previous->next : &held->git->held) = held->next;
  if (held->next != NULL)
    held->next->previous = held->previous;
  held->git = NULL;
}

static int l_held_close(lua_State *L) {
  held_close(lua_touserdata(L, 1));
  return 0;
}

/* [-0, +1, m] An owner of nothing yet. */
static Held *held_new(lua_State *L, HeldKind kind, const char *class) {
  struct Repositories *git = host_of(L)->git;
  Held *held = lua_newuserdatauv(L, sizeof *held, 1);
  *held = (Held){ .kind = kind };
  luaL_setmetatable(L, class); /* may raise, so it is listed only then */
  held->git = git;
  held->next = git->held;
  if (held->next != NULL)
    held->next->previous = held;
  git->held = held;
  return held;
}

Held *repository_hold(lua_State *L, HeldKind kind) {
  Held *held = held_new(L, kind, HELD_CLASS);
  lua_toclose(L, -1);
  return held;
}

void repository_drop(lua_State *L) {
  lua_closeslot(L, -1);
  lua_pop(L, 1);
}

/* ---- Arguments and errors. */

Held *repository_check(lua_State *L) {
  Held *repository = luaL_checkudata(L, 1, REPOSITORY_CLASS);
  luaL_argcheck(L, repository->git != NULL, 1, "the repository is closed");
  return repository;
}

const char *repository_check_text(lua_State *L, int arg) {
  size_t length;
  const char *text = luaL_checklstring(L, arg, &length);
  luaL_argcheck(L, strlen(text) == length, arg, "contains a NUL");
  return text;
}

const char *repository_reason(const Git *g) {
  const git_error *error = g->git_error_last();
  return error != NULL ? error->message : "unknown error";
}

const char *repository_code(int err) {
  switch (err) {
  case GIT_ENOTFOUND:
  case GIT_EINVALIDSPEC:              /* no name of anything */
  case GIT_EPEEL: return "ENOTFOUND"; /* something, but of another kind */
  case GIT_EAMBIGUOUS: return "EAMBIGUOUS";
  case GIT_EUNBORNBRANCH: return "EUNBORN";
  default: return "EGIT";
  }
}

int repository_fail(lua_State *L, const Held *repository, int err, const char *what) {
  return host_fail(L, repository_code(err), "%s: %s", what, repository_reason(&repository->git->api));
}

git_object *repository_resolve(lua_State *L, const Held *repository, const char *revision, git_object_t type) {
  const Git *g = &repository->git->api;
  Held *result = repository_hold(L, HELD_OBJECT);
  Held *named = repository_hold(L, HELD_OBJECT);
  int err = g->git_revparse_single(&named->object, repository->repository, revision);
  if (err == 0)
    err = g->git_object_peel(&result->object, named->object, type);
  repository_drop(L);
  if (err == 0)
    return result->object;
  host_fail(L, repository_code(err), "there is no revision \"%s\" in %s: %s", revision,
            g->git_repository_path(repository->repository), repository_reason(g));
  return NULL;
}

/* ---- Opening. */

static bool start(struct Repositories *git, char *message, size_t size) {
  static const char *const names[] = { GIT_FUNCTIONS(LIBRARY_NAME) };
  if (!library_load("libgit2.so.1.5", names, LIBRARY_COUNT(names), &git->api, message, size))
    return false;
  if (git->api.git_libgit2_init() < 0) {
    snprintf(message, size, "cannot start libgit2: %s", repository_reason(&git->api));
    return false;
  }
  /* In CI the checkout often belongs to another user than the one who runs. git refuses such a repository because
   * its configuration and hooks can name commands; libgit2 runs neither. */
  git->api.git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  return true;
}

static bool start_once(Host *host, char *message, size_t size) {
  if (host->git != NULL)
    return true;
  struct Repositories *git = calloc(1, sizeof *git);
  if (git == NULL || !start(git, message, size)) {
    free(git);
    return false;
  }
  host->git = git;
  return true;
}

static void push_path(lua_State *L, const Held *repository) {
  const Git *g = &repository->git->api;
  const char *path = g->git_repository_workdir(repository->repository);
  if (path == NULL)
    path = g->git_repository_path(repository->repository);
  size_t length = strlen(path); /* with a slash at the end */
  lua_pushlstring(L, path, length > 1 ? length - 1 : length);
}

static int l_open(lua_State *L) {
  const char *path = repository_check_text(L, 1);
  char message[200] = "out of memory";
  if (!start_once(host_of(L), message, sizeof message))
    return host_fail(L, "ELIBACC", "%s; install libgit2-1.5", message);
  Held *repository = held_new(L, HELD_REPOSITORY, REPOSITORY_CLASS);
  int err = repository->git->api.git_repository_open_ext(&repository->repository, path, 0, NULL);
  if (err == GIT_ENOTFOUND)
    return host_fail(L, "ENOTFOUND", "there is no git repository in %s or above it; make one with git init", path);
  if (err != 0)
    return repository_fail(L, repository, err, path);
  push_path(L, repository);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

static int l_repository_index(lua_State *L) {
  luaL_checkudata(L, 1, REPOSITORY_CLASS);
  const char *name = lua_tostring(L, 2);
  if (name != NULL && strcmp(name, "path") == 0)
    lua_getiuservalue(L, 1, 1);
  else
    lua_gettable(L, lua_upvalueindex(1));
  return 1;
}

/* ---- Trees. */

/* The index of a list below the top: `added`, `changed`, `deleted`. */
static int list_of(git_delta_t status) {
  switch (status) {
  case GIT_DELTA_ADDED: return -3;
  case GIT_DELTA_DELETED: return -1;
  default: return -2;
  }
}

static void push_changes(lua_State *L, const Git *g, const git_diff *diff) {
  lua_createtable(L, 0, 3);
  lua_newtable(L);
  lua_newtable(L);
  lua_newtable(L); /* changes, added, changed, deleted */
  size_t count = g->git_diff_num_deltas(diff);
  for (size_t i = 0; i < count; i++) {
    const git_diff_delta *delta = g->git_diff_get_delta(diff, i);
    int list = list_of(delta->status);
    lua_pushstring(L, delta->new_file.path); /* the old one's too: nothing is a rename */
    lua_rawseti(L, list - 1, (lua_Integer)lua_rawlen(L, list - 1) + 1);
  }
  lua_setfield(L, -4, "deleted");
  lua_setfield(L, -3, "changed");
  lua_setfield(L, -2, "added");
}

static int l_changed_paths(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  const char *from = lua_isnil(L, 2) ? NULL : repository_check_text(L, 2);
  const char *to = repository_check_text(L, 3);
  git_object *new_tree = repository_resolve(L, repository, to, GIT_OBJECT_TREE);
  git_object *old_tree = NULL;
  if (new_tree == NULL)
    return 3;
  if (from != NULL && (old_tree = repository_resolve(L, repository, from, GIT_OBJECT_TREE)) == NULL)
    return 3;
  git_diff_options options = {
    .version = GIT_DIFF_OPTIONS_VERSION,
    .flags = GIT_DIFF_INCLUDE_TYPECHANGE, /* a file that becomes a link has changed */
    .ignore_submodules = GIT_SUBMODULE_IGNORE_UNSPECIFIED,
    .context_lines = 3,
  };
  Held *diff = repository_hold(L, HELD_DIFF);
  int err = g->git_diff_tree_to_tree(&diff->diff, repository->repository, (git_tree *)old_tree, (git_tree *)new_tree,
                                     &options);
  if (err != 0)
    return repository_fail(L, repository, err, "cannot compare the revisions");
  push_changes(L, g, diff->diff);
  return 1;
}

static int fail_read(lua_State *L, const Held *repository, int err, const char *revision, const char *path) {
  return host_fail(L, repository_code(err), "cannot read %s at %s: %s", path, revision,
                   repository_reason(&repository->git->api));
}

static int l_read(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  const char *revision = repository_check_text(L, 2);
  const char *path = repository_check_text(L, 3);
  git_object *tree = repository_resolve(L, repository, revision, GIT_OBJECT_TREE);
  if (tree == NULL)
    return 3;
  Held *entry = repository_hold(L, HELD_ENTRY);
  int err = g->git_tree_entry_bypath(&entry->entry, (git_tree *)tree, path);
  if (err != 0)
    return fail_read(L, repository, err, revision, path);
  if (g->git_tree_entry_type(entry->entry) != GIT_OBJECT_BLOB)
    return host_fail(L, "ENOTFOUND", "%s is a folder at %s, not a file", path, revision);
  Held *blob = repository_hold(L, HELD_OBJECT);
  err = g->git_tree_entry_to_object(&blob->object, repository->repository, entry->entry);
  if (err != 0)
    return fail_read(L, repository, err, revision, path);
  const git_blob *content = (const git_blob *)blob->object;
  lua_pushlstring(L, g->git_blob_rawcontent(content), (size_t)g->git_blob_rawsize(content));
  return 1;
}

/* ---- The module. */

static int l_close(lua_State *L) {
  held_close(luaL_checkudata(L, 1, REPOSITORY_CLASS));
  return 0;
}

void repository_close(Host *host) {
  struct Repositories *git = host->git;
  if (git == NULL)
    return;
  while (git->checkouts > 0)
    uv_run(&host->loop, UV_RUN_ONCE);
  while (git->held != NULL)
    held_close(git->held);
  git->api.git_libgit2_shutdown();
  free(git);
  host->git = NULL;
}

int luaopen_host_repository(lua_State *L) {
  static const luaL_Reg held[] = { { "__close", l_held_close }, { "__gc", l_held_close }, { NULL, NULL } };
  static const luaL_Reg repository[] = {
    { "branches", l_repository_branches },
    { "changed_paths", l_changed_paths },
    { "checkout", l_repository_checkout },
    { "close", l_close },
    { "commit", l_repository_commit },
    { "commits", l_repository_commits },
    { "head", l_repository_head },
    { "pull_requests", l_repository_pull_requests },
    { "read", l_read },
    { "tags", l_repository_tags },
    { "__close", l_close },
    { "__gc", l_close },
    { NULL, NULL },
  };
  static const luaL_Reg module[] = { { "open", l_open }, { NULL, NULL } };
  host_class(L, HELD_CLASS, held);
  host_class(L, REPOSITORY_CLASS, repository);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, l_repository_index, 1);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, module);
  return 1;
}

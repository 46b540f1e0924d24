/* A git repository, read with libgit2: refs, commits, what changed, files. Writes nothing; checkouts into folders of
 * their own are in repository_checkout.c.
 *
 * What libgit2 hands out is owned by a userdata on the stack that is to be closed: it is freed when the function
 * returns, pops it, or raises, be it for want of memory. */
#include "repository.h"

#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPOSITORY_CLASS "host.Repository"
#define HELD_CLASS "host.repository.Held"
#define BRANCHES "refs/heads/"
#define TAGS "refs/tags/"
#define PULL_REQUESTS "refs/pull/"

enum { DEFAULT_LIMIT = 100, SHORT_SIZE = 7 };

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
  *held = (Held){ .git = git, .next = git->held, .kind = kind };
  if (held->next != NULL)
    held->next->previous = held;
  git->held = held;
  luaL_setmetatable(L, class);
  return held;
}

/* [-0, +1, m] The same for as long as it is on the stack. */
static Held *hold(lua_State *L, HeldKind kind) {
  Held *held = held_new(L, kind, HELD_CLASS);
  lua_toclose(L, -1);
  return held;
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

static const char *reason(const Git *g) {
  const git_error *error = g->git_error_last();
  return error != NULL ? error->message : "unknown error";
}

static const char *code_of(int err) {
  switch (err) {
  case GIT_ENOTFOUND: return "ENOTFOUND";
  case GIT_EINVALIDSPEC: return "ENOTFOUND"; /* no name of anything */
  case GIT_EPEEL: return "ENOTFOUND";        /* something, but of another kind */
  case GIT_EAMBIGUOUS: return "EAMBIGUOUS";
  case GIT_EUNBORNBRANCH: return "EUNBORN";
  default: return "EGIT";
  }
}

static int fail_git(lua_State *L, const Held *repository, int err, const char *what) {
  return host_fail(L, code_of(err), "%s: %s", what, reason(&repository->git->api));
}

git_object *repository_resolve(lua_State *L, const Held *repository, const char *revision, git_object_t type) {
  const Git *g = &repository->git->api;
  Held *result = hold(L, HELD_OBJECT);
  Held *named = hold(L, HELD_OBJECT);
  int err = g->git_revparse_single(&named->object, repository->repository, revision);
  if (err == 0)
    err = g->git_object_peel(&result->object, named->object, type);
  lua_pop(L, 1);
  if (err == 0)
    return result->object;
  host_fail(L, code_of(err), "there is no revision \"%s\" in %s: %s", revision,
            g->git_repository_path(repository->repository), reason(g));
  return NULL;
}

/* ---- Text. */

/* Latin-1 takes any bytes, so it is what stays when nothing else fits. */
static void push_latin1(lua_State *L, const char *text) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;
    if (c >= 0x80)
      luaL_addchar(&buffer, (char)(0xc0 | c >> 6));
    luaL_addchar(&buffer, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
  }
  luaL_pushresult(&buffer);
}

/* Into `room`; returns the size, or -1 when it is not text of that encoding. */
static ptrdiff_t convert(const char *encoding, const char *text, size_t length, char *room, size_t size) {
  iconv_t converter = iconv_open("UTF-8", encoding);
  if (converter == (iconv_t)-1)
    return -1;
  char *in = (char *)text; /* which iconv only reads */
  char *out = room;
  size_t failed = iconv(converter, &in, &length, &out, &size);
  iconv_close(converter);
  return failed == (size_t)-1 ? -1 : out - room;
}

/* [-0, +1, m] A text of git's as UTF-8; `encoding` is the commit's, or NULL. */
static void push_text(lua_State *L, const char *text, const char *encoding) {
  size_t length = strlen(text);
  size_t size = length * 4 + 16; /* no character grows by more */
  luaL_Buffer buffer;
  char *room = luaL_buffinitsize(L, &buffer, size);
  ptrdiff_t converted = convert(encoding != NULL ? encoding : "UTF-8", text, length, room, size);
  luaL_pushresultsize(&buffer, converted < 0 ? 0 : (size_t)converted);
  if (converted >= 0)
    return;
  lua_pop(L, 1);
  push_latin1(L, text);
}

static void push_oid(lua_State *L, const Git *g, const git_oid *oid) {
  char text[GIT_OID_HEXSZ + 1];
  lua_pushstring(L, g->git_oid_tostr(text, sizeof text, oid));
}

static void set_text(lua_State *L, const char *field, const char *text, const char *encoding) {
  push_text(L, text, encoding);
  lua_setfield(L, -2, field);
}

/* ---- Opening. */

static bool start(struct Repositories *git, char *message, size_t size) {
  static const char *const names[] = { GIT_FUNCTIONS(LIBRARY_NAME) };
  if (!library_load("libgit2.so.1.5", names, LIBRARY_COUNT(names), &git->api, message, size))
    return false;
  if (git->api.git_libgit2_init() < 0) {
    snprintf(message, size, "cannot start libgit2: %s", reason(&git->api));
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
    return fail_git(L, repository, err, path);
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

/* ---- References. */

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* N of refs/pull/N/head, or 0. */
static lua_Integer pull_request_number(const char *name) {
  size_t prefix = strlen(PULL_REQUESTS);
  if (strncmp(name, PULL_REQUESTS, prefix) != 0)
    return 0;
  size_t digits = strspn(name + prefix, "0123456789");
  bool fits = digits > 0 && digits < 18 && strcmp(name + prefix + digits, "/head") == 0;
  return fits ? strtoll(name + prefix, NULL, 10) : 0;
}

static int by_number(const void *a, const void *b) {
  lua_Integer left = pull_request_number(*(char *const *)a);
  lua_Integer right = pull_request_number(*(char *const *)b);
  return (left > right) - (left < right);
}

/* Sets the fields of the table on the top of the stack; false to leave this one out. */
typedef bool (*Describe)(lua_State *L, const Held *repository, const char *name, const Held *reference);

/* [-0, +0, m] Sets `revision`; false when the reference leads to no commit. */
static bool describe_revision(lua_State *L, const Git *g, const Held *reference) {
  Held *commit = hold(L, HELD_OBJECT);
  bool found = g->git_reference_peel(&commit->object, reference->reference, GIT_OBJECT_COMMIT) == 0;
  if (found) {
    push_oid(L, g, g->git_object_id(commit->object));
    lua_setfield(L, -3, "revision");
  }
  lua_pop(L, 1);
  return found;
}

/* [-0, +0, m] Appends what `describe` makes of one reference to the list on the top of the stack. */
static void add_reference(lua_State *L, const Held *repository, const char *name, Describe describe) {
  const Git *g = &repository->git->api;
  Held *reference = hold(L, HELD_REFERENCE);
  if (g->git_reference_lookup(&reference->reference, repository->repository, name) == 0) {
    lua_newtable(L);
    if (describe_revision(L, g, reference) && describe(L, repository, name, reference))
      lua_rawseti(L, -3, (lua_Integer)lua_rawlen(L, -3) + 1);
    else
      lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* One that another process removes meanwhile, and one that leads to no commit, is left out. */
static int list_references(lua_State *L, const char *prefix, int (*order)(const void *, const void *),
                           Describe describe) {
  const Held *repository = repository_check(L);
  Held *names = hold(L, HELD_NAMES);
  int err = repository->git->api.git_reference_list(&names->names, repository->repository);
  if (err != 0)
    return fail_git(L, repository, err, "cannot list the references");
  if (names->names.count > 0)
    qsort(names->names.strings, names->names.count, sizeof *names->names.strings, order);
  lua_newtable(L);
  for (size_t i = 0; i < names->names.count; i++) {
    if (strncmp(names->names.strings[i], prefix, strlen(prefix)) == 0)
      add_reference(L, repository, names->names.strings[i], describe);
  }
  return 1;
}

static bool is_default(lua_State *L, const Held *repository, const char *name) {
  const Git *g = &repository->git->api;
  Held *head = hold(L, HELD_REFERENCE);
  int err = g->git_reference_lookup(&head->reference, repository->repository, "HEAD");
  const char *target = err == 0 ? g->git_reference_symbolic_target(head->reference) : NULL;
  bool same = target != NULL && strcmp(target, name) == 0;
  lua_pop(L, 1);
  return same;
}

static bool describe_branch(lua_State *L, const Held *repository, const char *name, const Held *reference) {
  (void)reference;
  lua_pushstring(L, name + strlen(BRANCHES));
  lua_setfield(L, -2, "name");
  lua_pushboolean(L, is_default(L, repository, name));
  lua_setfield(L, -2, "default");
  return true;
}

static bool describe_tag(lua_State *L, const Held *repository, const char *name, const Held *reference) {
  const Git *g = &repository->git->api;
  lua_pushstring(L, name + strlen(TAGS));
  lua_setfield(L, -2, "name");
  const git_oid *target = g->git_reference_target(reference->reference);
  Held *tag = hold(L, HELD_OBJECT);
  if (target != NULL && g->git_object_lookup(&tag->object, repository->repository, target, GIT_OBJECT_TAG) == 0) {
    const char *message = g->git_tag_message((git_tag *)tag->object);
    push_text(L, message != NULL ? message : "", NULL);
    lua_setfield(L, -3, "message");
  }
  lua_pop(L, 1);
  return true;
}

static bool describe_pull_request(lua_State *L, const Held *repository, const char *name, const Held *reference) {
  (void)repository;
  (void)reference;
  lua_Integer number = pull_request_number(name);
  if (number == 0)
    return false;
  lua_pushfstring(L, "pull/%I", (LUAI_UACINT)number);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, number);
  lua_setfield(L, -2, "number");
  return true;
}

static int l_branches(lua_State *L) {
  return list_references(L, BRANCHES, by_name, describe_branch);
}

static int l_tags(lua_State *L) {
  return list_references(L, TAGS, by_name, describe_tag);
}

static int l_pull_requests(lua_State *L) {
  return list_references(L, PULL_REQUESTS, by_number, describe_pull_request);
}

static int l_head(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  Held *head = hold(L, HELD_REFERENCE);
  int err = g->git_repository_head(&head->reference, repository->repository);
  if (err == GIT_EUNBORNBRANCH)
    return host_fail(L, "EUNBORN", "%s has no commit yet; make one", g->git_repository_path(repository->repository));
  if (err != 0)
    return fail_git(L, repository, err, "cannot read HEAD");
  lua_newtable(L);
  if (!describe_revision(L, g, head))
    return host_fail(L, "EGIT", "HEAD leads to no commit: %s", reason(g));
  if (g->git_reference_is_branch(head->reference)) {
    lua_pushstring(L, g->git_reference_shorthand(head->reference));
    lua_setfield(L, -2, "branch");
  }
  return 1;
}

/* ---- Commits. */

/* [-0, +0, m] Sets who and when in the table on the top of the stack. */
static void set_signature(lua_State *L, const char *who, const char *when, const git_signature *signature,
                          const char *encoding) {
  lua_createtable(L, 0, 2);
  set_text(L, "name", signature->name, encoding);
  set_text(L, "email", signature->email, encoding);
  lua_setfield(L, -2, who);
  lua_pushinteger(L, signature->when.time);
  lua_setfield(L, -2, when);
}

static void set_message(lua_State *L, const char *message, const char *encoding) {
  push_text(L, message != NULL ? message : "", encoding);
  const char *text = lua_tostring(L, -1);
  lua_pushlstring(L, text, strcspn(text, "\n"));
  lua_setfield(L, -3, "subject");
  lua_setfield(L, -2, "message");
}

static void push_commit(lua_State *L, const Git *g, const git_object *object) {
  const git_commit *commit = (const git_commit *)object;
  const char *encoding = g->git_commit_message_encoding(commit);
  lua_createtable(L, 0, 9);
  push_oid(L, g, g->git_object_id(object));
  lua_pushlstring(L, lua_tostring(L, -1), SHORT_SIZE);
  lua_setfield(L, -3, "short_revision");
  lua_setfield(L, -2, "revision");
  set_message(L, g->git_commit_message(commit), encoding);
  set_signature(L, "author", "author_date", g->git_commit_author(commit), encoding);
  set_signature(L, "committer", "commit_date", g->git_commit_committer(commit), encoding);
  unsigned count = g->git_commit_parentcount(commit);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    push_oid(L, g, g->git_commit_parent_id(commit, i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "parents");
}

static int l_commit(lua_State *L) {
  const Held *repository = repository_check(L);
  const char *revision = repository_check_text(L, 2);
  const git_object *commit = repository_resolve(L, repository, revision, GIT_OBJECT_COMMIT);
  if (commit == NULL)
    return 3;
  push_commit(L, &repository->git->api, commit);
  return 1;
}

static lua_Integer check_limit(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg))
    return DEFAULT_LIMIT;
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Integer limit = DEFAULT_LIMIT;
  int is_integer = 1;
  if (lua_getfield(L, arg, "limit") != LUA_TNIL)
    limit = lua_tointegerx(L, -1, &is_integer);
  luaL_argcheck(L, is_integer && limit >= 0, arg, "limit: a number of commits expected");
  lua_pop(L, 1);
  return limit;
}

static int fail_walk(lua_State *L, const Held *repository, int err) {
  const Git *g = &repository->git->api;
  bool shallow = g->git_repository_is_shallow(repository->repository) == 1;
  return host_fail(L, code_of(err), "cannot walk the history: %s%s", reason(g),
                   shallow ? "; it is a shallow clone, so run git fetch --unshallow" : "");
}

/* [-0, +1, m] The list; or fewer than 0, and nil, message, code. */
static int push_walk(lua_State *L, const Held *repository, git_revwalk *walk, lua_Integer limit) {
  const Git *g = &repository->git->api;
  git_oid oid;
  int err = 0;
  lua_newtable(L);
  for (lua_Integer n = 1; n <= limit && (err = g->git_revwalk_next(&oid, walk)) == 0; n++) {
    Held *commit = hold(L, HELD_OBJECT);
    err = g->git_object_lookup(&commit->object, repository->repository, &oid, GIT_OBJECT_COMMIT);
    if (err != 0)
      break;
    push_commit(L, g, commit->object);
    lua_rawseti(L, -3, n);
    lua_pop(L, 1);
  }
  return err == 0 || err == GIT_ITEROVER ? 1 : fail_walk(L, repository, err);
}

static int l_commits(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  const char *from = lua_isnil(L, 2) ? NULL : repository_check_text(L, 2);
  const char *to = repository_check_text(L, 3);
  lua_Integer limit = check_limit(L, 4);
  const git_object *newest = repository_resolve(L, repository, to, GIT_OBJECT_COMMIT);
  const git_object *hidden = NULL;
  if (newest == NULL)
    return 3;
  if (from != NULL && (hidden = repository_resolve(L, repository, from, GIT_OBJECT_COMMIT)) == NULL)
    return 3;
  Held *walk = hold(L, HELD_WALK);
  int err = g->git_revwalk_new(&walk->walk, repository->repository);
  if (err == 0)
    err = g->git_revwalk_sorting(walk->walk, GIT_SORT_TIME | GIT_SORT_TOPOLOGICAL);
  if (err == 0)
    err = g->git_revwalk_push(walk->walk, g->git_object_id(newest));
  if (err == 0 && hidden != NULL)
    err = g->git_revwalk_hide(walk->walk, g->git_object_id(hidden));
  return err == 0 ? push_walk(L, repository, walk->walk, limit) : fail_walk(L, repository, err);
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
  Held *diff = hold(L, HELD_DIFF);
  int err = g->git_diff_tree_to_tree(&diff->diff, repository->repository, (git_tree *)old_tree, (git_tree *)new_tree,
                                     &options);
  if (err != 0)
    return fail_git(L, repository, err, "cannot compare the revisions");
  push_changes(L, g, diff->diff);
  return 1;
}

static int fail_read(lua_State *L, const Held *repository, int err, const char *revision, const char *path) {
  return host_fail(L, code_of(err), "cannot read %s at %s: %s", path, revision, reason(&repository->git->api));
}

static int l_read(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  const char *revision = repository_check_text(L, 2);
  const char *path = repository_check_text(L, 3);
  git_object *tree = repository_resolve(L, repository, revision, GIT_OBJECT_TREE);
  if (tree == NULL)
    return 3;
  Held *entry = hold(L, HELD_ENTRY);
  int err = g->git_tree_entry_bypath(&entry->entry, (git_tree *)tree, path);
  if (err != 0)
    return fail_read(L, repository, err, revision, path);
  if (g->git_tree_entry_type(entry->entry) != GIT_OBJECT_BLOB)
    return host_fail(L, "ENOTFOUND", "%s is a folder at %s, not a file", path, revision);
  Held *blob = hold(L, HELD_OBJECT);
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
    { "branches", l_branches },
    { "changed_paths", l_changed_paths },
    { "checkout", l_repository_checkout },
    { "close", l_close },
    { "commit", l_commit },
    { "commits", l_commits },
    { "head", l_head },
    { "pull_requests", l_pull_requests },
    { "read", l_read },
    { "tags", l_tags },
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

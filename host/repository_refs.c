/* HEAD, branches, tags and pull requests. */
#include "repository.h"

#include <stdlib.h>
#include <string.h>

#define BRANCHES "refs/heads/"
#define TAGS "refs/tags/"
#define PULL_REQUESTS "refs/pull/"

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
  Held *commit = repository_hold(L, HELD_OBJECT);
  bool found = g->git_reference_peel(&commit->object, reference->reference, GIT_OBJECT_COMMIT) == 0;
  if (found) {
    repository_push_oid(L, g, g->git_object_id(commit->object));
    lua_setfield(L, -3, "revision");
  }
  repository_drop(L);
  return found;
}

/* [-0, +0, m] Appends what `describe` makes of one reference to the list on the top of the stack. */
static void add_reference(lua_State *L, const Held *repository, const char *name, Describe describe) {
  const Git *g = &repository->git->api;
  Held *reference = repository_hold(L, HELD_REFERENCE);
  if (g->git_reference_lookup(&reference->reference, repository->repository, name) == 0) {
    lua_newtable(L);
    if (describe_revision(L, g, reference) && describe(L, repository, name, reference))
      lua_rawseti(L, -3, (lua_Integer)lua_rawlen(L, -3) + 1);
    else
      lua_pop(L, 1);
  }
  repository_drop(L);
}

/* One that another process removes meanwhile, and one that leads to no commit, is left out. */
static int list_references(lua_State *L, const char *prefix, int (*order)(const void *, const void *),
                           Describe describe) {
  const Held *repository = repository_check(L);
  Held *names = repository_hold(L, HELD_NAMES);
  int err = repository->git->api.git_reference_list(&names->names, repository->repository);
  if (err != 0)
    return repository_fail(L, repository, err, "cannot list the references");
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
  Held *head = repository_hold(L, HELD_REFERENCE);
  int err = g->git_reference_lookup(&head->reference, repository->repository, "HEAD");
  const char *target = err == 0 ? g->git_reference_symbolic_target(head->reference) : NULL;
  bool same = target != NULL && strcmp(target, name) == 0;
  repository_drop(L);
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
  Held *tag = repository_hold(L, HELD_OBJECT);
  if (target != NULL && g->git_object_lookup(&tag->object, repository->repository, target, GIT_OBJECT_TAG) == 0) {
    const char *message = g->git_tag_message((git_tag *)tag->object);
    repository_push_text(L, message != NULL ? message : "", NULL);
    lua_setfield(L, -3, "message");
  }
  repository_drop(L);
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

int l_repository_branches(lua_State *L) {
  return list_references(L, BRANCHES, by_name, describe_branch);
}

int l_repository_tags(lua_State *L) {
  return list_references(L, TAGS, by_name, describe_tag);
}

int l_repository_pull_requests(lua_State *L) {
  return list_references(L, PULL_REQUESTS, by_number, describe_pull_request);
}

int l_repository_head(lua_State *L) {
  const Held *repository = repository_check(L);
  const Git *g = &repository->git->api;
  Held *head = repository_hold(L, HELD_REFERENCE);
  int err = g->git_repository_head(&head->reference, repository->repository);
  if (err == GIT_EUNBORNBRANCH)
    return host_fail(L, "EUNBORN", "%s has no commit yet; make one", g->git_repository_path(repository->repository));
  if (err != 0)
    return repository_fail(L, repository, err, "cannot read HEAD");
  lua_newtable(L);
  if (!describe_revision(L, g, head))
    return host_fail(L, "EGIT", "HEAD leads to no commit: %s", repository_reason(g));
  if (g->git_reference_is_branch(head->reference)) {
    lua_pushstring(L, g->git_reference_shorthand(head->reference));
    lua_setfield(L, -2, "branch");
  }
  return 1;
}

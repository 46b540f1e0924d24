/* Commits, with their text as UTF-8, and the walk through the history. */
#include "repository.h"

#include <iconv.h>
#include <string.h>

enum { DEFAULT_LIMIT = 100, SHORT_SIZE = 7 };

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
void repository_push_text(lua_State *L, const char *text, const char *encoding) {
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

void repository_push_oid(lua_State *L, const Git *g, const git_oid *oid) {
  char text[GIT_OID_HEXSZ + 1];
  lua_pushstring(L, g->git_oid_tostr(text, sizeof text, oid));
}

static void set_text(lua_State *L, const char *field, const char *text, const char *encoding) {
  repository_push_text(L, text, encoding);
  lua_setfield(L, -2, field);
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
  repository_push_text(L, message != NULL ? message : "", encoding);
  const char *text = lua_tostring(L, -1);
  lua_pushlstring(L, text, strcspn(text, "\n"));
  lua_setfield(L, -3, "subject");
  lua_setfield(L, -2, "message");
}

static void push_commit(lua_State *L, const Git *g, const git_object *object) {
  const git_commit *commit = (const git_commit *)object;
  const char *encoding = g->git_commit_message_encoding(commit);
  lua_createtable(L, 0, 9);
  repository_push_oid(L, g, g->git_object_id(object));
  lua_pushlstring(L, lua_tostring(L, -1), SHORT_SIZE);
  lua_setfield(L, -3, "short_revision");
  lua_setfield(L, -2, "revision");
  set_message(L, g->git_commit_message(commit), encoding);
  set_signature(L, "author", "author_date", g->git_commit_author(commit), encoding);
  set_signature(L, "committer", "commit_date", g->git_commit_committer(commit), encoding);
  unsigned count = g->git_commit_parentcount(commit);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    repository_push_oid(L, g, g->git_commit_parent_id(commit, i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "parents");
}

int l_repository_commit(lua_State *L) {
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
  return host_fail(L, repository_code(err), "cannot walk the history: %s%s", repository_reason(g),
                   shallow ? "; it is a shallow clone, so run git fetch --unshallow" : "");
}

/* [-0, +1, m] The list; or fewer than 0, and nil, message, code. */
static int push_walk(lua_State *L, const Held *repository, git_revwalk *walk, lua_Integer limit) {
  const Git *g = &repository->git->api;
  git_oid oid;
  int err = 0;
  lua_newtable(L);
  for (lua_Integer n = 1; n <= limit && (err = g->git_revwalk_next(&oid, walk)) == 0; n++) {
    Held *commit = repository_hold(L, HELD_OBJECT);
    err = g->git_object_lookup(&commit->object, repository->repository, &oid, GIT_OBJECT_COMMIT);
    if (err != 0)
      break;
    push_commit(L, g, commit->object);
    lua_rawseti(L, -3, n);
    repository_drop(L);
  }
  return err == 0 || err == GIT_ITEROVER ? 1 : fail_walk(L, repository, err);
}

int l_repository_commits(lua_State *L) {
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
  Held *walk = repository_hold(L, HELD_WALK);
  int err = g->git_revwalk_new(&walk->walk, repository->repository);
  if (err == 0)
    err = g->git_revwalk_sorting(walk->walk, GIT_SORT_TIME | GIT_SORT_TOPOLOGICAL);
  if (err == 0)
    err = g->git_revwalk_push(walk->walk, g->git_object_id(newest));
  if (err == 0 && hidden != NULL)
    err = g->git_revwalk_hide(walk->walk, g->git_object_id(hidden));
  return err == 0 ? push_walk(L, repository, walk->walk, limit) : fail_walk(L, repository, err);
}

/* The one sending of a request, and what became of it: accepted, refused, surely not sent, or uncertain. How it travels
 * is host.http's affair. */
#include "execution.h"

#include "host.h"
#include "json.h"
#include "task.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum {
  MAX_MESSAGE = 300, /* bytes of each message of a server */
  MAX_MESSAGES = 10,
};

/* Where things are on the stack once the answer is there. BODY is its value, or nil and why it has none. */
enum { REQUEST = 1, TARGET, RESPONSE, MESSAGE, CODE, SENT, OUTCOME, BODY, PROBLEM };

/* Key of the registry. */
static const char http_key;

static void set_string(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

/* ---- What the server says. */

/* text, value => text: adds what the server says, without what would spoil a terminal */
static void add_message(lua_State *L) {
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    return;
  }
  char clean[MAX_MESSAGE];
  size_t length;
  const char *message = lua_tolstring(L, -1, &length);
  if (length > sizeof clean) {
    length = sizeof clean;
    while (length > 0 && ((unsigned char)message[length] & 0xC0) == 0x80)
      length--; /* not through a character */
  }
  for (size_t i = 0; i < length; i++)
    clean[i] = iscntrl((unsigned char)message[i]) ? ' ' : message[i];
  lua_pushstring(L, lua_rawlen(L, -2) > 0 ? "; " : "");
  lua_pushlstring(L, clean, length);
  lua_remove(L, -3);
  lua_concat(L, 3);
}

/* text => text: of {"errors":[{"message":"…"}]} */
static void add_errors(lua_State *L) {
  bool several = lua_getfield(L, BODY, "errors") == LUA_TTABLE;
  lua_insert(L, -2); /* errors, text */
  size_t count = several ? lua_rawlen(L, -2) : 0;
  for (size_t i = 1; i <= count && i <= MAX_MESSAGES; i++) {
    if (lua_rawgeti(L, -2, (lua_Integer)i) == LUA_TTABLE) {
      lua_getfield(L, -1, "message");
      lua_remove(L, -2);
    }
    add_message(L);
  }
  lua_remove(L, -2);
}

/* [-0, +1, m] pushes the messages of the API, or of a gateway, or "" */
static void push_reason(lua_State *L) {
  static const char *const gateways[] = { "error", "message" };
  lua_pushliteral(L, "");
  if (!lua_istable(L, BODY))
    return;
  add_errors(L);
  for (size_t i = 0; i < 2 && lua_rawlen(L, -1) == 0; i++) {
    lua_getfield(L, BODY, gateways[i]);
    add_message(L);
  }
}

/* ---- What became of it. */

static int outcome(lua_State *L, const char *name, const char *code) {
  lua_settop(L, OUTCOME);
  set_string(L, "outcome", name);
  if (code != NULL)
    set_string(L, "code", code);
  return 1;
}

/* No whole answer. */
static int judge_silence(lua_State *L) {
  lua_pushvalue(L, MESSAGE);
  lua_setfield(L, OUTCOME, "message");
  bool unsent = lua_isboolean(L, SENT) && !lua_toboolean(L, SENT);
  return outcome(L, unsent ? "unsent" : "uncertain", lua_tostring(L, CODE));
}

/* A success has an execution in it, or who knows what it is. */
static int judge_success(lua_State *L) {
  if (lua_istable(L, BODY) && lua_getfield(L, BODY, "id") == LUA_TNUMBER && lua_isinteger(L, -1)) {
    lua_pushvalue(L, BODY);
    lua_setfield(L, OUTCOME, "execution");
    return outcome(L, "accepted", NULL);
  }
  const char *problem = lua_isnil(L, BODY) ? lua_tostring(L, PROBLEM) : "it has no id";
  lua_pushfstring(L, "the answer is not an execution: %s", problem);
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, "uncertain", "json");
}

static int judge_failure(lua_State *L, lua_Integer status) {
  push_reason(L);
  if (lua_rawlen(L, -1) == 0)
    lua_pushfstring(L, "the server answered with the status %I", (LUAI_UACINT)status);
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, status >= 400 && status < 500 ? "refused" : "uncertain", NULL);
}

/* Not followed: the token stays with its own origin. */
static int judge_redirect(lua_State *L) {
  lua_pushliteral(L, "");
  lua_getfield(L, RESPONSE, "headers");
  lua_getfield(L, -1, "location");
  lua_remove(L, -2);
  add_message(L);
  lua_pushfstring(L, "the server redirects to %s, which is not followed with the token",
                  lua_rawlen(L, -1) > 0 ? lua_tostring(L, -1) : "another address");
  lua_setfield(L, OUTCOME, "message");
  return outcome(L, "refused", "redirects");
}

static int judge_answer(lua_State *L) {
  lua_pushvalue(L, RESPONSE);
  lua_setfield(L, OUTCOME, "response");
  lua_getfield(L, RESPONSE, "status");
  lua_Integer status = lua_tointeger(L, -1);
  lua_setfield(L, OUTCOME, "status");
  lua_getfield(L, RESPONSE, "body");
  json_decode(L, BODY);
  lua_remove(L, BODY);
  if (status >= 200 && status < 300)
    return judge_success(L);
  return status >= 300 && status < 400 ? judge_redirect(L) : judge_failure(L, status);
}

static int finish(lua_State *L, int status, lua_KContext context) {
  task_unshield((Task *)context);
  if (status != LUA_OK && status != LUA_YIELD)
    return lua_error(L);
  lua_settop(L, SENT);
  lua_createtable(L, 0, 4);
  return lua_istable(L, RESPONSE) ? judge_answer(L) : judge_silence(L);
}

/* ---- Sending. */

/* [-0, +1, e] pushes host.http.request, which is loaded when it is first needed */
static void push_http_request(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &http_key) != LUA_TNIL)
    return;
  luaL_requiref(L, "host.http", luaopen_host_http, 0);
  lua_getfield(L, -1, "request");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &http_key);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static const char *const needed_headers[] = { "Content-Type", "Accept" };

enum { NEEDED = sizeof needed_headers / sizeof *needed_headers };

/* headers => headers: which of the needed ones are there, whatever their case */
static void find_needed(lua_State *L, bool found[NEEDED]) {
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      continue;
    const char *name = lua_tostring(L, -2);
    for (int i = 0; i < NEEDED; i++)
      found[i] = found[i] || strcasecmp(name, needed_headers[i]) == 0;
  }
}

/* headers => a copy of them */
static void copy_headers(lua_State *L) {
  lua_newtable(L);
  lua_insert(L, -2);
  for (lua_pushnil(L); lua_next(L, -2);) { /* copy, headers, name, value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

/* [-0, +1, e] pushes the target's headers; or if it lacks some that a request needs, a copy that has them */
static void push_headers(lua_State *L) {
  bool found[NEEDED] = { false };
  if (lua_getfield(L, TARGET, "headers") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  luaL_argcheck(L, lua_istable(L, -1), TARGET, "headers: a table expected");
  find_needed(L, found);
  if (found[0] && found[1])
    return;
  copy_headers(L);
  for (int i = 0; i < NEEDED; i++) {
    if (!found[i])
      set_string(L, needed_headers[i], "application/json");
  }
}

/* [-0, +1, e] pushes the request as host.http takes it */
static void push_post(lua_State *L, const ExecutionRequest *request) {
  lua_createtable(L, 0, 4);
  lua_pushlstring(L, request->bytes, request->length);
  lua_setfield(L, -2, "body"); /* and so it is a POST */
  push_headers(L);
  lua_setfield(L, -2, "headers");
  lua_getfield(L, TARGET, "url");
  lua_setfield(L, -2, "url");
  lua_getfield(L, TARGET, "timeout");
  lua_setfield(L, -2, "timeout");
}

int execution_submit(lua_State *L) {
  const ExecutionRequest *request = luaL_checkudata(L, REQUEST, EXECUTION_CLASS);
  luaL_checktype(L, TARGET, LUA_TTABLE);
  lua_settop(L, TARGET);
  task_check(L); /* one that is cancelled sends nothing */
  push_http_request(L);
  push_post(L, request);
  Task *task = task_current(host_of(L));
  task_shield(task); /* one that is cancelled from now on still learns what became of it */
  return finish(L, lua_pcallk(L, 1, LUA_MULTRET, 0, (lua_KContext)task, finish), (lua_KContext)task);
}

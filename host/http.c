/* HTTP requests: libcurl's multi socket interface on the host's loop. Here the task waits and gets its answer;
 * http_request.c reads the request, http_transfer.c gives it to libcurl, http_socket.c drives libcurl, and
 * http_answer.c makes a Lua value of what came. */
#include "http.h"

#define STREAM_CLASS "host.http.Stream"

static void on_cancelled(Wait *wait) {
  Transfer *t = (Transfer *)wait;
  if (t->streamed)
    transfer_stop(t); /* its Stream gives it back */
  else
    transfer_put(t);
}

static int on_finished(lua_State *L, Wait *wait) {
  Transfer *t = (Transfer *)wait;
  Http *http = t->http;
  if (http->unclaimed != NULL)
    transfer_put(http->unclaimed);
  http->unclaimed = t;
  int count = answer_push(L, t);
  http->unclaimed = NULL;
  transfer_put(t);
  return count;
}

static int hand_over(lua_State *L, Transfer *t);

static int on_streamed(lua_State *L, Wait *wait) {
  return hand_over(L, (Transfer *)wait);
}

static int on_handed_over(lua_State *L, int status, lua_KContext context) {
  (void)status;
  return hand_over(L, (Transfer *)context);
}

/* Gives on_data what has come, until the answer has ended. on_data may wait; libcurl holds back what we have no room
 * for meanwhile. */
static int hand_over(lua_State *L, Transfer *t) {
  while (t->body.size > 0) {
    lua_settop(L, STREAM);
    lua_pushvalue(L, ON_DATA);
    lua_pushlstring(L, t->body.data, t->body.size);
    t->body.size = 0;
    if (t->paused && t->active) {
      t->paused = false;
      t->http->curl.curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
    lua_callk(L, 1, 0, (lua_KContext)t, on_handed_over);
  }
  if (!t->active)
    return answer_push(L, t);
  task_check(L); /* on_data may have been the last to run in a cancelled task */
  return task_wait(L, &t->wait, on_cancelled, on_streamed);
}

/* ---- Lua. */

static Http *http_of(lua_State *L) {
  Host *host = host_of(L);
  char message[256];
  if (host->http == NULL && http_open(host, message, sizeof message) == NULL)
    luaL_error(L, "%s", message);
  return host->http;
}

/* A streamed answer belongs to this userdata, since on_data runs, and may fail, while the request goes on. */
static Transfer **stream_new(lua_State *L) {
  Transfer **stream = lua_newuserdatauv(L, sizeof *stream, 0);
  *stream = NULL;
  luaL_setmetatable(L, STREAM_CLASS);
  lua_replace(L, STREAM);
  lua_toclose(L, STREAM);
  return stream;
}

static int l_stream_close(lua_State *L) {
  Transfer **stream = luaL_checkudata(L, 1, STREAM_CLASS);
  Transfer *t = *stream;
  *stream = NULL;
  if (t != NULL && host_of(L)->http != NULL)
    transfer_put(t);
  return 0;
}

static int l_request(lua_State *L) {
  Request r = request_read(L);
  task_check(L);
  Http *http = http_of(L);
  Transfer **stream = lua_isnil(L, ON_DATA) ? NULL : stream_new(L);
  Transfer *t = transfer_take(http);
  if (t == NULL)
    return luaL_error(L, "not enough memory for a request");
  if (stream != NULL)
    *stream = t;
  const char *fault = transfer_begin(L, t, &r);
  if (t->active)
    return stream != NULL ? hand_over(L, t) : task_wait(L, &t->wait, on_cancelled, on_finished);
  if (stream == NULL)
    transfer_put(t);
  if (fault != NULL)
    return request_fault(L, "url", lua_pushfstring(L, "is not valid: %s", fault));
  return luaL_error(L, "not enough memory for a request");
}

int luaopen_host_http(lua_State *L) {
  static const luaL_Reg functions[] = { { "request", l_request }, { NULL, NULL } };
  static const luaL_Reg stream[] = { { "__close", l_stream_close }, { "__gc", l_stream_close }, { NULL, NULL } };
  host_class(L, STREAM_CLASS, stream);
  luaL_newlib(L, functions);
  return 1;
}

/* Makes of a transfer that is over what Lua is given: the answer, or why there is none. */
#include "http.h"

#include <stdio.h>
#include <string.h>

#define WHERE_SIZE 300

/* [-0, +1, m] */
static void push_headers(lua_State *L, Transfer *t) {
  lua_createtable(L, 0, 8);
  const char *end = t->head.data + t->head.size;
  for (const char *name = t->head.data; name < end;) {
    const char *value = name + strlen(name) + 1;
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_pushstring(L, value);
    } else {
      lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
      lua_remove(L, -2);
    }
    lua_rawset(L, -3);
    name = value + strlen(value) + 1;
  }
}

/* [-0, +1, m] */
static void push_url(lua_State *L, Transfer *t) {
  long redirects = 0;
  char *url = NULL;
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_COUNT, &redirects);
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  if (redirects > 0 && url != NULL)
    lua_pushstring(L, url);
  else
    lua_pushvalue(L, URL);
}

static int push_response(lua_State *L, Transfer *t) {
  long status = 0;
  t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "status");
  push_headers(L, t);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, t->body.data, t->body.size);
  lua_setfield(L, -2, "body");
  push_url(L, t);
  lua_setfield(L, -2, "url");
  return 1;
}

/* Writes "host:port" of the server that was asked last. */
static void write_where(Transfer *t, char where[WHERE_SIZE]) {
  Curl *curl = &t->http->curl;
  char *url = NULL, *host = NULL, *port = NULL;
  curl->curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  CURLU *parts = curl->curl_url();
  if (parts != NULL && url != NULL && curl->curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
    curl->curl_url_get(parts, CURLUPART_HOST, &host, 0);
    curl->curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
  }
  snprintf(where, WHERE_SIZE, "%s:%s", host != NULL ? host : "the server", port != NULL ? port : "?");
  curl->curl_free(host);
  curl->curl_free(port);
  curl->curl_url_cleanup(parts);
}

static const char *failure_code(const Transfer *t) {
  if (t->too_large)
    return "too_large";
  switch (t->result) {
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY: return "resolve";
  case CURLE_COULDNT_CONNECT:
  case CURLE_PROXY: return "connect";
  case CURLE_OPERATION_TIMEDOUT: return "timeout";
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CRL_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_PEER_FAILED_VERIFICATION: return "tls";
  case CURLE_TOO_MANY_REDIRECTS: return "redirects";
  case CURLE_OUT_OF_MEMORY: return "too_large"; /* a line of the head is, for libcurl's own limit */
  case CURLE_PARTIAL_FILE: return "truncated";
  case CURLE_OK: /* the head never ended, which libcurl takes for a whole answer */
  case CURLE_GOT_NOTHING:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_HTTP2_STREAM:
  case CURLE_ABORTED_BY_CALLBACK: return !t->sent ? "connect" : t->answered ? "truncated" : "reset";
  default: return "protocol";
  }
}

/* What libcurl, or the system, says of it. */
static const char *failure_detail(Transfer *t) {
  long number = 0;
  if (t->result == CURLE_COULDNT_CONNECT && !t->http->proxied)
    t->http->curl.curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
  if (number != 0)
    return strerror((int)number);
  if (t->result == CURLE_OK)
    return "its head is incomplete";
  return t->error[0] != '\0' ? t->error : t->http->curl.curl_easy_strerror(t->result);
}

/* [-0, +4, m] */
static int push_failure(lua_State *L, Transfer *t) {
  const char *code = failure_code(t);
  const char *detail = failure_detail(t);
  char where[WHERE_SIZE];
  write_where(t, where);
  if (strcmp(code, "resolve") == 0)
    host_fail(L, code, "cannot find %s: %s", where, detail);
  else if (strcmp(code, "connect") == 0)
    host_fail(L, code, "cannot connect to %s: %s", where, detail);
  else if (strcmp(code, "tls") == 0)
    host_fail(L, code, "no secure connection to %s: %s", where, detail);
  else if (strcmp(code, "timeout") == 0 && t->sent)
    host_fail(L, code, "%s did not answer within %g s", where, t->timeout);
  else if (strcmp(code, "timeout") == 0)
    host_fail(L, code, "cannot connect to %s within %g s", where, t->connect_timeout);
  else if (strcmp(code, "reset") == 0)
    host_fail(L, code, "%s closed the connection without an answer; it may have read the request", where);
  else if (strcmp(code, "truncated") == 0)
    host_fail(L, code, "the answer of %s ended before it was whole: %s", where, detail);
  else if (strcmp(code, "too_large") == 0 && t->too_large)
    host_fail(L, code, "the answer of %s is larger than %zu bytes", where, t->max_bytes);
  else if (strcmp(code, "too_large") == 0)
    host_fail(L, code, "the answer of %s has too large a head", where);
  else if (strcmp(code, "redirects") == 0)
    host_fail(L, code, "%s redirects once more: %s", where, detail);
  else
    host_fail(L, code, "the answer of %s cannot be understood: %s", where, detail);
  lua_pushboolean(L, t->sent);
  return 4;
}

int answer_push(lua_State *L, Transfer *t) {
  if (t->no_memory)
    return luaL_error(L, "not enough memory for the answer");
  return t->result == CURLE_OK && t->head_ended ? push_response(L, t) : push_failure(L, t);
}

/* Where `require` looks: the primitives, then our own Lua modules, then the system's folders, and never the
 * current directory. */
#include "module.h"

#include "host.h"

#include <string.h>

static const luaL_Reg primitives[] = {
  { "host.effect", luaopen_host_effect },
  { "host.execution", luaopen_host_execution },
  { "host.http", luaopen_host_http },
  { "host.json", luaopen_host_json },
  { "host.lockfile", luaopen_host_lockfile },
  { "host.process", luaopen_host_process },
  { "host.repository", luaopen_host_repository },
  { "host.secret", luaopen_host_secret },
  { "host.server", luaopen_host_server },
  { "host.socket", luaopen_host_socket },
  { "host.store", luaopen_host_store },
  { "host.task", luaopen_host_task },
  { "host.terminal", luaopen_host_terminal },
  { NULL, NULL },
};

static int search_compiled(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (const Module *module = modules; module->name != NULL; module++) {
    if (strcmp(module->name, name) != 0)
      continue;
    if (luaL_loadbufferx(L, (const char *)module->code, module->size, name, "b") != LUA_OK)
      return lua_error(L);
    lua_pushliteral(L, ":compiled:");
    return 2;
  }
  lua_pushfstring(L, "no compiled module '%s'", name);
  return 1;
}

/* Keeps the absolute entries of a path such as "/usr/share/lua/5.4/?.lua;./?.lua". */
static void push_absolute_path(lua_State *L, const char *path, const char *first) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  if (first != NULL)
    luaL_addstring(&b, first);
  while (*path != '\0') {
    size_t length = strcspn(path, ";");
    if (*path == '/') {
      if (luaL_bufflen(&b) > 0)
        luaL_addchar(&b, ';');
      luaL_addlstring(&b, path, length);
    }
    path += length + (path[length] == ';');
  }
  luaL_pushresult(&b);
}

void module_install(lua_State *L, const char *directory) {
  lua_getglobal(L, "package");
  int package = lua_gettop(L);

  lua_getfield(L, package, "preload");
  luaL_setfuncs(L, primitives, 0);
  lua_pop(L, 1);

  const char *sources = NULL;
  if (directory != NULL)
    sources = lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", directory, directory);
  else
    lua_pushnil(L);
  lua_getfield(L, package, "path");
  push_absolute_path(L, lua_tostring(L, -1), sources);
  lua_setfield(L, package, "path");
  lua_getfield(L, package, "cpath");
  push_absolute_path(L, lua_tostring(L, -1), NULL);
  lua_setfield(L, package, "cpath");

  if (directory == NULL) {
    lua_getfield(L, package, "searchers");
    int searchers = lua_gettop(L);
    for (lua_Integer i = luaL_len(L, searchers); i >= 2; i--) {
      lua_geti(L, searchers, i);
      lua_seti(L, searchers, i + 1);
    }
    lua_pushcfunction(L, search_compiled);
    lua_seti(L, searchers, 2);
  }
  lua_settop(L, package - 1);
}

/* Build tool: compiles Lua modules and writes them as one C file.
 *   embed OUTPUT.c lua/moonsail/init.lua lua/moonsail/client/init.lua ... */
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Output {
  FILE *file;
  size_t bytes;
} Output;

static int write_bytes(lua_State *L, const void *data, size_t size, void *context) {
  (void)L;
  Output *output = context;
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) {
    if (fprintf(output->file, "%u,%s", bytes[i], ++output->bytes % 24 == 0 ? "\n" : "") < 0)
      return 1;
  }
  return 0;
}

/* "lua/moonsail/client/init.lua" is the module "moonsail.client". */
static void module_name(const char *path, char *name, size_t size) {
  snprintf(name, size, "%s", strncmp(path, "lua/", 4) == 0 ? path + 4 : path);
  char *end = name + strlen(name) - strlen(".lua");
  *end = '\0';
  if (end - name > 5 && strcmp(end - 5, "/init") == 0)
    end[-5] = '\0';
  for (char *c = name; *c != '\0'; c++) {
    if (*c == '/')
      *c = '.';
  }
}

static bool embed(lua_State *L, FILE *file, int number, const char *path) {
  char chunk[512];
  Output output = { .file = file };
  if (luaL_loadfilex(L, path, "t") != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return false;
  }
  snprintf(chunk, sizeof chunk, "static const unsigned char module_%d[] = {\n", number);
  bool ok = fputs(chunk, file) >= 0 && lua_dump(L, write_bytes, &output, 0) == 0 && fputs("};\n", file) >= 0;
  lua_pop(L, 1);
  return ok;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: embed OUTPUT.c MODULE.lua...\n");
    return 2;
  }
  lua_State *L = luaL_newstate();
  FILE *file = fopen(argv[1], "w");
  bool ok = L != NULL && file != NULL && fputs("#include \"module.h\"\n\n", file) >= 0;
  for (int i = 2; ok && i < argc; i++)
    ok = embed(L, file, i, argv[i]);
  ok = ok && fputs("\nconst Module modules[] = {\n", file) >= 0;
  for (int i = 2; ok && i < argc; i++) {
    char name[512];
    module_name(argv[i], name, sizeof name);
    ok = fprintf(file, "  { \"%s\", module_%d, sizeof module_%d },\n", name, i, i) > 0;
  }
  ok = ok && fputs("  { NULL, NULL, 0 },\n};\n", file) >= 0;
  if (file != NULL && fclose(file) != 0)
    ok = false;
  if (L != NULL)
    lua_close(L);
  if (!ok) {
    fprintf(stderr, "embed: cannot write %s\n", argv[1]);
    remove(argv[1]);
  }
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool library_load(const char *soname, const char *const names[], size_t count, void *functions, char *message,
                  size_t size) {
  void *library = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL) {
    snprintf(message, size, "cannot load %s: %s", soname, dlerror());
    return false;
  }
  for (size_t i = 0; i < count; i++) {
    void *function = dlsym(library, names[i]);
    if (function == NULL) {
      snprintf(message, size, "%s has no function %s", soname, names[i]);
      dlclose(library);
      return false;
    }
    memcpy((char *)functions + i * sizeof function, &function, sizeof function);
  }
  return true;
}

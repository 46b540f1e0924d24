/* Loads a system library when it is first needed: most commands need few of them, and libcurl alone costs
 * more to load than all of Lua. A primitive lists the functions that it calls:
 *
 *   #define CURL_FUNCTIONS(X) X(curl_easy_init) X(curl_easy_cleanup)
 *   typedef struct CurlLibrary { CURL_FUNCTIONS(LIBRARY_MEMBER) } CurlLibrary;
 *   static const char *const names[] = { CURL_FUNCTIONS(LIBRARY_NAME) };
 *   library_load("libcurl.so.4", names, LIBRARY_COUNT(names), &http->curl, message, sizeof message);
 *   http->curl.curl_easy_init();
 */
#ifndef MOONSAIL_LIBRARY_H
#define MOONSAIL_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#define LIBRARY_MEMBER(name) __typeof__(&(name)) name; /* NOLINT(bugprone-macro-parentheses): it names a member */
#define LIBRARY_NAME(name) #name,
#define LIBRARY_COUNT(names) (sizeof(names) / sizeof *(names))

/* Fills `functions`, a struct of function pointers, in the order of `names`. The library stays loaded until the
 * process ends. On failure returns false with the reason in `message`. */
bool library_load(const char *soname, const char *const names[], size_t count, void *functions, char *message,
                  size_t size);

#endif

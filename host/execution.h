/* What the parts of host.execution share: execution.c, execution_submit.c, and those behind execution_check.h. */
#ifndef MOONSAIL_EXECUTION_H
#define MOONSAIL_EXECUTION_H

#include "json_write.h"

#define EXECUTION_CLASS "host.ExecutionRequest"

/* A userdata: nothing can change it. */
typedef struct ExecutionRequest {
  size_t length;
  char bytes[]; /* and a zero byte */
} ExecutionRequest;

/* ---- execution_fields.c */

/* [-0, +0|+2, m] Checks the fields of a request, the value at the absolute `index`, and writes its bytes; true if these
 * are good. Otherwise pushes nil and the list of all faults. */
bool execution_check(lua_State *L, int index, Writer *out);

/* [-0, +1, m] pushes the list of the names that a request may have, sorted */
void execution_push_fields(lua_State *L);

/* ---- execution_variables.c */

/* [-0, +1, m] pushes the bytes of a request with a mask over each encrypted value */
void execution_push_masked(lua_State *L, const ExecutionRequest *request);

/* ---- execution_submit.c */

/* host.execution.submit */
int execution_submit(lua_State *L);

#endif

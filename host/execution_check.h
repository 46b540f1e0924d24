/* How a request is checked: everything is read once, and either written to the request's bytes or reported as a fault.
 * When there is any fault the bytes are of no use, so nobody cares what is in them. */
#ifndef MOONSAIL_EXECUTION_CHECK_H
#define MOONSAIL_EXECUTION_CHECK_H

#include "json_write.h"
#include "shape.h"

typedef struct Check {
  lua_State *L;
  Writer *out;
  const Step *step; /* to the value that is checked */
  int faults;       /* the place of their list on the stack, which is nil until there is one */
  lua_Integer count;
} Check;

/* [-0, +0, m] Checks the value on the top: writes what is sent for it, or reports that it is not what is expected. */
typedef void CheckValue(Check *c, const char *expected);

/* ---- execution_check.c: faults and tables */

/* Reports a fault of the value that is checked: what was found and what was expected. */
void check_fault(Check *c, const char *found, const char *expected);
void check_fault_near(Check *c, const char *found, const char *expected, const char *nearest);

/* Reports the value on the top. Not for the values of variables: they may be secret. */
void check_fault_value(Check *c, const char *expected, const char *nearest);

/* Says what kind of value is on the top, and not which. */
const char *check_kind(lua_State *L);

/* Whether the value on the top is a plain list or a plain map, which may be empty. A metatable could hide what is in
 * it. Notes the names of a map, as many as there is room for. */
bool check_table(Check *c, const char *expected, Key keys[], size_t room, Shape *shape);

/* [-0, +count, m] Opens the map on the top: pushes the value of each of its possible names, or nil. Reports any other
 * name. False, with nothing pushed, when it is no map. */
bool check_map(Check *c, const char *const names[], int count, const char *expected);

/* Checks the value at `index` as the member of that name. */
void check_member(Check *c, const char *name, int index, CheckValue *check, const char *expected);

/* [-0, +2, m] pushes nil and the faults, in the order of their paths */
void check_push_faults(Check *c);

/* ---- execution_values.c */

void check_text(Check *c, const char *expected);
void check_name(Check *c, const char *expected); /* on one line, and not empty */
void check_boolean(Check *c, const char *expected);
void check_priority(Check *c, const char *expected);
void check_revision(Check *c, const char *expected);
void check_pull_request(Check *c, const char *expected);
void check_package(Check *c, const char *expected);
void check_actions(Check *c, const char *expected);

/* A value that may be secret: is not shown, and is sent as text. */
void check_scalar(Check *c, const char *expected);

/* Whether the value on the top is a name; reports it if not. */
bool check_is_name(Check *c, const char *expected);

/* ---- execution_date.c */

void check_date(Check *c, const char *expected);

/* ---- execution_variables.c */

void check_variables(Check *c, const char *expected);

#endif

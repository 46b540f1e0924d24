/* The fields of a request, as a table. */
#include "execution.h"
#include "execution_check.h"
#include "json.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* Fields of which only one may be given. */
typedef enum Choice { ANY, REF, REVISION, CHOICES } Choice;

static const char *const choices[] = {
  [REF] = "only one of branch, pull_request and tag",
  [REVISION] = "only one of revision and to_revision",
};

typedef struct Field {
  const char *name;
  const char *sent;  /* its name in the API */
  const char *inner; /* the one member of the object that the API has for it */
  CheckValue *check;
  const char *expected;
  Choice choice;
} Field;

#define COMMIT "HEAD or a commit, 4 to 40 hexadecimal digits"

/* Sorted by what is sent, so that the bytes are. Source: https://buddy.works/docs/api/executions/run */
static const Field fields[] = {
  { "actions_to_run", "actions_to_run", NULL, check_actions, "a list of the ids of actions", ANY },
  { "branch", "branch", "name", check_name, "the name of a branch", REF },
  { "clear_cache", "clear_cache", NULL, check_boolean, "true or false", ANY },
  { "comment", "comment", NULL, check_text, "text", ANY },
  { "delay_until", "delay_until", NULL, check_date, "a time such as 2016-11-18T12:38:16.000Z, or 3h10m from now", ANY },
  { "environment", "environment", NULL, check_name, "the name of an environment", ANY },
  { "from_revision", "from_revision", "revision", check_revision, COMMIT, ANY },
  { "package_version", "package_version", NULL, check_package, "a package such as name:1.0", ANY },
  { "priority", "priority", NULL, check_priority, "LOW, NORMAL or HIGH", ANY },
  { "pull_request", "pull_request", "name", check_pull_request, "a pull request such as pull/1", REF },
  { "refresh", "refresh", NULL, check_boolean, "true or false", ANY },
  { "tag", "tag", "name", check_name, "the name of a tag", REF },
  { "revision", "to_revision", "revision", check_revision, COMMIT, REVISION },
  { "to_revision", "to_revision", "revision", check_revision, COMMIT, REVISION },
  { "variables", "variables", NULL, check_variables, "variables by name, or a list of { key = …, value = … }", ANY },
};

enum { FIELDS = sizeof fields / sizeof *fields };

static void put_name(Check *c, const char *name) {
  writer_string(c->out, name, strlen(name));
  writer_put_byte(c->out, ':');
}

/* The value on the top, or the map that it is in. */
static void check_object(Check *c, const Field *field) {
  writer_put_byte(c->out, '{');
  put_name(c, field->inner);
  if (!lua_istable(c->L, -1)) {
    field->check(c, field->expected);
  } else if (check_map(c, &field->inner, 1, field->expected)) {
    check_member(c, field->inner, lua_gettop(c->L), field->check, field->expected);
    lua_pop(c->L, 1);
  }
  writer_put_byte(c->out, '}');
}

static void check_field(Check *c, const Field *field) {
  put_name(c, field->sent);
  if (json_is_null(c->L, -1))
    check_fault(c, "null", "no such field when there is nothing to send");
  else if (field->inner != NULL)
    check_object(c, field);
  else
    field->check(c, field->expected);
}

/* Of several fields that exclude each other only the first is right. */
static void check_choice(Check *c, const Field *field, const char *chosen[CHOICES]) {
  const char *first = chosen[field->choice];
  if (field->choice == ANY || first == NULL) {
    chosen[field->choice] = field->name;
    return;
  }
  char found[32];
  snprintf(found, sizeof found, "%s as well", first);
  check_fault(c, found, choices[field->choice]);
}

/* The request is on the top. */
static void check_fields(Check *c) {
  const char *names[FIELDS], *chosen[CHOICES] = { NULL };
  for (int i = 0; i < FIELDS; i++)
    names[i] = fields[i].name;
  int first = lua_gettop(c->L) + 1;
  if (!check_map(c, names, FIELDS, "a table of fields"))
    return;
  writer_put_byte(c->out, '{');
  for (int i = 0, given = 0; i < FIELDS; i++) {
    if (lua_isnil(c->L, first + i))
      continue;
    Step step = { .key = fields[i].name, .length = strlen(fields[i].name) };
    c->step = &step;
    writer_put(c->out, ",", given++ > 0);
    lua_pushvalue(c->L, first + i);
    check_field(c, &fields[i]);
    check_choice(c, &fields[i], chosen);
    lua_pop(c->L, 1);
    c->step = NULL;
  }
  writer_put_byte(c->out, '}');
}

bool execution_check(lua_State *L, int index, Writer *out) {
  int base = lua_gettop(L);
  luaL_checkstack(L, FIELDS + 32, NULL);
  lua_pushnil(L); /* faults, request */
  lua_pushvalue(L, index);
  Check c = { .L = L, .out = out, .faults = base + 1 };
  check_fields(&c);
  if (c.count > 0) {
    check_push_faults(&c);
    lua_replace(L, base + 2);
    lua_replace(L, base + 1);
  }
  lua_settop(L, c.count > 0 ? base + 2 : base);
  return c.count == 0;
}

void execution_push_fields(lua_State *L) {
  Key keys[FIELDS];
  for (int i = 0; i < FIELDS; i++)
    keys[i] = (Key){ fields[i].name, strlen(fields[i].name), i };
  keys_sort(keys, FIELDS);
  lua_createtable(L, FIELDS, 0);
  for (int i = 0; i < FIELDS; i++) {
    lua_pushlstring(L, keys[i].text, keys[i].length);
    lua_rawseti(L, -2, i + 1);
  }
}

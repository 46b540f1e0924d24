/* What the files of host.repository share: the library, and who frees what it hands out. */
#ifndef MOONSAIL_REPOSITORY_H
#define MOONSAIL_REPOSITORY_H

#include "host.h"
#include "library.h"

#include <git2.h>
#include <git2/sys/repository.h>

#define GIT_FUNCTIONS(X)                                                                                               \
  X(git_blob_rawcontent)                                                                                               \
  X(git_blob_rawsize)                                                                                                  \
  X(git_checkout_tree)                                                                                                 \
  X(git_commit_author)                                                                                                 \
  X(git_commit_committer)                                                                                              \
  X(git_commit_lookup)                                                                                                 \
  X(git_commit_message)                                                                                                \
  X(git_commit_message_encoding)                                                                                       \
  X(git_commit_parent_id)                                                                                              \
  X(git_commit_parentcount)                                                                                            \
  X(git_diff_free)                                                                                                     \
  X(git_diff_get_delta)                                                                                                \
  X(git_diff_num_deltas)                                                                                               \
  X(git_diff_tree_to_tree)                                                                                             \
  X(git_error_last)                                                                                                    \
  X(git_index_free)                                                                                                    \
  X(git_index_new)                                                                                                     \
  X(git_index_read_tree)                                                                                               \
  X(git_libgit2_init)                                                                                                  \
  X(git_libgit2_opts)                                                                                                  \
  X(git_libgit2_shutdown)                                                                                              \
  X(git_object_free)                                                                                                   \
  X(git_object_id)                                                                                                     \
  X(git_object_lookup)                                                                                                 \
  X(git_object_peel)                                                                                                   \
  X(git_oid_tostr)                                                                                                     \
  X(git_reference_free)                                                                                                \
  X(git_reference_is_branch)                                                                                           \
  X(git_reference_list)                                                                                                \
  X(git_reference_lookup)                                                                                              \
  X(git_reference_peel)                                                                                                \
  X(git_reference_shorthand)                                                                                           \
  X(git_reference_symbolic_target)                                                                                     \
  X(git_reference_target)                                                                                              \
  X(git_repository_free)                                                                                               \
  X(git_repository_head)                                                                                               \
  X(git_repository_is_shallow)                                                                                         \
  X(git_repository_open)                                                                                               \
  X(git_repository_open_ext)                                                                                           \
  X(git_repository_path)                                                                                               \
  X(git_repository_set_index)                                                                                          \
  X(git_repository_set_workdir)                                                                                        \
  X(git_repository_workdir)                                                                                            \
  X(git_revparse_single)                                                                                               \
  X(git_revwalk_free)                                                                                                  \
  X(git_revwalk_hide)                                                                                                  \
  X(git_revwalk_new)                                                                                                   \
  X(git_revwalk_next)                                                                                                  \
  X(git_revwalk_push)                                                                                                  \
  X(git_revwalk_sorting)                                                                                               \
  X(git_strarray_dispose)                                                                                              \
  X(git_tag_message)                                                                                                   \
  X(git_tree_entry_bypath)                                                                                             \
  X(git_tree_entry_filemode)                                                                                           \
  X(git_tree_entry_free)                                                                                               \
  X(git_tree_entry_name)                                                                                               \
  X(git_tree_entry_to_object)                                                                                          \
  X(git_tree_entry_type)                                                                                               \
  X(git_tree_walk)

typedef struct Git {
  GIT_FUNCTIONS(LIBRARY_MEMBER)
} Git;

typedef enum HeldKind {
  HELD_REPOSITORY,
  HELD_OBJECT,
  HELD_REFERENCE,
  HELD_ENTRY,
  HELD_DIFF,
  HELD_WALK,
  HELD_NAMES,
} HeldKind;

/* A userdata that owns one thing of libgit2's; everything that is owned is in a list, newest first. */
typedef struct Held {
  struct Repositories *git;
  struct Held *previous, *next;
  HeldKind kind;
  union {
    git_repository *repository;
    git_object *object;
    git_reference *reference;
    git_tree_entry *entry;
    git_diff *diff;
    git_revwalk *walk;
    git_strarray names;
  };
} Held;

struct Repositories {
  Git api;
  Held *held;
  int checkouts; /* that a worker thread is busy with */
};

/* The repository of a method's first argument; raises when it is closed. */
Held *repository_check(lua_State *L);

/* [-0, +1, m] The commit or tree that `revision` means, owned by a userdata on the stack that is freed when it is
 * popped. Or NULL, with nil, message, code on the stack: return 3. */
git_object *repository_resolve(lua_State *L, const Held *repository, const char *revision, git_object_t type);

/* A string argument without a NUL in it. */
const char *repository_check_text(lua_State *L, int arg);

/* [-0, +1, m] A userdata that owns nothing yet, and frees what it owns when it leaves the stack. */
Held *repository_hold(lua_State *L, HeldKind kind);

/* [-1, +0, -] Frees what the userdata on top owns. Lua 5.4.4 must not pop a variable to be closed: when its close
 * makes the stack grow, lua_settop goes on with the old one. */
void repository_drop(lua_State *L);

/* [-0, +3, m] nil, message, code from what libgit2 has returned; `what` was being done. */
int repository_fail(lua_State *L, const Held *repository, int err, const char *what);

const char *repository_reason(const Git *g); /* of libgit2's last error */
const char *repository_code(int err);

/* [-0, +1, m] */
void repository_push_oid(lua_State *L, const Git *g, const git_oid *oid);

/* [-0, +1, m] A text of git's as UTF-8; `encoding` is what its commit says, or NULL. */
void repository_push_text(lua_State *L, const char *text, const char *encoding);

/* The methods that have files of their own. */
int l_repository_branches(lua_State *L);
int l_repository_checkout(lua_State *L);
int l_repository_commit(lua_State *L);
int l_repository_commits(lua_State *L);
int l_repository_head(lua_State *L);
int l_repository_pull_requests(lua_State *L);
int l_repository_tags(lua_State *L);

#endif

/* Applying a transaction in progress ahead of its commit, in a transaction of its own on the
 * target. Engine thread.
 *
 * Invariants:
 *   - Its pieces are applied at their place in the stream: behind all that committed before them,
 *     which is committed on the target first. What another transaction writes meanwhile met no lock
 *     of this one on the source, so it meets none here.
 *   - It commits at its place too, with its position, which the main session then stands at. Until
 *     then nobody sees it, and no position says anything of it: whatever dies, the source sends it
 *     again from its beginning.
 *   - Only what is sure not to differ from applying it behind its commit goes this way. Anything
 *     else (an error, a row that does not fit whatever on_conflict_action is, a lock that is not
 *     free for a while, TRUNCATE, relations that nobody knows yet, triggers) ends the session of
 *     following with ERR_RETRY; the next one keeps until their end, which judges, all that
 *     had begun by then, and tries this again after a while: none is tried twice. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/engine.h"
#include "target/postgres/postgres.h"
#include "target/target.h"

struct ahead;

/* options: of the main session's target, borrowed for the call; what they point to outlives it. */
struct ahead *ahead_new(struct engine *engine, const struct postgres_options *options,
                        struct target *main);
void ahead_free(struct ahead **ahead); /* rolls back */

/* Before a session of following: an earlier one's sessions on the target may live on, with their
 * locks, when the network has swallowed their end. */
bool ahead_end_former(struct engine *engine, struct err *err);

/* Tells the reader whether a transaction that begins now may be handed out ahead. is_safe: as far
 * as the caller knows. */
void ahead_allow(struct ahead *ahead, bool is_safe);

/* Applies a piece; the main session has nothing uncommitted. */
bool ahead_apply(struct ahead *ahead, const struct group *piece, struct err *err);

/* Commits all pieces, and moves the main session to the position. */
bool ahead_commit(struct ahead *ahead, const struct position *position, struct err *err);
bool ahead_abort(struct ahead *ahead, struct err *err);

/* Makes ERR_RETRY of what stands in the way, and has the next session go the other way. Always
 * false. */
bool ahead_give_up(struct ahead *ahead, struct err *err);

/* The same for an error of the main session that may be this transaction's doing: its locks are in
 * the way, its sessions are those that the server lacks. */
bool ahead_may_block(struct ahead *ahead, struct err *err);

/* After a session of following: whether it gave up, which is said; then another can begin. */
bool ahead_has_given_up(struct engine *engine, const struct err *err);

/* wire/dedupe.h - at most once: what an executor remembers of each caller, so that a call that
 * comes again is answered and not run again. Used where functions run: in librhodes for programs,
 * in the agent for devices.
 *
 * Life of a request: dedupe_begin; when it answers 0 the call runs and dedupe_done follows, always.
 * The table holds `callers_max` callers and `reply_bytes_max` of replies. A caller that is
 * forgotten leaves its deadline behind: a repeat cannot be told from a call that was forgotten
 * unless its own deadline is later, and is answered UNKNOWN then. All functions from any thread;
 * only dedupe_begin waits. */
#ifndef WIRE_DEDUPE_H
#define WIRE_DEDUPE_H

#include "base/bytes.h"
#include "wire/call.h"

struct dedupe;

/* `incarnation`: this executor's, not 0. */
int dedupe_new(uint64_t incarnation, size_t callers_max, size_t reply_bytes_max,
               struct dedupe **ret) MUST_CHECK;
struct dedupe *dedupe_free(struct dedupe *d); /* returns NULL */

/* Judges one request by its head.
 * 0: run it, then call dedupe_done. EXISTS: it ran; its result is in *ret_result and its body in
 * `ret_body` (emptied first); waits to the head's deadline while it still runs. STALE: the caller
 * has gone on, nobody waits for an answer: drop it. UNKNOWN: sent again, and the first try may have
 * run elsewhere or was forgotten. TIMEOUT: it still runs at the deadline. OVER_LIMIT: every caller
 * in the table has a call running. -ENOMEM. */
int dedupe_begin(struct dedupe *d, const struct call_head *head, int32_t *ret_result,
                 struct bytes *ret_body) MUST_CHECK;

/* The call ended: remembers its answer for a repeat. `body` is copied. */
void dedupe_done(struct dedupe *d, const struct call_head *head, int32_t result, const void *body,
                 size_t bytes);

#endif

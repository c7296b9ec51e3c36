/* agent/route.h - judging: may this call go, to whom, and with which words is it refused. Pure: a
 * view and a message in, a verdict and a sentence out. Both ends of a call judge here: the caller's
 * agent (outgoing, so that a refusal costs no hop) and the callee's (incoming, which is the
 * boundary). Any thread. */
#ifndef AGENT_ROUTE_H
#define AGENT_ROUTE_H

#include <stdatomic.h>

#include "model/view.h"
#include "wire/call.h"

#define WHY_BYTES            512 /* room for any sentence of the agent: two ids, a rule and some words */
#define REPLY_TEXT_BYTES_MAX 8192 /* a sentence that comes from a program */

/* May the view's resource call `function` of `callee`? 0 with the edge; DENIED or NOT_FOUND with a
 * sentence in why[WHY_BYTES] that names the rule and the revision. */
int route_outgoing(const struct view *v, const char *callee, uint64_t function,
                   const struct view_edge **ret_edge, char *why) MUST_CHECK;
/* May `caller` call `function` of the view's resource? The same answers. */
int route_incoming(const struct view *v, const char *caller, uint64_t function,
                   char *why) MUST_CHECK;

struct route_binding {
    char callee[RESOURCE_ID_BYTES_MAX];
    uint64_t function, timeout_ns;
    const char *signature; /* canonical, borrowed from the view */
    bool own;              /* the view's own resource (operators only) */
};

/* Finds what a program or an operator asks for: function `text` (a name, or a signature with the
 * types it uses) of `callee`
 * ("" or the own resource, where a person asks). DENIED, NOT_FOUND, TYPE_MISMATCH (both signatures
 * in *why), INVALID (not a signature). `hint` (WHY_BYTES as well) says what to do. */
int route_bind(const struct view *v, bool person, const char *callee, const char *text,
               const char *types, struct route_binding *ret, char *why, char *hint) MUST_CHECK;

/* What a program says it serves: 0 and the function's id; NOT_FOUND, TYPE_MISMATCH, INVALID as
 * above. */
int route_serve(const struct view *v, const char *signature, const char *types, uint64_t *ret_id,
                char *why, char *hint) MUST_CHECK;

/* Is `key` (32 bytes) what the agent of `caller` must show? Compares in constant time; DENIED with
 * sentence and hint when it is not, or when the view has no such edge. */
int route_peer(const struct view *v, const char *caller, const uint8_t *key, char *why,
               char *hint) MUST_CHECK;

/* Does the step from one view to the next take a right away: is an edge that was allowed denied or gone? */
bool route_revokes(const struct view *before, const struct view *after) MUST_CHECK;

struct route_counters {
    _Atomic uint64_t calls_out, calls_in, refused, failed, timeouts, switches;
};

/* Counts the end of a call that this agent judged: DENIED as refused, TIMEOUT as timeout, any other
 * "no" as failed. */
void route_count(struct route_counters *c, int result);

#endif

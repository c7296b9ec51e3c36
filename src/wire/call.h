/* wire/call.h - the head of every message that carries a call, the same on every protocol and every
 * hop. No I/O.
 *
 * A message is this head (fixed, 128 bytes) and a body of `body_bytes`: for a request the
 * parameters, for a good reply the result, both as wire/value.h lays them out; for any other reply
 * a text (UTF-8, may be empty) that says why.
 *
 * At most once: (caller, sequence) names a call for ever. `caller` is the random id of one calling
 * thread's channel and `sequence` counts its calls from 1. Whoever executes remembers the last
 * sequence and reply of each caller; a repeat with CALL_REPEAT is answered from there, and only
 * when `executor` is still the incarnation that the first try was sent to. */
#ifndef WIRE_CALL_H
#define WIRE_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

#define CALL_MAGIC          0x31434852u /* "RHC1" */
#define CALL_BODY_BYTES_MAX (16u << 20)
#define CALL_STAMPS         8

enum call_type {
    CALL_REQUEST = 1,
    CALL_REPLY,
    CALL_FENCE /* last message of a lane's old conduit: the lane goes on with the epoch in `binding`
                */
};

#define CALL_TRACE  1u /* each hop writes its stamp */
#define CALL_REPEAT 2u /* sent again after a peer's death; see above */
#define CALL_OPERATOR                                                                              \
    4u /* made by an operator at the callee's agent, not by a registered caller  \
                          */

/* Which stamp (CLOCK_MONOTONIC ns) is written by whom. */
enum call_stamp {
    STAMP_CALLER_SENT,    /* librhodes, before the request is published */
    STAMP_CALLER_AGENT,   /* caller's agent, when it has judged */
    STAMP_CALLEE_AGENT,   /* callee's agent, when it has judged */
    STAMP_CALLEE_STARTED, /* librhodes in the callee (or the hardware agent), before the function */
    STAMP_CALLEE_DONE,    /* after the function */
    STAMP_CALLEE_AGENT_REPLY,
    STAMP_CALLER_AGENT_REPLY,
    STAMP_CALLER_DONE
};

struct call_head {
    uint32_t magic;
    uint16_t type; /* enum call_type */
    uint16_t flags;
    uint64_t caller;
    uint64_t sequence;
    uint64_t function;    /* wit_function.id */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute, same node */
    uint64_t executor;    /* with CALL_REPEAT: see above. In a reply: the executor's incarnation */
    uint32_t body_bytes;
    int32_t result;    /* reply: 0, a verdict, or -errno */
    uint32_t binding;  /* program to agent: which callee (from BIND); fence: epoch; else 0 */
    uint32_t protocol; /* in a reply: enum protocol between the agents + 1 that carried the call; 0:
                          none */
    uint64_t stamp[CALL_STAMPS];
};

_Static_assert(sizeof(struct call_head) == 128, "the head is 128 bytes");
_Static_assert(offsetof(struct call_head, stamp) == 64, "stamps are the second cache line");

/* Checks a head that was copied out of foreign memory: magic, type, limits. INVALID or OVER_LIMIT.
 */
int call_head_check(const struct call_head *head) MUST_CHECK;

#endif

/* agent/arrival.h - an incoming lane: the end of a caller's lane in the callee's agent, with one
 * thread that judges each call by this agent's own rules and has it served. This is where the rules
 * are enforced: nothing that the caller's agent says is believed but what the edge's key proved,
 * namely who the caller is. */
#ifndef AGENT_ARRIVAL_H
#define AGENT_ARRIVAL_H

#include "model/name.h"
#include "transmitter/transmitter.h"

struct agent;
struct arrival;

/* A LANE request of the agent of `caller` in session `session` (its number): a new lane, or the
 * next conduit of one that it has. *ret_send goes back to it. OVER_LIMIT (lanes), INVALID
 * (protocol, epoch or descriptors). Main thread. */
int arrival_lane(struct agent *a, uint64_t session, const char *caller, const uint64_t number[4],
                 const struct descriptors *received, struct descriptors *ret_send,
                 char *why) MUST_CHECK;
/* The lane is no longer used (CLOSE), or the whole session ended: running calls end by themselves,
 * nothing new begins. */
void arrival_close(struct agent *a, uint64_t session, uint64_t lane);
void arrivals_leave(struct agent *a, uint64_t session);
void arrivals_stop(struct agent *a); /* all of them */

#endif

/* agent/lane.h - a lane: the way from one caller's channel in this agent to the agent of one
 * callee, over a conduit of the protocol that the edge says.
 *
 * A lane belongs to the relay thread of its channel; the registry below lets the main thread find
 * it, to mark it lost, to interrupt it, and to prepare its next conduit when a new revision changes
 * the protocol. What both touch is guarded by the registry's lock, which nobody holds while
 * waiting. */
#ifndef AGENT_LANE_H
#define AGENT_LANE_H

#include "agent/life.h"
#include "agent/peer.h"

#define AGENT_LANES_MAX 1024 /* outgoing; incoming as many again */

struct arrival;

struct lane {
    struct lane *next; /* registry: under the lock */
    struct agent *agent;
    const void *owner; /* the channel whose thread uses it */
    struct peer *peer;
    char callee[RESOURCE_ID_BYTES_MAX];
    uint64_t id;
    uint32_t epoch;    /* of the conduit in use; counts every attempt */
    uint64_t serial;   /* of the peer's connection that made it */
    uint64_t executor; /* who runs what is sent now: the last that the other side named */
    uint64_t stuck; /* generation of the rules under which a switch failed: not tried again before
                       the next */
    enum protocol protocol;
    _Atomic enum lane_state state; /* changed under the lock */
    struct conduit *conduit;       /* changed under the lock */
    struct prepared { /* made by the main thread at a change of protocol; under the lock */
        enum protocol protocol;
        struct conduit *conduit; /* NULL: none */
        struct descriptors send;
    } prepared;
};

struct lanes {
    pthread_mutex_t lock;
    struct lane *outgoing;
    struct arrival *incoming;
    size_t outgoing_count, incoming_count;
};

void lanes_init(struct lanes *l);
void lanes_deinit(struct lanes *l);

/* A closed lane to `callee`. OVER_LIMIT. */
int lane_new(struct agent *a, const void *owner, const char *callee, struct lane **ret) MUST_CHECK;
struct lane *lane_free(struct lane *l); /* tells the other side; returns NULL */

/* Makes the lane fit to carry a call under this edge: opens it, or switches its protocol with a
 * fence. 0; else as peer_lane, or OVER_LIMIT when the system grants no conduit. A switch that fails
 * leaves the old conduit in use and answers 0. */
int lane_ready(struct lane *l, const struct view_edge *edge, uint64_t generation,
               const struct patience *patience, char *why) MUST_CHECK;
/* Throws the conduit away: after an error on it, when it may hold half a message. */
void lane_give_up(struct lane *l);

/* Every lane over this connection is lost: marks them and ends their threads' waiting. Any thread.
 */
void lanes_lost(struct agent *a, const struct peer *p, uint64_t serial);
/* Makes the conduits that the edges of a new view ask for, for lanes in use. On an error nothing
 * was changed, and why[WHY_BYTES] says what could not be had. Main thread. */
int lanes_prepare(struct agent *a, const struct view *v, char *why) MUST_CHECK;
/* Ends the waiting of the thread of `owner` on any of its lanes. Any thread. */
void lanes_interrupt(struct agent *a, const void *owner);

#endif

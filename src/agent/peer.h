/* agent/peer.h - connections to the agents of callees: one to each, shared by all lanes to it.
 *
 * Relay threads use it, each waiting at most to its own call's deadline; exchanges on one
 * connection are one after the other under its lock. Its end is how another agent's death is known:
 * the kernel closes a dead process's sockets at once. An epoll descriptor collects these ends; the
 * main loop waits on that one. */
#ifndef AGENT_PEER_H
#define AGENT_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "model/view.h"
#include "transmitter/transmitter.h"

#define AGENT_PEERS_MAX 1024

struct agent;
struct peer;

struct peers {
    pthread_mutex_t lock; /* the list; a peer is never removed before the end */
    struct peer *list[AGENT_PEERS_MAX];
    size_t count;
    int deaths_fd;
};

/* How long and under which condition a thread waits. */
struct patience {
    uint64_t deadline_ns;
    const _Atomic bool *stop;
};

int peers_init(struct peers *p) MUST_CHECK;
void peers_deinit(struct peers *p);
/* The peer for `callee`, made when there is none yet. OVER_LIMIT. Any thread. */
int peer_find(struct agent *a, const char *callee, struct peer **ret) MUST_CHECK;

struct lane_request {
    uint64_t lane;
    uint32_t protocol, epoch;
    const struct descriptors *send;
    const struct view_edge *edge; /* for the key */
};
struct lane_answer {
    uint64_t executor;           /* the incarnation that will run what is sent */
    uint64_t serial;             /* of the connection: peer_alive() */
    struct descriptors received; /* the caller owns them */
};
/* Asks the callee's agent for a lane, connecting first where there is no connection. NOT_EXECUTED
 * when it is not there until the deadline, what the other agent answered (DENIED, OVER_LIMIT, ...),
 * TIMEOUT, -ECANCELED when *stop became true; -EPIPE when it died meanwhile. A sentence in
 * why[WHY_BYTES]. */
int peer_lane(struct agent *a, struct peer *p, const struct lane_request *request,
              const struct patience *patience, struct lane_answer *ret, char *why) MUST_CHECK;
/* Tells it that a lane is no longer used, where that does not wait. */
void peer_lane_close(struct agent *a, struct peer *p, uint64_t lane, uint64_t serial);
/* Is this connection, which the answer named, still there as far as is known? */
bool peer_alive(const struct peer *p, uint64_t serial);

/* The main loop: deaths_fd is readable. Marks the lanes of dead connections as lost and interrupts
 * their threads. */
void peers_on_deaths(struct agent *a);

#endif

/* agent/relay.h - the caller's side: one thread for each calling thread of the program (or of an
 * operator's tool), which takes its calls one after the other, judges them, and carries each to its
 * callee and back. */
#ifndef AGENT_RELAY_H
#define AGENT_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "transmitter/transmitter.h"

#define AGENT_CHANNELS_MAX          256 /* callers' channels of the program */
#define AGENT_OPERATOR_CHANNELS_MAX 64  /* of all operators together */
#define RELAY_DEADLINE_NS_MAX                                                                      \
    3600000000000ULL /* no call waits for longer: 1 h, a link's longest timeout */

struct agent;
struct channel;
struct session;

struct channels {
    pthread_mutex_t lock;
    struct channel *list;
    size_t program_count, operator_count;
};

void channels_init(struct channels *c);
void channels_deinit(struct channels *c);
/* Starts the thread for one calling thread: `id` names the caller in every call. Takes the conduit;
 * holds the session. OVER_LIMIT. */
int channel_new_take(struct agent *a, struct session *session, uint64_t id,
                     struct conduit *conduit) MUST_CHECK;
/* The session ended: its channels' threads end, calls under way are given up. */
void channels_leave(struct agent *a, const struct session *session);
void channels_stop(struct agent *a); /* all of them */

#endif

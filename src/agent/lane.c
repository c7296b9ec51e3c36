/* Outgoing lanes: opening, the live change of protocol, and loss.
 *
 * A change of protocol happens between two calls of the lane's own thread, so nothing is under way
 * on the old conduit but replies that nobody waits for any more. The new conduit is handed over
 * first; then CALL_FENCE goes out as the last message of the old one, and the thread at the other
 * side, having read everything before it, goes on with the new: nothing is lost, nothing comes
 * twice, the order stays. Until the fence is out the old conduit is the lane; a failure before it
 * changes nothing. The epoch counts attempts, so a new conduit that was handed over and then not
 * used is never mistaken for a later one.
 *
 * Conduits for the new protocol are made by the main thread while it judges a new view
 * (lanes_prepare): when the system grants no more message queues the push is rejected as a whole,
 * instead of being half in force. */
#include "agent/lane.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/agent.h"
#include "base/clock.h"

void lanes_init(struct lanes *l)
{
    *l = (struct lanes){ 0 };
    pthread_mutex_init(&l->lock, NULL);
}

void lanes_deinit(struct lanes *l)
{
    pthread_mutex_destroy(&l->lock);
}

int lane_new(struct agent *a, const void *owner, const char *callee, struct lane **ret)
{
    struct lane *l = calloc(1, sizeof(*l));
    int r;

    if (!l) {
        return failed(-ENOMEM);
    }
    l->agent = a;
    l->owner = owner;
    snprintf(l->callee, sizeof(l->callee), "%s", callee);
    r = peer_find(a, callee, &l->peer);
    if (r) {
        free(l);
        return r;
    }
    pthread_mutex_lock(&a->lanes.lock);
    if (a->lanes.outgoing_count < AGENT_LANES_MAX) {
        a->lanes.outgoing_count++;
        l->next = a->lanes.outgoing;
        a->lanes.outgoing = l;
    } else {
        r = RHODES_OVER_LIMIT;
    }
    pthread_mutex_unlock(&a->lanes.lock);
    if (r) {
        free(l);
        return r;
    }
    *ret = l;
    return 0;
}

/* Moves the lane by an event; the caller holds the lock. */
static void lane_move(struct lane *l, enum lane_event event)
{
    enum lane_state to = l->state;
    bool known = lane_next(l->state, event, &to);

    assert(known);
    l->state = to;
    assert((l->state == LANE_CLOSED) == (l->conduit == NULL));
}

static struct conduit *conduit_free(struct conduit *c)
{
    return c ? c->transmitter->free(c) : NULL;
}

static void prepared_drop(struct prepared *p)
{
    p->conduit = conduit_free(p->conduit);
    descriptors_close(&p->send);
}

void lane_give_up(struct lane *l)
{
    struct lanes *all = &l->agent->lanes;
    struct conduit *old;
    bool tell;

    pthread_mutex_lock(&all->lock);
    tell = l->state == LANE_OPEN;
    old = l->conduit;
    l->conduit = NULL;
    lane_move(l, LANE_GIVEN_UP);
    pthread_mutex_unlock(&all->lock);
    conduit_free(old);
    if (tell) {
        peer_lane_close(l->agent, l->peer, l->id, l->serial);
    }
}

struct lane *lane_free(struct lane *l)
{
    struct lanes *all;
    struct lane **at;

    if (!l) {
        return NULL;
    }
    all = &l->agent->lanes;
    lane_give_up(l);
    pthread_mutex_lock(&all->lock);
    for (at = &all->outgoing; *at != l; at = &(*at)->next) {
    }
    *at = l->next;
    all->outgoing_count--;
    pthread_mutex_unlock(&all->lock);
    prepared_drop(&l->prepared);
    free(l);
    return NULL;
}

static void lane_interrupt(struct lane *l)
{
    if (l->conduit) {
        l->conduit->transmitter->interrupt(l->conduit);
    }
}

void lanes_interrupt(struct agent *a, const void *owner)
{
    pthread_mutex_lock(&a->lanes.lock);
    for (struct lane *l = a->lanes.outgoing; l; l = l->next) {
        if (l->owner == owner) {
            lane_interrupt(l);
        }
    }
    pthread_mutex_unlock(&a->lanes.lock);
}

void lanes_lost(struct agent *a, const struct peer *p, uint64_t serial)
{
    pthread_mutex_lock(&a->lanes.lock);
    for (struct lane *l = a->lanes.outgoing; l; l = l->next) {
        if (l->peer == p && l->serial == serial && l->state == LANE_OPEN) {
            lane_move(l, LANE_BROKEN);
            lane_interrupt(l);
        }
    }
    pthread_mutex_unlock(&a->lanes.lock);
}

/* The conduit that was prepared for this protocol, or a new one. */
static int conduit_take(struct lane *l, enum protocol protocol, struct prepared *ret)
{
    struct prepared found;

    pthread_mutex_lock(&l->agent->lanes.lock);
    found = l->prepared;
    l->prepared = (struct prepared){ 0 };
    pthread_mutex_unlock(&l->agent->lanes.lock);
    if (found.conduit && found.protocol == protocol) {
        *ret = found;
        return 0;
    }
    prepared_drop(&found);
    *ret = (struct prepared){ .protocol = protocol };
    return transmitter_for(protocol)->open(&ret->conduit, &ret->send);
}

/* Hands a new conduit for (id, epoch) to the other side. On 0 it is complete and in *ret. */
static int conduit_hand_over(struct lane *l, uint64_t id, uint32_t epoch,
                             const struct view_edge *edge, const struct patience *patience,
                             struct conduit **ret, struct lane_answer *answer, char *why)
{
    const enum protocol protocol = (enum protocol)edge->protocol;
    struct prepared fresh;
    int r = conduit_take(l, protocol, &fresh);

    if (r) {
        snprintf(why, WHY_BYTES, "no %s conduit to %s can be had: %s", protocol_name(protocol),
                 l->callee, rhodes_result_sentence(r));
        return r;
    }
    struct lane_request request = { id, protocol, epoch, &fresh.send, edge };
    r = peer_lane(l->agent, l->peer, &request, patience, answer, why);
    descriptors_close(&fresh.send);
    if (!r) {
        r = fresh.conduit->transmitter->complete(fresh.conduit, &answer->received);
        descriptors_close(&answer->received);
        if (r) {
            snprintf(why, WHY_BYTES, "what the agent of %s sent for %s is not valid", l->callee,
                     protocol_name(protocol));
            r = r > 0 ? RHODES_GARBAGE : r;
        }
    }
    if (r) {
        conduit_free(fresh.conduit);
        return r;
    }
    *ret = fresh.conduit;
    return 0;
}

/* The lane goes on with `conduit`. The connection may have ended since the answer: then the lane is
 * lost from the start. */
static void lane_install(struct lane *l, struct conduit *conduit, enum protocol protocol,
                         const struct lane_answer *answer)
{
    struct lanes *all = &l->agent->lanes;
    struct conduit *old;

    pthread_mutex_lock(&all->lock);
    old = l->conduit;
    l->conduit = conduit;
    l->protocol = protocol;
    l->serial = answer->serial;
    l->executor = answer->executor;
    l->state = LANE_OPEN;
    if (!peer_alive(l->peer, l->serial)) {
        lane_move(l, LANE_BROKEN);
    }
    pthread_mutex_unlock(&all->lock);
    conduit_free(old);
}

static int lane_open(struct lane *l, const struct view_edge *edge, const struct patience *patience,
                     char *why)
{
    struct lane_answer answer;
    struct conduit *conduit;
    uint64_t id;
    int r;

    if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
        return failed(-EIO);
    }
    r = conduit_hand_over(l, id, 1, edge, patience, &conduit, &answer, why);
    if (r) {
        return r;
    }
    l->id = id;
    l->epoch = 1;
    lane_install(l, conduit, (enum protocol)edge->protocol, &answer);
    return 0;
}

/* The live change of protocol. After an error the lane is as it was (or lost, if it was the other
 * side that ended). */
static int lane_switch(struct lane *l, const struct view_edge *edge,
                       const struct patience *patience, char *why)
{
    struct call_head fence = { .magic = CALL_MAGIC, .type = CALL_FENCE, .binding = ++l->epoch };
    struct lane_answer answer;
    struct conduit *conduit;
    uint64_t serial = l->serial;
    int r = conduit_hand_over(l, l->id, l->epoch, edge, patience, &conduit, &answer, why);

    if (r) {
        return r;
    }
    if (answer.serial != serial) { /* a new agent, which does not know the lane's old conduit */
        conduit_free(conduit);
        return -EPIPE;
    }
    r = message_send(l->conduit, &fence, NULL, patience->deadline_ns);
    if (r) {
        conduit_free(conduit);
        lane_give_up(l); /* half a fence may be out */
        return r;
    }
    lane_install(l, conduit, (enum protocol)edge->protocol, &answer);
    atomic_fetch_add_explicit(&l->agent->counters.switches, 1, memory_order_relaxed);
    agent_notice(l->agent, LOG_INFO, "lane.switched", "%s -> %s now over %s (revision %llu)",
                 l->agent->options.resource, l->callee,
                 protocol_name((enum protocol)edge->protocol), (unsigned long long)edge->revision);
    return 0;
}

int lane_ready(struct lane *l, const struct view_edge *edge, uint64_t generation,
               const struct patience *patience, char *why)
{
    if (l->state == LANE_OPEN && l->protocol != edge->protocol && l->stuck != generation) {
        int r = lane_switch(l, edge, patience, why);

        if (r == -ECANCELED || r == RHODES_TIMEOUT || r == RHODES_NOT_EXECUTED) {
            return r; /* the call's time is over; that says nothing of the switch */
        }
        if (r && l->state == LANE_OPEN) {
            l->stuck = generation;
            agent_notice(l->agent, LOG_WARNING, "lane.switched",
                         "%s -> %s stays on %s until the next change of rules: %s",
                         l->agent->options.resource, l->callee, protocol_name(l->protocol), why);
        }
    }
    if (l->state == LANE_LOST) {
        lane_give_up(l);
    }
    return l->state == LANE_OPEN ? 0 : lane_open(l, edge, patience, why);
}

/* Undoes what this pass of lanes_prepare made; the caller holds the lock. */
static void unprepare(struct agent *a, const struct view *v)
{
    for (struct lane *l = a->lanes.outgoing; l; l = l->next) {
        const struct view_edge *edge = view_edge_find(v, l->callee, true);

        if (edge && l->prepared.conduit && l->prepared.protocol == edge->protocol) {
            prepared_drop(&l->prepared);
        }
    }
}

int lanes_prepare(struct agent *a, const struct view *v, char *why)
{
    int r = 0;

    pthread_mutex_lock(&a->lanes.lock);
    for (struct lane *l = a->lanes.outgoing; l && !r; l = l->next) {
        const struct view_edge *edge = view_edge_find(v, l->callee, true);

        if (edge && l->prepared.conduit && l->prepared.protocol == edge->protocol &&
            l->protocol != edge->protocol) {
            continue;
        }
        prepared_drop(&l->prepared);
        if (!edge || l->state != LANE_OPEN || l->protocol == edge->protocol) {
            continue;
        }
        l->prepared.protocol = (enum protocol)edge->protocol;
        r = transmitter_for(l->prepared.protocol)->open(&l->prepared.conduit, &l->prepared.send);
        if (r) {
            l->prepared.conduit = NULL;
            snprintf(why, WHY_BYTES, "%s -> %s cannot go over %s: %s (%zu lanes are open)",
                     a->options.resource, l->callee, protocol_name(l->prepared.protocol),
                     rhodes_result_sentence(r), a->lanes.outgoing_count);
        }
    }
    if (r) {
        unprepare(a, v);
    }
    pthread_mutex_unlock(&a->lanes.lock);
    return r;
}

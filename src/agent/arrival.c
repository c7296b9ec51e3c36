/* Incoming lanes. One thread each: it reads a request, judges it on the rules in force at that
 * moment, has it served and sends the answer back. When the caller's agent dies, a call that runs
 * goes on to its end, because it cannot be called back; its answer goes nowhere, and the caller's
 * repeat gets it from the executor's memory.
 *
 * The fence: the caller's agent handed over the next conduit before it sent CALL_FENCE as the last
 * message of the old one, so the thread, having read everything up to the fence, finds the next one
 * waiting and goes on there. An answer that cannot be sent any more because the caller has let go
 * of the old conduit is no reason to end: its fence may still be in there. */
#include "agent/arrival.h"

#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"

#define REPLY_GRACE_NS                                                                             \
    (500 * NS_PER_MS) /* how long a long answer may take beyond the call's deadline */

struct arrival {
    struct arrival *next; /* registry, under the lanes' lock; so are changes of the conduits */
    struct agent *agent;
    uint64_t session;
    char caller[RESOURCE_ID_BYTES_MAX];
    uint64_t lane;
    struct conduit *conduit, *coming; /* coming: for the fence with coming_epoch */
    uint32_t coming_epoch;
    _Atomic bool stop;
    struct hold hold;
    struct bytes body;
    struct answer answer;
};

static void conduit_drop(struct conduit *c)
{
    if (c) {
        c->transmitter->free(c);
    }
}

static void arrival_free(struct arrival *v)
{
    conduit_drop(v->conduit);
    conduit_drop(v->coming);
    cache_let_go(&v->hold);
    bytes_deinit(&v->body);
    answer_deinit(&v->answer);
    free(v);
}

/* The last thing that the thread does with it. */
static void arrival_end(struct arrival *v)
{
    struct lanes *all = &v->agent->lanes;
    struct arrival **at;

    pthread_mutex_lock(&all->lock);
    for (at = &all->incoming; *at != v; at = &(*at)->next) {
    }
    *at = v->next;
    all->incoming_count--;
    pthread_mutex_unlock(&all->lock);
    arrival_free(v);
}

/* The last message of the old conduit was read: the next one takes over. False: there is none of
 * that epoch, or the lane ends. */
static bool fence_pass(struct arrival *v, uint32_t epoch)
{
    struct conduit *old = NULL;
    bool good;

    pthread_mutex_lock(&v->agent->lanes.lock);
    good = v->coming && v->coming_epoch == epoch && !v->stop; /* which rang the old one's bell */
    if (good) {
        old = v->conduit;
        v->conduit = v->coming;
        v->coming = NULL;
    }
    pthread_mutex_unlock(&v->agent->lanes.lock);
    conduit_drop(old);
    return good;
}

static void request_judge_and_serve(struct arrival *v, struct call_head *request)
{
    struct agent *a = v->agent;
    const struct rules *rules = cache_hold(&a->cache, &v->hold);
    char why[WHY_BYTES];
    int r;

    request->flags &= CALL_TRACE | CALL_REPEAT; /* nobody becomes an operator by saying so */
    request->binding = 0;
    r = route_incoming(rules->view, v->caller, request->function, why);
    if (request->flags & CALL_TRACE) {
        request->stamp[STAMP_CALLEE_AGENT] = clock_ns();
    }
    if (r) {
        answer_text(&v->answer, request, r, "%s", why);
    } else {
        serve_call(a, rules, request, &v->body, &v->answer);
    }
    if (r == RHODES_DENIED) {
        agent_notice(a, LOG_WARNING, "call.refused", "%s", why);
    }
    answer_doubt(&v->answer, request);
    route_count(&a->counters, v->answer.head.result);
    if (request->flags & CALL_TRACE) {
        v->answer.head.stamp[STAMP_CALLEE_AGENT_REPLY] = clock_ns();
    }
}

/* One request: body, judgement, call, answer. False: the lane is over. */
static bool arrival_request(struct arrival *v, struct call_head *request)
{
    uint64_t latest = clock_ns() + RELAY_DEADLINE_NS_MAX;
    int r;

    if (request->deadline_ns > latest) {
        request->deadline_ns = latest;
    }
    r = message_body(v->conduit, request, &v->body, request->deadline_ns);
    if (r || v->stop) {
        return false; /* a request that did not arrive whole did not run; its agent is told by the
                         conduit's end */
    }
    atomic_fetch_add_explicit(&v->agent->counters.calls_in, 1, memory_order_relaxed);
    request_judge_and_serve(v, request);
    r = message_send(v->conduit, &v->answer.head, v->answer.body.data,
                     request->deadline_ns + REPLY_GRACE_NS);
    buffer_trim(&v->body);
    buffer_trim(&v->answer.body);
    return r == 0 || r == -EPIPE || (r == -ECANCELED && !v->stop);
}

static void arrival_run(void *data)
{
    struct arrival *v = data;
    bool on = true;

    while (on) {
        struct call_head head;
        int r = message_head(v->conduit, &head, UINT64_MAX);

        if (r == -ECANCELED) {
            on = !v->stop;
        } else if (r) {
            on = false;
        } else if (head.type == CALL_FENCE) {
            on = head.body_bytes == 0 && fence_pass(v, head.binding);
        } else {
            on = head.type == CALL_REQUEST && arrival_request(v, &head);
        }
    }
    arrival_end(v);
}

static struct arrival *arrival_find(struct agent *a, uint64_t session, uint64_t lane)
{
    for (struct arrival *v = a->lanes.incoming; v; v = v->next) {
        if (v->session == session && v->lane == lane && !v->stop) {
            return v;
        }
    }
    return NULL;
}

/* Adds a lane with its thread. Takes the conduit. */
static int arrival_new(struct agent *a, uint64_t session, const char *caller, uint64_t lane,
                       struct conduit *conduit)
{
    struct arrival *v = calloc(1, sizeof(*v));
    bool room;
    int r;

    if (!v) {
        conduit_drop(conduit);
        return failed(-ENOMEM);
    }
    *v = (struct arrival){ .agent = a, .session = session, .lane = lane, .conduit = conduit };
    snprintf(v->caller, sizeof(v->caller), "%s", caller);
    bytes_init(&v->body, CALL_BODY_BYTES_MAX);
    answer_init(&v->answer);
    pthread_mutex_lock(&a->lanes.lock);
    room = a->lanes.incoming_count < AGENT_LANES_MAX;
    if (room) {
        a->lanes.incoming_count++;
        v->next = a->lanes.incoming;
        a->lanes.incoming = v;
    }
    pthread_mutex_unlock(&a->lanes.lock);
    if (!room) {
        arrival_free(v);
        return RHODES_OVER_LIMIT;
    }
    r = crew_start(&a->crew, "arrival", arrival_run, v);
    if (r) {
        arrival_end(v);
    }
    return r;
}

int arrival_lane(struct agent *a, uint64_t session, const char *caller, const uint64_t number[4],
                 const struct descriptors *received, struct descriptors *ret_send, char *why)
{
    const uint64_t lane = number[0], protocol = number[1], epoch = number[2];
    struct conduit *conduit, *unused = NULL;
    struct arrival *v;
    int r;

    if (protocol >= PROTOCOLS_COUNT || epoch == 0 || epoch > UINT32_MAX) {
        snprintf(why, WHY_BYTES, "there is no protocol %llu or epoch %llu",
                 (unsigned long long)protocol, (unsigned long long)epoch);
        return RHODES_INVALID;
    }
    r = transmitter_for((enum protocol)protocol)->accept(received, &conduit, ret_send);
    if (r) {
        snprintf(why, WHY_BYTES, "%s cannot open its half of a %s lane: %s", a->options.resource,
                 protocol_name((enum protocol)protocol), rhodes_result_sentence(r));
        return r;
    }
    pthread_mutex_lock(&a->lanes.lock);
    v = arrival_find(a, session, lane);
    if (v) {
        unused = v->coming;
        v->coming = conduit;
        v->coming_epoch = (uint32_t)epoch;
    }
    pthread_mutex_unlock(&a->lanes.lock);
    conduit_drop(unused);
    r = v ? 0 : arrival_new(a, session, caller, lane, conduit);
    if (r) {
        descriptors_close(ret_send);
        snprintf(why, WHY_BYTES, "%s takes no more lanes (at most %d): %s", a->options.resource,
                 AGENT_LANES_MAX, rhodes_result_sentence(r));
    }
    return r;
}

static void arrival_stop(struct arrival *v)
{
    v->stop = true;
    v->conduit->transmitter->interrupt(v->conduit);
}

void arrival_close(struct agent *a, uint64_t session, uint64_t lane)
{
    struct arrival *v;

    pthread_mutex_lock(&a->lanes.lock);
    v = arrival_find(a, session, lane);
    if (v) {
        arrival_stop(v);
    }
    pthread_mutex_unlock(&a->lanes.lock);
}

void arrivals_leave(struct agent *a, uint64_t session)
{
    pthread_mutex_lock(&a->lanes.lock);
    for (struct arrival *v = a->lanes.incoming; v; v = v->next) {
        if (v->session == session && !v->stop) {
            arrival_stop(v);
        }
    }
    pthread_mutex_unlock(&a->lanes.lock);
}

void arrivals_stop(struct agent *a)
{
    pthread_mutex_lock(&a->lanes.lock);
    for (struct arrival *v = a->lanes.incoming; v; v = v->next) {
        arrival_stop(v);
    }
    pthread_mutex_unlock(&a->lanes.lock);
}

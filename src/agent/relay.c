/* Carrying a call from a program to its callee's agent and back.
 *
 * At most once, and never silence. The request is kept until its answer is there. When the other
 * agent dies, what its conduit says it had taken decides: not taken means that the call did not run
 * and is sent as new; taken means that it may have run, so it is sent again as a repeat, naming the
 * executor of the first try, who alone can tell (wire/dedupe.h). What cannot be known by the
 * deadline is told as UNKNOWN. The lane is one call at a time, so an answer with another (caller,
 * sequence) belongs to a call that was given up and is dropped.
 *
 * The rules are looked at once per try: a link that is denied while a call waits for its callee's
 * agent stops it. */
#include "agent/relay.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"

/* The callee's agent answers at the deadline with what it knows; so much later this side answers
 * with what it knows. */
#define ANSWER_GRACE_NS (10 * NS_PER_MS)
#define LIMIT_PAUSE_NS  (20 * NS_PER_MS)
#define AGAIN_AT_ONCE   3
#define AGAIN_NS        (500 * NS_PER_US) /* doubled with each try, up to 16 ms */

struct callee {
    char id[RESOURCE_ID_BYTES_MAX];
    bool own;          /* the agent's own resource: an operator calls it */
    struct lane *lane; /* NULL until the first call */
};

struct channel {
    struct channel *next; /* registry: under the lock */
    struct agent *agent;
    struct session *session;
    uint64_t id;
    bool person; /* an operator's */
    _Atomic bool stop;
    struct conduit *conduit; /* to the program */
    struct callee **bound;   /* by binding number - 1 */
    size_t bound_count;
    struct callee **callees; /* each once; owned */
    size_t callees_count;
    struct hold hold;
    struct bytes body; /* the request, until its answer is there */
    struct answer answer;
};

/* One call on its way. */
struct carriage {
    struct channel *channel;
    struct callee *callee;
    struct call_head head;
    struct patience patience;
    bool pending; /* an earlier try may have run */
    enum protocol protocol;
};

void channels_init(struct channels *c)
{
    *c = (struct channels){ 0 };
    pthread_mutex_init(&c->lock, NULL);
}

void channels_deinit(struct channels *c)
{
    pthread_mutex_destroy(&c->lock);
}

/* Looks a binding up in the session and remembers it: NOT_FOUND, OVER_LIMIT, -ENOMEM. */
static int callee_learn(struct channel *c, uint32_t binding, struct callee **ret)
{
    char id[RESOURCE_ID_BYTES_MAX];
    struct callee *callee = NULL, **grown;
    bool own;

    if (!session_binding(c->session, binding, id, &own)) {
        return RHODES_NOT_FOUND;
    }
    for (size_t i = 0; i < c->callees_count && !callee; i++) {
        callee = strcmp(c->callees[i]->id, id) == 0 ? c->callees[i] : NULL;
    }
    if (!callee) {
        grown = realloc(c->callees, (c->callees_count + 1) * sizeof(struct callee *));
        callee = grown ? calloc(1, sizeof(*callee)) : NULL;
        c->callees = grown ? grown : c->callees;
        if (!callee) {
            return failed(-ENOMEM);
        }
        snprintf(callee->id, sizeof(callee->id), "%s", id);
        callee->own = own;
        c->callees[c->callees_count++] = callee;
    }
    if (binding > c->bound_count) {
        grown = realloc(c->bound, binding * sizeof(struct callee *));
        if (!grown) {
            return failed(-ENOMEM);
        }
        memset(grown + c->bound_count, 0, (binding - c->bound_count) * sizeof(struct callee *));
        c->bound = grown;
        c->bound_count = binding;
    }
    c->bound[binding - 1] = *ret = callee;
    return 0;
}

static int callee_find(struct channel *c, uint32_t binding, struct callee **ret)
{
    if (binding && binding <= c->bound_count && c->bound[binding - 1]) {
        *ret = c->bound[binding - 1];
        return 0;
    }
    return callee_learn(c, binding, ret);
}

/* Waits for the answer to this call, dropping what earlier ones left. */
static int lane_answer(struct carriage *y, struct call_head *ret)
{
    struct conduit *c = y->callee->lane->conduit;
    const uint64_t deadline_ns = y->patience.deadline_ns + ANSWER_GRACE_NS;

    for (;;) {
        int r = message_head(c, ret, deadline_ns);

        if (r) {
            return r;
        }
        if (ret->type != CALL_REPLY) {
            return RHODES_GARBAGE;
        }
        if (ret->caller == y->head.caller && ret->sequence == y->head.sequence) {
            return 0;
        }
        r = message_drop(c, ret, deadline_ns);
        if (r) {
            return r;
        }
    }
}

/* The answer goes to the program as it comes, chunk by chunk. After an error the channel is over.
 */
static int answer_relay(struct carriage *y, struct call_head *reply)
{
    struct channel *c = y->channel;
    struct lane *lane = y->callee->lane;
    int side, r;

    if (reply->executor) {
        lane->executor = reply->executor;
    }
    reply->protocol = (uint32_t)lane->protocol + 1;
    reply->stamp[STAMP_CALLER_SENT] = y->head.stamp[STAMP_CALLER_SENT];
    reply->stamp[STAMP_CALLER_AGENT] = y->head.stamp[STAMP_CALLER_AGENT];
    if (y->head.flags & CALL_TRACE) {
        reply->stamp[STAMP_CALLER_AGENT_REPLY] = clock_ns();
    }
    route_count(&c->agent->counters, reply->result);
    r = message_relay(lane->conduit, c->conduit, reply, y->patience.deadline_ns + ANSWER_GRACE_NS,
                      &side);
    if (r) {
        lane_give_up(lane); /* half a message is left in it */
    }
    return r;
}

/* An answer made here. 0: the channel can be used on. */
static int answer_send(struct channel *c, const struct call_head *request)
{
    route_count(&c->agent->counters, c->answer.head.result);
    return message_send(c->conduit, &c->answer.head, c->answer.body.data,
                        request->deadline_ns + ANSWER_GRACE_NS);
}

/* Makes the answer of a call that ends here. A call that may have run is never told as refused or
 * not executed. */
static int carriage_fail(struct carriage *y, int result, const char *why)
{
    struct channel *c = y->channel;

    if (y->pending && result != RHODES_TIMEOUT) {
        answer_text(&c->answer, &y->head, RHODES_UNKNOWN,
                    "the agent of %s died during the call, which may have run; then: %s",
                    y->callee->id, why);
    } else {
        answer_text(&c->answer, &y->head, result, "%s", why);
    }
    return answer_send(c, &y->head);
}

enum outcome { OUTCOME_ANSWERED, OUTCOME_AGAIN, OUTCOME_FAILED, OUTCOME_OVER };

/* Judges, and makes the lane fit. 0, or the verdict with a sentence. */
static int carriage_ready(struct carriage *y, char *why)
{
    struct channel *c = y->channel;
    struct agent *a = c->agent;
    const struct rules *rules = cache_hold(&a->cache, &c->hold);
    const struct view_edge *edge;
    int r = route_outgoing(rules->view, y->callee->id, y->head.function, &edge, why);

    if (y->head.flags & CALL_TRACE) {
        y->head.stamp[STAMP_CALLER_AGENT] = clock_ns();
    }
    if (r == RHODES_DENIED) {
        agent_notice(a, LOG_WARNING, "call.refused", "%s", why);
    }
    if (!r && !y->callee->lane) {
        r = lane_new(a, c, y->callee->id, &y->callee->lane);
        if (r) {
            snprintf(why, WHY_BYTES, "no lane to %s (at most %d are open): %s", y->callee->id,
                     AGENT_LANES_MAX, rhodes_result_sentence(r));
        }
    }
    return r ? r : lane_ready(y->callee->lane, edge, c->hold.generation, &y->patience, why);
}

/* The conduit ended under the call: what had the other side taken? */
static enum outcome carriage_broken(struct carriage *y)
{
    struct lane *lane = y->callee->lane;

    if (lane->conduit->transmitter->taken(lane->conduit)) {
        y->pending = true;
    }
    lane_give_up(lane);
    return y->channel->stop ? OUTCOME_OVER : OUTCOME_AGAIN;
}

static enum outcome carriage_try(struct carriage *y, int *ret_result, char *why)
{
    struct lane *lane;
    struct call_head reply;
    int r = carriage_ready(y, why);

    if (r == -ECANCELED || r == -EPIPE) {
        return y->channel->stop ? OUTCOME_OVER : OUTCOME_AGAIN;
    }
    if (r == RHODES_TIMEOUT) { /* before anything was sent */
        snprintf(why, WHY_BYTES, "the agent of %s did not answer until the deadline",
                 y->callee->id);
        r = RHODES_NOT_EXECUTED;
    }
    if (r) {
        *ret_result = r;
        return OUTCOME_FAILED;
    }
    lane = y->callee->lane;
    if (y->channel->stop) { /* set before its lanes were interrupted, so one made since then is seen
                               here */
        return OUTCOME_OVER;
    }
    if (y->pending) {
        y->head.flags |= CALL_REPEAT;
    } else {
        y->head.executor = lane->executor;
    }
    r = message_send(lane->conduit, &y->head, y->channel->body.data, y->patience.deadline_ns);
    if (r == RHODES_TIMEOUT) {
        lane_give_up(lane); /* not all of it is in there, so it cannot run */
        snprintf(why, WHY_BYTES, "the agent of %s did not take the request until the deadline",
                 y->callee->id);
        *ret_result = RHODES_NOT_EXECUTED;
        return OUTCOME_FAILED;
    }
    if (r == -ECANCELED || r == -EPIPE) { /* nor can it then, whatever was taken before it */
        lane_give_up(lane);
        return y->channel->stop ? OUTCOME_OVER : OUTCOME_AGAIN;
    }
    r = r ? r : lane_answer(y, &reply);
    if (r == 0) {
        return answer_relay(y, &reply) ? OUTCOME_OVER : OUTCOME_ANSWERED;
    }
    if (r == -ECANCELED || r == -EPIPE) {
        return carriage_broken(y);
    }
    *ret_result = r == RHODES_TIMEOUT ? r : RHODES_GARBAGE;
    snprintf(why, WHY_BYTES,
             r == RHODES_TIMEOUT ? "no answer from the agent of %s until the deadline"
                                 : "the agent of %s sent something that is not an answer",
             y->callee->id);
    if (r != RHODES_TIMEOUT || lane->conduit->body_left) {
        lane_give_up(lane);
    }
    return OUTCOME_FAILED;
}

/* A call that may have run waits for a lane until its deadline even when a limit is in the way:
 * what it needs to know is worth more than a quick answer, and the dead agent's lanes are just
 * being cleared away. */
static bool limit_passes(struct carriage *y, enum outcome outcome, int result)
{
    struct timespec pause = clock_timespec(LIMIT_PAUSE_NS);

    if (outcome != OUTCOME_FAILED || result != RHODES_OVER_LIMIT || !y->pending ||
        y->channel->stop || clock_left_ns(y->patience.deadline_ns) <= LIMIT_PAUSE_NS) {
        return false;
    }
    nanosleep(&pause, NULL);
    return true;
}

/* The first tries follow at once: a death is seen in one or two of them. An agent that keeps ending
 * its connection is not run after. */
static void again_pause(const struct carriage *y, unsigned tries)
{
    uint64_t pause = AGAIN_NS << (tries < 5 ? tries : 5), left;
    struct timespec nap;

    if (tries > AGAIN_AT_ONCE) {
        left = clock_left_ns(y->patience.deadline_ns);
        nap = clock_timespec(pause < left ? pause : left);
        nanosleep(&nap, NULL);
    }
}

/* Carries a checked request to its end. False: the channel is over. */
static bool carry(struct carriage *y)
{
    enum outcome outcome;
    char why[WHY_BYTES] = "";
    unsigned tries = 0;
    int result = 0;

    do {
        outcome = carriage_try(y, &result, why);
        if (outcome == OUTCOME_AGAIN) {
            again_pause(y, ++tries);
        }
        if (outcome == OUTCOME_AGAIN && clock_left_ns(y->patience.deadline_ns) == 0) {
            snprintf(why, WHY_BYTES, "the agent of %s ended until the deadline", y->callee->id);
            result = RHODES_NOT_EXECUTED;
            outcome = OUTCOME_FAILED;
        }
    } while (outcome == OUTCOME_AGAIN || limit_passes(y, outcome, result));
    if (outcome == OUTCOME_FAILED) {
        return carriage_fail(y, result, why) == 0;
    }
    return outcome == OUTCOME_ANSWERED;
}

/* An operator calls the agent's own resource: served right here, under no edge. */
static bool carry_own(struct channel *c, struct call_head *head)
{
    const struct rules *rules = cache_hold(&c->agent->cache, &c->hold);

    head->flags |= CALL_OPERATOR;
    head->binding = 0;
    if (head->flags & CALL_TRACE) {
        head->stamp[STAMP_CALLER_AGENT] = head->stamp[STAMP_CALLEE_AGENT] = clock_ns();
    }
    atomic_fetch_add_explicit(&c->agent->counters.calls_in, 1, memory_order_relaxed);
    if (rules_function(rules, head->function)) {
        serve_call(c->agent, rules, head, &c->body, &c->answer);
    } else {
        answer_text(&c->answer, head, RHODES_NOT_FOUND, "%s no longer provides this function",
                    c->agent->options.resource);
    }
    answer_doubt(&c->answer, head);
    if (head->flags & CALL_TRACE) {
        c->answer.head.stamp[STAMP_CALLEE_AGENT_REPLY] = clock_ns();
        c->answer.head.stamp[STAMP_CALLER_AGENT_REPLY] = clock_ns();
    }
    return answer_send(c, head) == 0;
}

/* One message from the program. False: the channel is over. */
static bool channel_message(struct channel *c, struct call_head *head)
{
    struct carriage y = { .channel = c };
    uint64_t latest = clock_ns() + RELAY_DEADLINE_NS_MAX;
    int r;

    if (head->deadline_ns > latest) {
        head->deadline_ns = latest;
    }
    head->flags &= CALL_TRACE | CALL_REPEAT;
    r = message_body(c->conduit, head, &c->body, head->deadline_ns);
    if (r || head->type != CALL_REQUEST || head->caller != c->id) {
        return false; /* it speaks in another's name, or not at all: the end of the channel says so
                       */
    }
    r = callee_find(c, head->binding, &y.callee);
    if (r) {
        answer_text(&c->answer, head, r, "there is no binding %u in this session", head->binding);
        return answer_send(c, head) == 0;
    }
    if (y.callee->own) {
        return carry_own(c, head);
    }
    atomic_fetch_add_explicit(&c->agent->counters.calls_out, 1, memory_order_relaxed);
    y.head = *head;
    y.head.binding = 0;
    y.patience = (struct patience){ head->deadline_ns, &c->stop };
    y.pending = head->flags & CALL_REPEAT;
    return carry(&y);
}

static void channel_free(struct channel *c)
{
    for (size_t i = 0; i < c->callees_count; i++) {
        lane_free(c->callees[i]->lane);
        free(c->callees[i]);
    }
    free(c->callees);
    free(c->bound);
    c->conduit->transmitter->free(c->conduit);
    cache_let_go(&c->hold);
    bytes_deinit(&c->body);
    answer_deinit(&c->answer);
    session_unref(c->session);
    free(c);
}

/* The last thing that its thread does. */
static void channel_end(struct channel *c)
{
    struct channels *all = &c->agent->channels;
    struct channel **at;

    pthread_mutex_lock(&all->lock);
    for (at = &all->list; *at != c; at = &(*at)->next) {
    }
    *at = c->next;
    *(c->person ? &all->operator_count : &all->program_count) -= 1;
    pthread_mutex_unlock(&all->lock);
    channel_free(c);
}

static void channel_run(void *data)
{
    struct channel *c = data;
    bool on = true;

    while (on) {
        struct call_head head;
        int r = message_head(c->conduit, &head, UINT64_MAX);

        if (r == -ECANCELED) {
            on = !c->stop;
        } else {
            on = r == 0 && channel_message(c, &head) && !c->stop;
        }
        buffer_trim(&c->body);
        buffer_trim(&c->answer.body);
    }
    channel_end(c);
}

int channel_new_take(struct agent *a, struct session *session, uint64_t id, struct conduit *conduit)
{
    struct channel *c = calloc(1, sizeof(*c));
    size_t *count, most;
    int r = 0;

    if (!c) {
        conduit->transmitter->free(conduit);
        return failed(-ENOMEM);
    }
    *c = (struct channel){
        .agent = a, .session = session_ref(session), .id = id, .conduit = conduit
    };
    c->person = session->state == SESSION_PERSON;
    bytes_init(&c->body, CALL_BODY_BYTES_MAX);
    answer_init(&c->answer);
    pthread_mutex_lock(&a->channels.lock);
    count = c->person ? &a->channels.operator_count : &a->channels.program_count;
    most = c->person ? AGENT_OPERATOR_CHANNELS_MAX : AGENT_CHANNELS_MAX;
    if (*count < most) {
        *count += 1;
        c->next = a->channels.list;
        a->channels.list = c;
    } else {
        r = RHODES_OVER_LIMIT;
    }
    pthread_mutex_unlock(&a->channels.lock);
    if (r) {
        channel_free(c);
        return r;
    }
    r = crew_start(&a->crew, "relay", channel_run, c);
    if (r) {
        channel_end(c);
    }
    return r;
}

static void channels_end_of(struct agent *a, const struct session *session)
{
    pthread_mutex_lock(&a->channels.lock);
    for (struct channel *c = a->channels.list; c; c = c->next) {
        if (!session || c->session == session) {
            c->stop = true;
            c->conduit->transmitter->interrupt(c->conduit);
            lanes_interrupt(a, c);
        }
    }
    pthread_mutex_unlock(&a->channels.lock);
}

void channels_leave(struct agent *a, const struct session *session)
{
    channels_end_of(a, session);
}

void channels_stop(struct agent *a)
{
    channels_end_of(a, NULL);
}

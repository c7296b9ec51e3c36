/* Every list of the agent at its limit and one beyond, and that what is given back can be had
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/arrival.h"
#include "base/clock.h"
#include "base/hash.h"
#include "test/lib/isolated.h"

static int agent_make(void **state)
{
    struct agent *a = calloc(1, sizeof(*a));

    assert_non_null(a);
    a->options.resource = "service/tcp";
    a->dir_fd = a->agents_fd = -1;
    a->incarnation = 1;
    assert_int_equal(uv_loop_init(&a->loop), 0);
    pthread_mutex_init(&a->mail.lock, NULL);
    assert_int_equal(uv_async_init(&a->loop, &a->mail.bell, (uv_async_cb)abort), 0);
    cache_init(&a->cache);
    crew_init(&a->crew);
    lanes_init(&a->lanes);
    channels_init(&a->channels);
    serve_init(&a->serve);
    assert_int_equal(peers_init(&a->peers), 0);
    assert_int_equal(doors_init(&a->doors, a), 0);
    *state = a;
    return 0;
}

static void on_walk(uv_handle_t *handle, void *data)
{
    uv_close(handle, NULL);
}

static int agent_drop(void **state)
{
    struct agent *a = *state;

    channels_stop(a);
    arrivals_stop(a);
    assert_int_equal(crew_wait(&a->crew, clock_ns() + 10 * NS_PER_S), 0);
    doors_deinit(&a->doors);
    peers_deinit(&a->peers);
    uv_walk(&a->loop, on_walk, NULL);
    uv_run(&a->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&a->loop), 0);
    uv_library_shutdown(); /* its own pipe for signals */
    cache_deinit(&a->cache);
    free(a);
    return 0;
}

static struct session *session_make(struct agent *a, enum session_state state)
{
    struct session *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->agent = a;
    s->references = 1;
    s->number = 7;
    s->state = state;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Both halves of a conduit in this process: ours is returned, the agent's is in *ret. */
static struct conduit *pair(struct conduit **ret)
{
    struct descriptors there, back;
    struct conduit *mine;

    assert_int_equal(transmitter_shm.open(&mine, &there), 0);
    assert_int_equal(transmitter_shm.accept(&there, ret, &back), 0);
    assert_int_equal(transmitter_shm.complete(mine, &back), 0);
    descriptors_close(&there);
    descriptors_close(&back);
    return mine;
}

static void a_program_has_so_many_channels_and_no_more(void **state)
{
    struct agent *a = *state;
    struct session *s = session_make(a, SESSION_PROGRAM);
    struct conduit *mine[3], *theirs;

    a->channels.program_count = AGENT_CHANNELS_MAX - 1;
    mine[0] = pair(&theirs);
    assert_int_equal(channel_new_take(a, s, 11, theirs), 0);
    mine[1] = pair(&theirs);
    assert_int_equal(channel_new_take(a, s, 12, theirs), RHODES_OVER_LIMIT);
    assert_int_equal(a->channels.program_count, AGENT_CHANNELS_MAX);
    s->state = SESSION_PERSON; /* operators have a limit of their own */
    mine[2] = pair(&theirs);
    assert_int_equal(channel_new_take(a, s, 13, theirs), 0);
    for (int i = 0; i < 3; i++) {
        mine[i]->transmitter->free(mine[i]); /* its thread ends, and the place is free again */
    }
    assert_int_equal(crew_wait(&a->crew, clock_ns() + 10 * NS_PER_S), 0);
    assert_int_equal(a->channels.program_count, AGENT_CHANNELS_MAX - 1);
    assert_int_equal(a->channels.operator_count, 0);
    session_unref(s);
}

static void operators_have_so_many_channels_and_no_more(void **state)
{
    struct agent *a = *state;
    struct session *s = session_make(a, SESSION_PERSON);
    struct conduit *mine[2], *theirs;

    a->channels.operator_count = AGENT_OPERATOR_CHANNELS_MAX - 1;
    mine[0] = pair(&theirs);
    assert_int_equal(channel_new_take(a, s, 11, theirs), 0);
    mine[1] = pair(&theirs);
    assert_int_equal(channel_new_take(a, s, 12, theirs), RHODES_OVER_LIMIT);
    mine[0]->transmitter->free(mine[0]);
    mine[1]->transmitter->free(mine[1]);
    session_unref(s);
}

static void a_program_has_so_many_serving_threads_and_no_more(void **state)
{
    struct agent *a = *state;
    struct conduit *mine[AGENT_SERVERS_MAX + 1], *theirs;

    for (int i = 0; i <= AGENT_SERVERS_MAX; i++) {
        mine[i] = pair(&theirs);
        assert_int_equal(serve_add_take(a, 7, 99, theirs),
                         i < AGENT_SERVERS_MAX ? 0 : RHODES_OVER_LIMIT);
    }
    assert_int_equal(serve_executor(a), 0); /* nobody said READY */
    assert_int_equal(serve_ready(a, 7, 99), 0);
    assert_int_equal(serve_executor(a), 99);
    assert_int_equal(a->serve.servers_count, AGENT_SERVERS_MAX);
    assert_int_equal(serve_ready(a, 8, 100), RHODES_IN_USE);
    serve_leave(a, 7);
    assert_null(a->serve.all);
    assert_int_equal(serve_ready(a, 8, 100), 0);
    for (int i = 0; i <= AGENT_SERVERS_MAX; i++) {
        mine[i]->transmitter->free(mine[i]);
    }
}

static void so_many_lanes_go_out_and_no_more(void **state)
{
    struct agent *a = *state;
    struct lane **lanes = calloc(AGENT_LANES_MAX, sizeof(struct lane *)), *more;

    assert_non_null(lanes);
    for (int i = 0; i < AGENT_LANES_MAX; i++) {
        assert_int_equal(lane_new(a, state, "driver/x", &lanes[i]), 0);
    }
    assert_int_equal(lane_new(a, state, "driver/x", &more), RHODES_OVER_LIMIT);
    lane_free(lanes[17]);
    assert_int_equal(lane_new(a, state, "driver/x", &lanes[17]), 0);
    for (int i = 0; i < AGENT_LANES_MAX; i++) {
        lane_free(lanes[i]);
    }
    assert_null(a->lanes.outgoing);
    free(lanes);
}

/* What the caller's agent sends and gets for one LANE request. */
static int lane_ask(struct agent *a, uint64_t lane, uint64_t protocol, uint64_t epoch,
                    struct conduit **ret, char *why)
{
    const uint64_t number[4] = { lane, protocol, epoch, 0 };
    struct descriptors there, back = { 0 };
    int r;

    assert_int_equal(transmitter_shm.open(ret, &there), 0);
    r = arrival_lane(a, 7, "application/x", number, &there, &back, why);
    if (!r) {
        assert_int_equal(transmitter_shm.complete(*ret, &back), 0);
    }
    assert_true(r == 0 || back.count == 0);
    descriptors_close(&there);
    descriptors_close(&back);
    return r;
}

static void so_many_lanes_come_in_and_no_more(void **state)
{
    struct agent *a = *state;
    struct conduit *first, *second, *next;
    char why[WHY_BYTES];

    a->lanes.incoming_count = AGENT_LANES_MAX - 1;
    assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 1, &first, why), 0);
    assert_int_equal(lane_ask(a, 2, PROTOCOL_SHM, 1, &second, why), RHODES_OVER_LIMIT);
    assert_non_null(strstr(why, "1024"));
    /* The next conduit of a lane that is there needs no place. */
    assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 2, &next, why), 0);
    arrival_close(a, 7, 1);
    assert_int_equal(crew_wait(&a->crew, clock_ns() + 10 * NS_PER_S), 0);
    assert_int_equal(a->lanes.incoming_count, AGENT_LANES_MAX - 1);
    first->transmitter->free(first);
    second->transmitter->free(second);
    next->transmitter->free(next);
}

static void a_lane_of_no_protocol_or_epoch_is_invalid(void **state)
{
    struct conduit *c[3];
    char why[WHY_BYTES];

    assert_int_equal(lane_ask(*state, 1, PROTOCOLS_COUNT, 1, &c[0], why), RHODES_INVALID);
    assert_int_equal(lane_ask(*state, 1, PROTOCOL_SHM, 0, &c[1], why), RHODES_INVALID);
    assert_int_equal(lane_ask(*state, 1, PROTOCOL_MSGQUEUE, 1, &c[2], why),
                     RHODES_INVALID); /* a ring's memory */
    for (int i = 0; i < 3; i++) {
        c[i]->transmitter->free(c[i]);
    }
}

static void a_fence_leads_to_the_conduit_of_its_epoch_only(void **state)
{
    struct agent *a = *state;
    struct call_head fence = { .magic = CALL_MAGIC, .type = CALL_FENCE, .binding = 2 };
    struct call_head answer;
    struct conduit *first, *unused, *next;
    char why[WHY_BYTES];

    assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 1, &first, why), 0);
    assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 2, &unused, why), 0);
    assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 3, &next, why),
                     0); /* a later attempt replaces it */
    assert_int_equal(message_send(first, &fence, NULL, clock_ns() + NS_PER_S), 0);
    assert_int_equal(message_head(first, &answer, clock_ns() + 10 * NS_PER_S), -EPIPE);
    assert_int_equal(crew_wait(&a->crew, clock_ns() + 10 * NS_PER_S), 0); /* the lane is over */
    first->transmitter->free(first);
    unused->transmitter->free(unused);
    next->transmitter->free(next);
}

/* The caller's agent ends just when its fence is read: the next conduit must not be waited on. */
static void a_lane_that_ends_at_its_fence_does_not_wait_behind_it(void **state)
{
    struct agent *a = *state;
    struct call_head fence = { .magic = CALL_MAGIC, .type = CALL_FENCE, .binding = 2 };
    struct conduit *first, *next;
    char why[WHY_BYTES];

    for (int i = 0; i < 100; i++) {
        assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 1, &first, why), 0);
        assert_int_equal(lane_ask(a, 1, PROTOCOL_SHM, 2, &next, why), 0);
        assert_int_equal(message_send(first, &fence, NULL, clock_ns() + NS_PER_S), 0);
        if (i % 2) {
            sched_yield();
        }
        arrivals_leave(a, 7);
        assert_int_equal(crew_wait(&a->crew, clock_ns() + 10 * NS_PER_S), 0);
        first->transmitter->free(first);
        next->transmitter->free(next);
    }
}

static void view_with_function(struct agent *a, uint64_t *ret_id)
{
    static const char signature[] = "f: func()";
    struct view *v = calloc(1, sizeof(*v));
    struct rules *rules;
    char why[WHY_BYTES];

    assert_non_null(v);
    v->references = 1;
    strcpy(v->self.resource, a->options.resource);
    v->self.functions = calloc(1, sizeof(*v->self.functions));
    assert_non_null(v->self.functions);
    v->self.functions_count = 1;
    v->self.functions->signature = strdup(signature);
    *ret_id = v->self.functions->id = hash_bytes(signature, strlen(signature));
    assert_int_equal(rules_new_take(v, a->options.resource, &rules, why), 0);
    cache_swap_take(&a->cache, rules);
}

/* It waited behind another call, or its caller's agent was slow: nobody waits for it any more. */
static void a_call_whose_deadline_has_passed_is_not_begun(void **state)
{
    struct agent *a = *state;
    struct call_head head = { .magic = CALL_MAGIC, .type = CALL_REQUEST, .caller = 5 };
    struct conduit *mine, *theirs;
    struct answer answer;
    struct bytes body = { 0 };

    view_with_function(a, &head.function);
    answer_init(&answer);
    mine = pair(&theirs);
    assert_int_equal(serve_add_take(a, 7, 99, theirs), 0);
    assert_int_equal(serve_ready(a, 7, 99), 0);
    head.deadline_ns = clock_ns();
    serve_call(a, a->cache.now, &head, &body, &answer);
    assert_int_equal(answer.head.result, RHODES_NOT_EXECUTED);
    assert_int_equal(message_head(mine, &head, 0), RHODES_TIMEOUT); /* the program saw nothing */
    answer_deinit(&answer);
    serve_leave(a, 7);
    mine->transmitter->free(mine);
}

static void all_sessions_together_have_so_many_serving_threads(void **state)
{
    struct agent *a = *state;
    struct conduit *mine[AGENT_SERVERS_ALL_MAX + 1], *theirs;
    int r;

    for (int i = 0; i <= AGENT_SERVERS_ALL_MAX; i++) {
        mine[i] = pair(&theirs);
        r = serve_add_take(a, 7 + (uint64_t)i / AGENT_SERVERS_MAX, 99, theirs);
        assert_int_equal(r, i < AGENT_SERVERS_ALL_MAX ? 0 : RHODES_OVER_LIMIT);
    }
    for (uint64_t session = 7; a->serve.all; session++) {
        serve_leave(a, session);
    }
    for (int i = 0; i <= AGENT_SERVERS_ALL_MAX; i++) {
        mine[i]->transmitter->free(mine[i]);
    }
}

/* This process gets no further descriptor. Returns what it had. */
static struct rlimit descriptors_forbid(void)
{
    struct rlimit before, none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

/* A view in which service/tcp calls driver/x over message queues, and two lanes there that go over
 * shm. */
static struct view *queues_wanted(struct agent *a, struct lane *lanes[2], struct conduit *theirs[2])
{
    struct view *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    v->references = 1;
    v->edges = calloc(1, sizeof(*v->edges));
    assert_non_null(v->edges);
    v->edges_count = 1;
    snprintf(v->edges[0].peer, sizeof(v->edges[0].peer), "driver/x");
    v->edges[0].outgoing = v->edges[0].allowed = true;
    v->edges[0].protocol = PROTOCOL_MSGQUEUE;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lane_new(a, v, "driver/x", &lanes[i]), 0);
        lanes[i]->conduit = pair(&theirs[i]);
        lanes[i]->protocol = PROTOCOL_SHM;
        lanes[i]->state = LANE_OPEN;
    }
    return v;
}

static void queues_done(struct view *v, struct lane *lanes[2], struct conduit *theirs[2])
{
    for (int i = 0; i < 2; i++) {
        lane_free(lanes[i]);
        theirs[i]->transmitter->free(theirs[i]);
    }
    view_unref(v);
}

static void a_change_of_protocol_makes_the_conduits_while_it_is_judged(void **state)
{
    struct conduit *theirs[2];
    struct lane *lanes[2];
    char why[WHY_BYTES];
    struct view *v = queues_wanted(*state, lanes, theirs);

    assert_int_equal(lanes_prepare(*state, v, why), 0);
    assert_non_null(lanes[0]->prepared.conduit);
    assert_non_null(lanes[1]->prepared.conduit);
    assert_int_equal(lanes[0]->protocol, PROTOCOL_SHM); /* its own thread goes over */
    queues_done(v, lanes, theirs);
}

static void a_change_that_the_system_cannot_grant_is_refused_and_changes_nothing(void **state)
{
    struct conduit *theirs[2];
    struct lane *lanes[2];
    char why[WHY_BYTES];
    struct view *v = queues_wanted(*state, lanes, theirs);
    struct rlimit before;
    int r;

    /* One lane could go over: that is undone when the other cannot. */
    assert_int_equal(lanes_prepare(*state, v, why), 0);
    transmitter_msgqueue.free(lanes[0]->prepared.conduit);
    descriptors_close(&lanes[0]->prepared.send);
    lanes[0]->prepared.conduit = NULL;
    before = descriptors_forbid();
    r = lanes_prepare(*state, v, why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_non_null(strstr(why, "msgqueue"));
    assert_non_null(strstr(why, "driver/x"));
    assert_null(lanes[0]->prepared.conduit);
    assert_null(lanes[1]->prepared.conduit);
    assert_int_equal(lanes[0]->state, LANE_OPEN);
    queues_done(v, lanes, theirs);
}

static void a_session_has_so_many_bindings_and_no_more(void **state)
{
    struct session *s = session_make(*state, SESSION_PROGRAM);
    char callee[RESOURCE_ID_BYTES_MAX];
    uint32_t number;
    bool own;

    for (uint64_t i = 0; i < AGENT_BINDINGS_MAX; i++) {
        assert_int_equal(session_bind(s, "driver/x", i, false, &number), 0);
        assert_int_equal(number, i + 1);
    }
    assert_int_equal(session_bind(s, "driver/x", AGENT_BINDINGS_MAX, false, &number),
                     RHODES_OVER_LIMIT);
    assert_int_equal(session_bind(s, "driver/x", 17, false, &number), 0); /* it has this one */
    assert_int_equal(number, 18);
    assert_true(session_binding(s, AGENT_BINDINGS_MAX, callee, &own));
    assert_string_equal(callee, "driver/x");
    assert_false(session_binding(s, 0, callee, &own));
    assert_false(session_binding(s, AGENT_BINDINGS_MAX + 1, callee, &own));
    session_unref(s);
}

static void so_many_peers_are_known_and_no_more(void **state)
{
    struct agent *a = *state;
    struct peer *p, *again;

    assert_int_equal(peer_find(a, "nothing", &p), RHODES_INVALID);
    for (int i = 0; i < AGENT_PEERS_MAX; i++) {
        char callee[RESOURCE_ID_BYTES_MAX];

        snprintf(callee, sizeof(callee), "driver/x%d", i);
        assert_int_equal(peer_find(a, callee, &p), 0);
    }
    assert_int_equal(peer_find(a, "driver/other", &p), RHODES_OVER_LIMIT);
    assert_int_equal(peer_find(a, "driver/x3", &p), 0);
    assert_int_equal(peer_find(a, "driver/x3", &again), 0);
    assert_ptr_equal(p, again);
}

static void notices_are_bounded_in_number_and_rate(void **state)
{
    struct agent *a = *state;
    uint64_t seconds = clock_ns() / NS_PER_S;

    for (int i = 0; i < 3 * AGENT_NOTICES_PER_S; i++) {
        agent_notice(a, LOG_DEBUG, "call.refused", "%d", i);
    }
    seconds = clock_ns() / NS_PER_S - seconds + 1; /* that were touched */
    assert_in_range(a->mail.notices_count, AGENT_NOTICES_PER_S, seconds * AGENT_NOTICES_PER_S);
    for (int i = 0; i < 40; i++) {
        static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };

        for (int k = 0; k < 10; k++) {
            agent_notice(a, LOG_DEBUG, names[k], "%d", i);
        }
    }
    assert_in_range(a->mail.notices_count, 0, AGENT_NOTICES_MAX);
}

#define TEST(name) isolated_test_setup_teardown(name, agent_make, agent_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_has_so_many_channels_and_no_more),
        TEST(operators_have_so_many_channels_and_no_more),
        TEST(a_program_has_so_many_serving_threads_and_no_more),
        TEST(so_many_lanes_go_out_and_no_more),
        TEST(so_many_lanes_come_in_and_no_more),
        TEST(a_lane_of_no_protocol_or_epoch_is_invalid),
        TEST(a_fence_leads_to_the_conduit_of_its_epoch_only),
        TEST(a_lane_that_ends_at_its_fence_does_not_wait_behind_it),
        TEST(a_call_whose_deadline_has_passed_is_not_begun),
        TEST(all_sessions_together_have_so_many_serving_threads),
        TEST(a_change_of_protocol_makes_the_conduits_while_it_is_judged),
        TEST(a_change_that_the_system_cannot_grant_is_refused_and_changes_nothing),
        TEST(a_session_has_so_many_bindings_and_no_more),
        TEST(so_many_peers_are_known_and_no_more),
        TEST(notices_are_bounded_in_number_and_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Carrying calls, with the test as the program on one side and as the callee's agent on the other:
 * a callee's agent that is slow, silent, gone or hostile costs a call its deadline and no more, and
 * what did not run is never told as if it might have. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/hash.h"
#include "test/lib/isolated.h"

#define FUNCTION "f: func()"
#define CALLEE   "service/b"
#define CALLER   11 /* the id of the program's channel */
#define LATER    (clock_ns() + 20 * NS_PER_S)

struct world {
    struct agent agent;
    struct session *session;
    struct conduit *program; /* the program's end of its channel */
    char path[32];
    int dir, door;        /* the callee's agent: its directory, what it listens on */
    int peer;             /* its connection, -1: none */
    struct conduit *lane; /* its end of the lane, NULL: none */
    uint64_t sequence;
    struct session_message message;
    uint8_t packet[SESSION_BYTES_MAX];
};

static void edge_make(struct view_edge *e, enum protocol protocol)
{
    strcpy(e->peer, CALLEE);
    strcpy(e->rule, "links/x");
    e->outgoing = e->allowed = true;
    e->protocol = (uint8_t)protocol;
    e->functions = calloc(1, sizeof(*e->functions));
    assert_non_null(e->functions);
    e->functions_count = 1;
    e->functions->signature = strdup(FUNCTION);
    e->functions->id = hash_bytes(FUNCTION, strlen(FUNCTION));
}

static struct view *view_make(enum protocol protocol)
{
    struct view *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    v->references = 1;
    v->revision = 1;
    strcpy(v->self.resource, "application/a");
    v->edges_count = 1;
    v->edges = calloc(1, sizeof(*v->edges));
    assert_non_null(v->edges);
    edge_make(v->edges, protocol);
    return v;
}

static void rules_set(struct world *w, enum protocol protocol)
{
    struct rules *rules;
    char why[WHY_BYTES];

    assert_int_equal(rules_new_take(view_make(protocol), "application/a", &rules, why), 0);
    cache_swap_take(&w->agent.cache, rules);
}

static void parts_make(struct agent *a)
{
    a->options.resource = "application/a";
    a->dir_fd = -1;
    a->incarnation = 1;
    assert_int_equal(uv_loop_init(&a->loop), 0);
    pthread_mutex_init(&a->mail.lock, NULL);
    assert_int_equal(uv_async_init(&a->loop, &a->mail.bell, (uv_async_cb)abort), 0);
    cache_init(&a->cache);
    crew_init(&a->crew);
    lanes_init(&a->lanes);
    channels_init(&a->channels);
    assert_int_equal(peers_init(&a->peers), 0);
}

static void program_make(struct world *w)
{
    struct descriptors there, back;
    struct conduit *theirs;
    uint32_t number;

    w->session = calloc(1, sizeof(*w->session));
    assert_non_null(w->session);
    w->session->references = 1;
    w->session->state = SESSION_PROGRAM;
    pthread_mutex_init(&w->session->lock, NULL);
    assert_int_equal(session_bind(w->session, CALLEE, 1, false, &number), 0);
    assert_int_equal(transmitter_shm.open(&w->program, &there), 0);
    assert_int_equal(transmitter_shm.accept(&there, &theirs, &back), 0);
    assert_int_equal(transmitter_shm.complete(w->program, &back), 0);
    descriptors_close(&there);
    descriptors_close(&back);
    assert_int_equal(channel_new_take(&w->agent, w->session, CALLER, theirs), 0);
}

static int world_make(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->door = w->peer = -1;
    strcpy(w->path, "/tmp/test_relay.XXXXXX");
    assert_non_null(mkdtemp(w->path));
    parts_make(&w->agent);
    w->agent.agents_fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(w->agent.agents_fd, "service.b", 0700), 0);
    w->dir = openat(w->agent.agents_fd, "service.b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(w->dir >= 0);
    rules_set(w, PROTOCOL_SHM);
    program_make(w);
    *state = w;
    return 0;
}

static void on_walk(uv_handle_t *handle, void *data)
{
    uv_close(handle, NULL);
}

static void lane_drop(struct world *w)
{
    w->lane = w->lane ? w->lane->transmitter->free(w->lane) : NULL;
}

static int world_drop(void **state)
{
    struct world *w = *state;
    struct agent *a = &w->agent;

    channels_stop(a);
    assert_int_equal(crew_wait(&a->crew, LATER), 0);
    lane_drop(w);
    w->program->transmitter->free(w->program);
    session_unref(w->session);
    fd_closep(&w->peer);
    fd_closep(&w->door);
    unlinkat(w->dir, "agent.sock", 0);
    assert_int_equal(unlinkat(a->agents_fd, "service.b", AT_REMOVEDIR), 0);
    assert_int_equal(rmdir(w->path), 0);
    fd_closep(&w->dir);
    fd_closep(&a->agents_fd);
    peers_deinit(&a->peers);
    uv_walk(&a->loop, on_walk, NULL);
    uv_run(&a->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&a->loop), 0);
    uv_library_shutdown(); /* its own pipe for signals */
    cache_deinit(&a->cache);
    free(w);
    return 0;
}

/* The program's side. */

static void call_send(struct world *w, uint64_t deadline_ns)
{
    const struct call_head head = { .magic = CALL_MAGIC,
                                    .type = CALL_REQUEST,
                                    .caller = CALLER,
                                    .sequence = ++w->sequence,
                                    .function = hash_bytes(FUNCTION, strlen(FUNCTION)),
                                    .deadline_ns = deadline_ns,
                                    .binding = 1 };

    assert_int_equal(message_send(w->program, &head, NULL, LATER), 0);
}

/* Waits for the end of the call; its result. A call that does not run or end well has a sentence. */
static int call_end(struct world *w)
{
    struct bytes why = { 0 };
    struct call_head head;

    assert_int_equal(message_receive(w->program, &head, &why, LATER), 0);
    assert_int_equal(head.type, CALL_REPLY);
    assert_int_equal(head.sequence, w->sequence);
    assert_true(head.result == 0 || why.used > 0);
    bytes_deinit(&why);
    return head.result;
}

/* The callee's agent's side. */

static void door_open(struct world *w)
{
    assert_int_equal(unix_listen_at(w->dir, "agent.sock", SOCK_SEQPACKET, &w->door), 0);
}

static void readable(int fd)
{
    struct pollfd event = { .fd = fd, .events = POLLIN };

    assert_int_equal(poll(&event, 1, 20000), 1);
}

/* The next message of this type; others are dropped. */
static void message_take(struct world *w, enum session_type type, struct descriptors *ret)
{
    size_t bytes;

    do {
        descriptors_close(ret);
        readable(w->peer);
        assert_int_equal(
            unix_receive(w->peer, w->packet, sizeof(w->packet), &bytes, ret->fd, &ret->count), 0);
        assert_true(bytes > 0);
        assert_int_equal(session_decode(w->packet, bytes, &w->message), 0);
    } while (w->message.type != type);
}

static void message_answer(struct world *w, const struct descriptors *send)
{
    size_t bytes;

    w->message.type |= SESSION_ANSWER;
    assert_int_equal(session_encode(&w->message, w->packet, sizeof(w->packet), &bytes), 0);
    assert_int_equal(unix_send(w->peer, w->packet, bytes, send->fd, send->count), 0);
}

static void peer_accept(struct world *w)
{
    struct descriptors none = { 0 };

    readable(w->door);
    w->peer = accept4(w->door, NULL, NULL, SOCK_CLOEXEC);
    assert_true(w->peer >= 0);
    message_take(w, SESSION_PEER, &none);
    message_answer(w, &none);
}

static struct conduit *lane_take(struct world *w)
{
    struct descriptors received = { 0 }, back = { 0 };
    const struct transmitter *t;
    struct conduit *c;

    message_take(w, SESSION_LANE, &received);
    t = transmitter_for((enum protocol)w->message.number[1]);
    assert_int_equal(t->accept(&received, &c, &back), 0);
    w->message.number[0] = 4711; /* the executor */
    message_answer(w, &back);
    descriptors_close(&received);
    descriptors_close(&back);
    return c;
}

static struct call_head request_take(struct world *w)
{
    struct call_head head;

    assert_int_equal(message_head(w->lane, &head, LATER), 0);
    return head;
}

static void request_answer(struct world *w, struct call_head *head)
{
    head->type = CALL_REPLY;
    assert_int_equal(message_send(w->lane, head, NULL, LATER), 0);
}

/* The first call, which opens the lane. */
static void first_call(struct world *w)
{
    struct call_head head;

    door_open(w);
    call_send(w, LATER);
    peer_accept(w);
    w->lane = lane_take(w);
    head = request_take(w);
    request_answer(w, &head);
    assert_int_equal(call_end(w), 0);
}

static void a_call_goes_there_and_back(void **state)
{
    struct world *w = *state;
    struct call_head head;

    first_call(w);
    call_send(w, LATER);
    head = request_take(w);
    assert_int_equal(head.sequence, 2);
    assert_int_equal(head.executor, 4711);
    request_answer(w, &head);
    assert_int_equal(call_end(w), 0);
}

/* The lane is closed before the request is in it: it did not run, so it is no repeat. */
static void a_request_that_could_not_be_sent_is_sent_as_new(void **state)
{
    struct world *w = *state;
    struct call_head head;

    first_call(w);
    lane_drop(w);
    call_send(w, LATER);
    w->lane = lane_take(w);
    head = request_take(w);
    assert_int_equal(head.flags & CALL_REPEAT, 0);
    request_answer(w, &head);
    assert_int_equal(call_end(w), 0);
}

/* The lane is closed when the request was taken out of it: it may have run. */
static void a_request_that_was_taken_is_sent_as_a_repeat(void **state)
{
    struct world *w = *state;
    struct call_head head;

    first_call(w);
    call_send(w, LATER);
    head = request_take(w);
    lane_drop(w);
    w->lane = lane_take(w);
    head = request_take(w);
    assert_int_equal(head.flags & CALL_REPEAT, CALL_REPEAT);
    assert_int_equal(head.executor, 4711);
    request_answer(w, &head);
    assert_int_equal(call_end(w), 0);
}

static void nobody_there_is_waited_for_to_the_deadline(void **state)
{
    struct world *w = *state;

    for (int refused = 0; refused < 2; refused++) {
        for (uint64_t ms = 1; ms <= 64; ms *= 4) {
            uint64_t deadline_ns = clock_ns() + ms * NS_PER_MS;

            call_send(w, deadline_ns);
            assert_int_equal(call_end(w), RHODES_NOT_EXECUTED);
            assert_true(clock_ns() >= deadline_ns);
        }
        door_open(w); /* and now a socket that nobody listens on */
        fd_closep(&w->door);
    }
}

/* It takes the connection and says no word; then it takes it up to the lane. */
static void an_agent_that_is_silent_did_not_execute(void **state)
{
    struct world *w = *state;
    struct descriptors none = { 0 };

    door_open(w);
    call_send(w, clock_ns() + 50 * NS_PER_MS);
    assert_int_equal(call_end(w), RHODES_NOT_EXECUTED);
    readable(w->door);
    close(accept4(w->door, NULL, NULL, SOCK_CLOEXEC));
    call_send(w, clock_ns() + NS_PER_S);
    peer_accept(w);
    message_take(w, SESSION_LANE, &none);
    descriptors_close(&none);
    assert_int_equal(call_end(w), RHODES_NOT_EXECUTED);
}

struct flood {
    struct conduit *lane;
    struct call_head head;
    _Atomic bool stop;
};

static void *flood_run(void *data)
{
    struct flood *f = data;

    while (!f->stop && message_send(f->lane, &f->head, NULL, LATER) == 0) {
    }
    return NULL;
}

static void a_flood_of_old_answers_does_not_hold_a_call_beyond_its_deadline(void **state)
{
    const struct rlimit none = { 0, 0 };
    struct world *w = *state;
    struct flood f;
    uint64_t deadline_ns;
    pthread_t thread;

    /* What holds most is the hardest to read empty. */
    assert_int_equal(setrlimit(RLIMIT_MSGQUEUE, &none), 0);
    rules_set(w, PROTOCOL_MSGQUEUE);
    first_call(w);
    deadline_ns = clock_ns() + 100 * NS_PER_MS;
    call_send(w, deadline_ns);
    f = (struct flood){ .lane = w->lane, .head = request_take(w) };
    f.head.type = CALL_REPLY;
    f.head.sequence = 1;
    assert_int_equal(pthread_create(&thread, NULL, flood_run, &f), 0);
    assert_int_equal(call_end(w), RHODES_TIMEOUT);
    f.stop = true;
    w->lane->transmitter->interrupt(w->lane); /* it waits for room, or has seen the word */
    pthread_join(thread, NULL);
    assert_true(clock_ns() < deadline_ns + NS_PER_S);
}

/* Greets whoever knocks, and hangs up where a lane is asked for. At the deadline the other side may
 * be gone at any step. */
static void peer_turn_away(struct world *w)
{
    struct descriptors received = { 0 };
    size_t bytes;

    w->peer = accept4(w->door, NULL, NULL, SOCK_CLOEXEC);
    assert_true(w->peer >= 0);
    while (unix_receive(w->peer, w->packet, sizeof(w->packet), &bytes, received.fd,
                        &received.count) == 0 &&
           bytes && session_decode(w->packet, bytes, &w->message) == 0 &&
           w->message.type == SESSION_PEER) {
        w->message.type |= SESSION_ANSWER;
        if (session_encode(&w->message, w->packet, sizeof(w->packet), &bytes) ||
            unix_send(w->peer, w->packet, bytes, NULL, 0)) {
            break;
        }
    }
    descriptors_close(&received);
    fd_closep(&w->peer);
}

static void an_agent_that_hangs_up_at_each_lane_does_not_keep_the_caller_busy(void **state)
{
    struct world *w = *state;
    uint64_t deadline_ns = clock_ns() + 200 * NS_PER_MS;
    int lanes = 0;

    door_open(w);
    call_send(w, deadline_ns);
    for (;;) {
        struct pollfd event = { .fd = w->door, .events = POLLIN };

        if (poll(&event, 1, 100) == 0 && clock_left_ns(deadline_ns) == 0) {
            break;
        }
        if (event.revents) {
            peer_turn_away(w);
            lanes++;
        }
    }
    assert_int_equal(call_end(w), RHODES_NOT_EXECUTED);
    assert_in_range(lanes, 2, 100);
}

static void a_switch_that_ran_out_of_time_is_tried_again(void **state)
{
    struct world *w = *state;
    struct descriptors received = { 0 };
    struct conduit *next;
    struct call_head head;

    first_call(w);
    rules_set(w, PROTOCOL_MSGQUEUE);
    call_send(w, clock_ns() + NS_PER_S);
    message_take(w, SESSION_LANE, &received); /* and no answer */
    descriptors_close(&received);
    assert_int_equal(call_end(w), RHODES_NOT_EXECUTED);
    call_send(w, LATER);
    next = lane_take(w);
    head = request_take(w);
    assert_int_equal(head.type, CALL_FENCE);
    assert_int_equal(head.binding, 3); /* each attempt has its epoch */
    lane_drop(w);
    w->lane = next;
    head = request_take(w);
    request_answer(w, &head);
    assert_int_equal(call_end(w), 0);
    assert_int_equal(w->agent.counters.switches, 1);
}

/* What a revision prepared and the next one makes needless is given back. */
static void a_conduit_that_is_no_longer_wanted_is_given_back(void **state)
{
    struct world *w = *state;
    char why[WHY_BYTES];
    struct view *queue = view_make(PROTOCOL_MSGQUEUE), *shm = view_make(PROTOCOL_SHM);

    first_call(w);
    assert_int_equal(lanes_prepare(&w->agent, queue, why), 0);
    assert_non_null(w->agent.lanes.outgoing->prepared.conduit);
    assert_int_equal(lanes_prepare(&w->agent, shm, why), 0);
    assert_null(w->agent.lanes.outgoing->prepared.conduit);
    view_unref(queue);
    view_unref(shm);
}

#define TEST(name) isolated_test_setup_teardown(name, world_make, world_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_goes_there_and_back),
        TEST(a_request_that_could_not_be_sent_is_sent_as_new),
        TEST(a_request_that_was_taken_is_sent_as_a_repeat),
        TEST(nobody_there_is_waited_for_to_the_deadline),
        TEST(an_agent_that_is_silent_did_not_execute),
        TEST(a_flood_of_old_answers_does_not_hold_a_call_beyond_its_deadline),
        TEST(an_agent_that_hangs_up_at_each_lane_does_not_keep_the_caller_busy),
        TEST(a_switch_that_ran_out_of_time_is_tried_again),
        TEST(a_conduit_that_is_no_longer_wanted_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

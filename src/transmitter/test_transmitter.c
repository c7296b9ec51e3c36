/* Tests of the conduits, each over every protocol: whole messages of every length, waiting,
 * interrupting, closing, refusing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "test/lib/isolated.h"
#include "transmitter/transmitter.h"

#define SOON  (clock_ns() + 20 * NS_PER_MS)
#define LATER (clock_ns() + 20 * NS_PER_S)

static const struct transmitter *const transmitters[] = { &transmitter_shm, &transmitter_msgqueue };
/* for (EACH(t)): each of them */
#define EACH(t)                                                                                    \
    size_t index = 0;                                                                              \
    index < sizeof(transmitters) / sizeof(transmitters[0]);                                        \
    index++) for (const struct transmitter *t = transmitters[index]; t; t = NULL

static void pair_make(const struct transmitter *t, struct conduit **ret_a, struct conduit **ret_b)
{
    struct descriptors there = { 0 }, back = { 0 };

    assert_int_equal(t->open(ret_a, &there), 0);
    assert_int_equal(t->accept(&there, ret_b, &back), 0);
    assert_int_equal(t->complete(*ret_a, &back), 0);
    descriptors_close(&there);
    descriptors_close(&back);
}

static struct call_head head_of(size_t bytes)
{
    return (struct call_head){
        .magic = CALL_MAGIC, .type = CALL_REQUEST, .sequence = 7, .body_bytes = (uint32_t)bytes
    };
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static uint8_t *block_make(size_t bytes)
{
    uint8_t *block = malloc(bytes + 1);

    for (size_t i = 0; i < bytes; i++) {
        block[i] = pattern(i);
    }
    return block;
}

static void *echo_run(void *data)
{
    struct conduit *c = data;
    struct bytes body = { 0 };
    struct call_head head;
    int r;

    while ((r = message_receive(c, &head, &body, UINT64_MAX)) == 0 &&
           (r = message_send(c, &head, body.data, UINT64_MAX)) == 0) {
    }
    bytes_deinit(&body);
    return (void *)(intptr_t)r;
}

static void messages_of_every_length_go_there_and_back(void **state)
{
    static const size_t sizes[] = { 0,     1,     127,   8055,  8056,  8057,   8184,    16240,
                                    65535, 65536, 65537, 65664, 65665, 131200, 1000003, 16u << 20 };

    for (EACH(t)) {
        struct conduit *a, *b;
        struct bytes body = { 0 };
        pthread_t thread;
        void *end;

        pair_make(t, &a, &b);
        assert_int_equal(pthread_create(&thread, NULL, echo_run, b), 0);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct call_head head = head_of(sizes[i]), back;
            uint8_t *block = block_make(sizes[i]);

            assert_int_equal(message_send(a, &head, block, LATER), 0);
            assert_int_equal(message_receive(a, &back, &body, LATER), 0);
            assert_memory_equal(&head, &back, sizeof(head));
            assert_int_equal(body.used, sizes[i]);
            assert_true(sizes[i] == 0 || memcmp(body.data, block, sizes[i]) == 0);
            free(block);
        }
        bytes_deinit(&body);
        t->free(a);
        pthread_join(thread, &end);
        assert_int_equal((intptr_t)end, -EPIPE);
        t->free(b);
    }
}

struct relay {
    struct conduit *up, *down;
};

static void *relay_run(void *data)
{
    struct relay *r = data;
    struct call_head head;
    int side;

    while (message_head(r->up, &head, UINT64_MAX) == 0) {
        head.protocol = 1; /* a relay may change the head */
        if (message_relay(r->up, r->down, &head, UINT64_MAX, &side) != 0 ||
            message_head(r->down, &head, UINT64_MAX) != 0 ||
            message_relay(r->down, r->up, &head, UINT64_MAX, &side) != 0) {
            break;
        }
    }
    r->down->transmitter->free(r->down);
    return NULL;
}

/* Bodies whose chunks are of one protocol's length pass a relay into the other's, both ways. */
static void a_relay_passes_messages_between_protocols(void **state)
{
    static const size_t sizes[] = { 0, 1, 8056, 8057, 65536, 65537, 300000, 4000000 };

    for (EACH(t)) {
        const struct transmitter *other = t == transmitters[0] ? transmitters[1] : transmitters[0];
        struct relay r;
        struct conduit *a, *b;
        struct bytes body = { 0 };
        pthread_t threads[2];

        pair_make(t, &a, &r.up);
        pair_make(other, &r.down, &b);
        assert_int_equal(pthread_create(&threads[0], NULL, relay_run, &r), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, echo_run, b), 0);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct call_head head = head_of(sizes[i]), back;
            uint8_t *block = block_make(sizes[i]);

            assert_int_equal(message_send(a, &head, block, LATER), 0);
            assert_int_equal(message_receive(a, &back, &body, LATER), 0);
            assert_int_equal(back.protocol, 1);
            assert_int_equal(body.used, sizes[i]);
            assert_true(sizes[i] == 0 || memcmp(body.data, block, sizes[i]) == 0);
            free(block);
        }
        bytes_deinit(&body);
        t->free(a);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        t->free(r.up);
        other->free(b);
    }
}

static void waiting_ends_at_the_deadline(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head = head_of(1 << 20);
        uint8_t *block = block_make(1 << 20);
        uint64_t begin = clock_ns();

        pair_make(t, &a, &b);
        assert_int_equal(message_head(a, &head, SOON), RHODES_TIMEOUT);
        assert_true(clock_ns() - begin >= 20 * NS_PER_MS);
        assert_int_equal(message_head(a, &head, 0), RHODES_TIMEOUT);
        begin = clock_ns();
        head = head_of(1 << 20);
        assert_int_equal(message_send(a, &head, block, SOON), RHODES_TIMEOUT); /* nobody takes it */
        assert_true(clock_ns() - begin >= 20 * NS_PER_MS && clock_ns() - begin < 500 * NS_PER_MS);
        assert_false(t->taken(a));
        t->free(a);
        t->free(b);
        free(block);
    }
}

static void *wait_run(void *data)
{
    struct call_head head;

    return (void *)(intptr_t)message_head(data, &head, LATER);
}

static void a_wait_is_ended_from_another_thread_whenever_it_begins(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head;

        pair_make(t, &a, &b);
        for (int i = 0; i < 50; i++) { /* before, during: either way it ends */
            pthread_t thread;
            void *end;

            assert_int_equal(pthread_create(&thread, NULL, wait_run, a), 0);
            if (i % 2) {
                sched_yield();
            }
            t->interrupt(a);
            pthread_join(thread, &end);
            assert_int_equal((intptr_t)end, -ECANCELED);
        }
        t->interrupt(a);
        assert_int_equal(message_head(a, &head, LATER), -ECANCELED);
        assert_int_equal(message_head(a, &head, SOON),
                         RHODES_TIMEOUT); /* one interrupt ends one wait */
        t->free(a);
        t->free(b);
    }
}

static void *fill_run(void *data)
{
    struct call_head head = head_of(1 << 20);
    uint8_t *block = block_make(1 << 20);
    int r = message_send(data, &head, block, LATER);

    free(block);
    return (void *)(intptr_t)r;
}

static void a_writer_that_waits_for_room_is_ended_by_interrupt_and_by_close(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        pthread_t thread;
        void *end;

        pair_make(t, &a, &b);
        assert_int_equal(pthread_create(&thread, NULL, fill_run, a), 0);
        t->interrupt(a);
        pthread_join(thread, &end);
        assert_int_equal((intptr_t)end, -ECANCELED);
        t->free(a);
        t->free(b);
        pair_make(t, &a, &b);
        assert_int_equal(pthread_create(&thread, NULL, fill_run, a), 0);
        t->free(b);
        pthread_join(thread, &end);
        assert_int_equal((intptr_t)end, -EPIPE);
        t->free(a);
    }
}

static void what_was_put_before_closing_is_still_given_out(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head = head_of(3);
        struct bytes body = { 0 };

        pair_make(t, &a, &b);
        assert_int_equal(message_send(a, &head, "abc", LATER), 0);
        assert_int_equal(message_send(a, &head, "def", LATER), 0);
        t->free(a);
        assert_int_equal(message_receive(b, &head, &body, LATER), 0);
        assert_int_equal(message_receive(b, &head, &body, LATER), 0);
        assert_memory_equal(body.data, "def", 3);
        assert_int_equal(message_receive(b, &head, &body, LATER), -EPIPE);
        assert_int_equal(message_receive(b, &head, &body, LATER), -EPIPE);
        bytes_deinit(&body);
        t->free(b);
    }
}

static void what_was_taken_is_known(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head = head_of(0);

        pair_make(t, &a, &b);
        assert_true(t->taken(a));
        assert_int_equal(message_send(a, &head, NULL, LATER), 0);
        assert_false(t->taken(a));
        assert_int_equal(message_head(b, &head, LATER), 0);
        assert_true(t->taken(a));
        t->free(a);
        t->free(b);
    }
}

static void a_message_can_be_dropped(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head = head_of(20000);
        struct bytes body = { 0 };
        uint8_t *block = block_make(20000);

        pair_make(t, &a, &b);
        assert_int_equal(message_send(a, &head, block, LATER), 0);
        head = head_of(1);
        assert_int_equal(message_send(a, &head, "x", LATER), 0);
        assert_int_equal(message_head(b, &head, LATER), 0);
        assert_int_equal(message_drop(b, &head, LATER), 0);
        assert_int_equal(message_receive(b, &head, &body, LATER), 0);
        assert_int_equal(body.used, 1);
        bytes_deinit(&body);
        free(block);
        t->free(a);
        t->free(b);
    }
}

static int chunk(struct conduit *c, const void *data, size_t bytes, bool more)
{
    void *room;
    int r = c->transmitter->put(c, &room, LATER);

    assert_int_equal(r, 0);
    memcpy(room, data, bytes);
    return c->transmitter->put_done(c, (uint32_t)bytes, more, LATER);
}

/* What a peer may send in place of a message. */
static void chunks_that_do_not_add_up_are_garbage(void **state)
{
    for (EACH(t)) {
        for (int way = 0; way < 8; way++) {
            struct conduit *a, *b;
            struct call_head head = head_of(way == 6 ? 20 : 10);
            struct bytes body = { 0 };
            uint8_t data[160] = { 0 };

            pair_make(t, &a, &b);
            head.magic = way == 1 ? 1 : CALL_MAGIC;
            head.type = way == 2 ? 9 : CALL_REQUEST;
            head.flags = way == 3 ? 0x100 : 0;
            head.body_bytes = way == 4 ? CALL_BODY_BYTES_MAX + 1 : head.body_bytes;
            memcpy(data, &head, sizeof(head));
            assert_int_equal(
                chunk(a, data,
                      way == 0 ? 127 /* no whole head */
                      : way == 5
                          ? 128 + 11  /* more body than promised */
                          : 128 + 10, /* 6: less, and no more to come; 7: all, and more to come */
                      way == 7),
                0);
            assert_int_equal(message_receive(b, &head, &body, LATER), RHODES_GARBAGE);
            bytes_deinit(&body);
            t->free(a);
            t->free(b);
        }
    }
}

static void empty_chunks_in_between_are_garbage(void **state)
{
    for (EACH(t)) {
        struct conduit *a, *b;
        struct call_head head = head_of(10);
        struct bytes body = { 0 };

        pair_make(t, &a, &b);
        assert_int_equal(chunk(a, &head, sizeof(head), true),
                         0); /* the head alone may be a chunk */
        assert_int_equal(chunk(a, "", 0, true), 0);
        assert_int_equal(message_receive(b, &head, &body, LATER), RHODES_GARBAGE);
        bytes_deinit(&body);
        t->free(a);
        t->free(b);
    }
}

static void a_body_over_the_readers_limit_is_refused(void **state)
{
    struct conduit *a, *b;
    struct call_head head = head_of(11);
    struct bytes body;

    bytes_init(&body, 10);
    pair_make(&transmitter_shm, &a, &b);
    assert_int_equal(message_send(a, &head, "0123456789a", LATER), 0);
    assert_int_equal(message_receive(b, &head, &body, LATER), RHODES_OVER_LIMIT);
    bytes_deinit(&body);
    transmitter_shm.free(a);
    transmitter_shm.free(b);
}

static void descriptors_that_are_no_half_of_a_conduit_are_refused(void **state)
{
    int pipes[2];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    for (EACH(t)) {
        const struct transmitter *other = t == transmitters[0] ? transmitters[1] : transmitters[0];
        struct descriptors none = { 0 }, back = { 0 }, theirs = { 0 };
        struct descriptors wrong[] = { { .count = 1, .fd = { pipes[0] } },
                                       { .count = 1, .fd = { pipes[1] } },
                                       { .count = 1, .fd = { 1 } },
                                       { .count = 1, .fd = { 12345 } },
                                       { .count = 2, .fd = { pipes[0], pipes[1] } } };
        struct conduit *c = NULL, *half;

        assert_int_equal(t->accept(&none, &c, &back), RHODES_INVALID);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
            assert_int_equal(t->accept(&wrong[i], &c, &back), RHODES_INVALID);
        }
        assert_int_equal(other->open(&half, &theirs), 0);
        assert_int_equal(t->accept(&theirs, &c, &back), RHODES_INVALID);
        assert_null(c);
        assert_int_equal(back.count, 0);
        descriptors_close(&theirs);
        other->free(half);
    }
    close(pipes[0]);
    close(pipes[1]);
}

static void an_unfinished_conduit_carries_nothing(void **state)
{
    for (EACH(t)) {
        struct conduit *c;
        struct descriptors send = { 0 };
        struct call_head head = head_of(0);

        assert_int_equal(t->open(&c, &send), 0);
        assert_int_equal(message_send(c, &head, NULL, LATER), -ENOTCONN);
        assert_int_equal(message_head(c, &head, LATER), -ENOTCONN);
        descriptors_close(&send);
        t->free(c);
    }
}

/* In the second pass nothing is granted, unless this user may raise the limit again. */
static void without_posix_queues_the_queue_is_a_socket(void **state)
{
    const struct rlimit none = { 0, 0 };
    struct conduit *c;
    struct descriptors send = { 0 };
    struct rlimit now;
    struct stat status;

    assert_int_equal(setrlimit(RLIMIT_MSGQUEUE, &none), 0);
    assert_int_equal(transmitter_msgqueue.open(&c, &send), 0);
    assert_int_equal(getrlimit(RLIMIT_MSGQUEUE, &now), 0);
    assert_int_equal(fstat(send.fd[0], &status), 0);
    assert_true(now.rlim_cur > 0 || S_ISSOCK(status.st_mode));
    descriptors_close(&send);
    transmitter_msgqueue.free(c);
}

static void each_protocol_has_its_transmitter(void **state)
{
    assert_ptr_equal(transmitter_for(PROTOCOL_SHM), &transmitter_shm);
    assert_ptr_equal(transmitter_for(PROTOCOL_MSGQUEUE), &transmitter_msgqueue);
    assert_null(transmitter_for(PROTOCOLS_COUNT));
    for (int p = 0; p < PROTOCOLS_COUNT; p++) {
        assert_string_equal(transmitter_for((enum protocol)p)->name,
                            protocol_name((enum protocol)p));
    }
}

/* Between two processes, over a socket, as agents do it; then the other one is killed. */
static void two_processes_share_a_conduit_and_one_survives_the_other(void **state)
{
    for (EACH(t)) {
        struct conduit *c;
        struct descriptors d = { 0 }, received = { 0 };
        struct call_head head = head_of(100000);
        struct bytes body = { 0 };
        uint8_t *block = block_make(100000);
        int sockets[2];
        char byte = 0;
        size_t n;
        pid_t child;
        int r;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
        child = fork();
        if (child == 0) {
            if (unix_receive(sockets[1], &byte, 1, &n, received.fd, &received.count) == 0 &&
                t->accept(&received, &c, &d) == 0 &&
                unix_send(sockets[1], &byte, 1, d.fd, d.count) == 0) {
                echo_run(c);
            }
            _exit(1);
        }
        assert_int_equal(t->open(&c, &d), 0);
        assert_int_equal(unix_send(sockets[0], &byte, 1, d.fd, d.count), 0);
        assert_int_equal(unix_receive(sockets[0], &byte, 1, &n, received.fd, &received.count), 0);
        assert_int_equal(t->complete(c, &received), 0);
        descriptors_close(&d);
        descriptors_close(&received);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(message_send(c, &head, block, LATER), 0);
            assert_int_equal(message_receive(c, &head, &body, LATER), 0);
            assert_memory_equal(body.data, block, 100000);
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        head = head_of(0);
        r = message_send(c, &head, NULL, LATER);
        assert_true(r == 0 ||
                    r == -EPIPE); /* a socket tells at once, the others hold the message */
        assert_int_equal(message_head(c, &head, SOON), r ? r : RHODES_TIMEOUT);
        assert_false(t->taken(c));
        t->free(c);
        bytes_deinit(&body);
        free(block);
        close(sockets[0]);
        close(sockets[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(messages_of_every_length_go_there_and_back),
        isolated_test(a_relay_passes_messages_between_protocols),
        isolated_test(waiting_ends_at_the_deadline),
        isolated_test(a_wait_is_ended_from_another_thread_whenever_it_begins),
        isolated_test(a_writer_that_waits_for_room_is_ended_by_interrupt_and_by_close),
        isolated_test(what_was_put_before_closing_is_still_given_out),
        isolated_test(what_was_taken_is_known),
        isolated_test(a_message_can_be_dropped),
        isolated_test(chunks_that_do_not_add_up_are_garbage),
        isolated_test(empty_chunks_in_between_are_garbage),
        isolated_test(a_body_over_the_readers_limit_is_refused),
        isolated_test(descriptors_that_are_no_half_of_a_conduit_are_refused),
        isolated_test(an_unfinished_conduit_carries_nothing),
        isolated_test(without_posix_queues_the_queue_is_a_socket),
        isolated_test(each_protocol_has_its_transmitter),
        isolated_test(two_processes_share_a_conduit_and_one_survives_the_other),
    };

    const struct rlimit none = { 0, 0 };
    int wrong = cmocka_run_group_tests_name("POSIX message queues", tests, NULL, NULL);

    if (setrlimit(RLIMIT_MSGQUEUE, &none) < 0) {
        return 1;
    }
    return cmocka_run_group_tests_name("no POSIX message queues granted", tests, NULL, NULL) +
           wrong;
}

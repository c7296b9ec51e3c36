/* The demo's TCP between two processes: lwIP is one stack a process, so the far host is a forked
 * child, and the wire a socket pair that loses frames when asked to. The far host serves port 80:
 * for a request of 8 digits it sends so many bytes, each telling its place, and closes; port 7
 * takes and says nothing. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stack_inner.h"

#define SECOND_NS 1000000000ull

struct host {
    struct stack *stack;
    int wire;
    atomic_uint lose_every; /* 0: none */
    atomic_uint frames;
};

static struct host near = { .wire = -1 };

static void on_frame(void *data, const void *frame, size_t bytes)
{
    struct host *h = data;
    unsigned every = atomic_load(&h->lose_every), number = atomic_fetch_add(&h->frames, 1);

    if (every == 0 || number % every != every - 1) {
        (void)!send(h->wire, frame, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void *wire_run(void *data)
{
    struct host *h = data;
    uint8_t frame[2048];
    ssize_t n;

    while ((n = recv(h->wire, frame, sizeof(frame), 0)) > 0) {
        stack_input_begin(h->stack);
        stack_input(h->stack, frame, (size_t)n);
        stack_input_end(h->stack);
    }
    return NULL;
}

static void host_start(struct host *h, const char *address, uint8_t number)
{
    struct stack_options options = { .address = address,
                                     .netmask = "255.255.255.0",
                                     .mac = { 2, 0, 0, 0, 0, number },
                                     .mtu = 1500,
                                     .on_frame = on_frame,
                                     .data = h };
    struct stack_why why;
    pthread_t thread;

    if (stack_start(&options, &h->stack, &why) != 0 ||
        pthread_create(&thread, NULL, wire_run, h) != 0) {
        fprintf(stderr, "%s\n", why.text);
        _exit(1);
    }
    pthread_detach(thread);
}

/* The far host. */

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

struct visitor {
    struct host *host;
    uint32_t connection;
};

static void *visitor_serve(void *data)
{
    struct visitor *v = data;
    struct stack *s = v->host->stack;
    struct stack_why why;
    char request[9] = "";
    uint8_t block[10000];
    size_t got = 0, n = 1, sent = 0;
    uint64_t deadline = stack_now_ns() + 60 * SECOND_NS;

    while (got < 8 && n > 0 &&
           stack_recv(s, v->connection, request + got, 8 - got, deadline, &n, &why) == 0) {
        got += n;
    }
    for (size_t at = 0, total = strtoul(request, NULL, 10); at < total; at += sent) {
        size_t part = total - at < sizeof(block) ? total - at : sizeof(block);

        for (size_t i = 0; i < part; i++) {
            block[i] = byte_at(at + i);
        }
        if (stack_send(s, v->connection, block, part, deadline, &sent, &why) != 0) {
            break;
        }
    }
    (void)stack_close(s, v->connection, &why);
    free(v);
    return NULL;
}

static void on_accept(void *data, uint32_t connection)
{
    struct visitor *v = calloc(1, sizeof(*v));
    pthread_t thread;

    v->host = data;
    v->connection = connection;
    if (pthread_create(&thread, NULL, visitor_serve, v) == 0) {
        pthread_detach(thread);
    }
}

static _Noreturn void far_host(int wire)
{
    static struct host far;
    struct stack_why why;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    far.wire = wire;
    host_start(&far, "10.0.0.2", 2);
    if (stack_listen(far.stack, 80, on_accept, &far, &why) != 0) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

/* The near host: what is tested. */

static uint64_t in_seconds(unsigned seconds)
{
    return stack_now_ns() + seconds * SECOND_NS;
}

static uint32_t connected(void)
{
    struct stack_why why = { "" };
    uint32_t connection = 0;

    if (stack_connect(near.stack, "10.0.0.2", 80, in_seconds(20), &connection, &why) != 0) {
        fail_msg("%s", why.text);
    }
    return connection;
}

static void request(uint32_t connection, size_t bytes)
{
    struct stack_why why;
    char text[24];
    size_t sent = 0;

    snprintf(text, sizeof(text), "%08zu", bytes);
    assert_int_equal(stack_send(near.stack, connection, text, 8, in_seconds(5), &sent, &why), 0);
    assert_int_equal(sent, 8);
}

static void read_whole(uint32_t connection, size_t total, size_t room)
{
    static uint8_t block[65536];
    struct stack_why why = { "" };
    size_t at = 0, n;

    do {
        if (stack_recv(near.stack, connection, block, room, in_seconds(30), &n, &why) != 0) {
            fail_msg("after %zu bytes: %s", at, why.text);
        }
        for (size_t i = 0; i < n; i++) {
            if (block[i] != byte_at(at + i)) {
                fail_msg("byte %zu is wrong", at + i);
            }
        }
        at += n;
    } while (n > 0);
    assert_int_equal(at, total);
}

static void closed(uint32_t connection)
{
    struct stack_why why;

    assert_int_equal(stack_close(near.stack, connection, &why), 0);
}

static void megabytes_arrive_whole_whatever_the_size_of_reads(void **state)
{
    static const size_t rooms[] = { 65536, 1000, 1460 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint32_t connection = connected();

        request(connection, 2000000);
        read_whole(connection, 2000000, rooms[i]);
        closed(connection);
    }
}

static void a_wire_that_loses_frames_only_makes_it_slower(void **state)
{
    uint32_t connection;

    (void)state;
    atomic_store(&near.lose_every, 20); /* acknowledgements, mostly: they are what we send */
    connection = connected();
    request(connection, 500000);
    read_whole(connection, 500000, 65536);
    atomic_store(&near.lose_every, 0);
    closed(connection);
}

static void a_port_that_nobody_serves_refuses(void **state)
{
    struct stack_why why;
    uint32_t connection;

    (void)state;
    assert_int_equal(stack_connect(near.stack, "10.0.0.2", 81, in_seconds(5), &connection, &why),
                     -ECONNREFUSED);
    assert_string_equal(why.text, "10.0.0.2:81 refuses the connection");
}

static void a_host_that_is_not_there_ends_at_the_deadline(void **state)
{
    uint64_t deadline = stack_now_ns() + SECOND_NS / 5;
    struct stack_why why;
    uint32_t connection;

    (void)state;
    assert_int_equal(stack_connect(near.stack, "10.0.0.9", 80, deadline, &connection, &why),
                     -ETIMEDOUT);
    assert_string_equal(why.text, "10.0.0.9:80 does not answer");
    assert_in_range(stack_now_ns(), deadline, deadline + SECOND_NS);
}

static void what_is_no_address_is_refused(void **state)
{
    struct stack_why why;
    uint32_t connection;

    (void)state;
    assert_int_equal(stack_connect(near.stack, "example.org", 80, in_seconds(1), &connection, &why),
                     -EINVAL);
    assert_int_equal(stack_connect(near.stack, "", 80, in_seconds(1), &connection, &why), -EINVAL);
    assert_int_equal(stack_connect(near.stack, "10.0.0.2", 0, in_seconds(1), &connection, &why),
                     -EINVAL);
}

static void a_number_that_is_no_connection_is_refused(void **state)
{
    struct stack_why why;
    uint32_t connection = connected();
    uint8_t byte = 0;
    size_t n;

    (void)state;
    closed(connection);
    assert_int_equal(stack_recv(near.stack, connection, &byte, 1, in_seconds(1), &n, &why), -EBADF);
    assert_int_equal(stack_send(near.stack, connection, &byte, 1, in_seconds(1), &n, &why), -EBADF);
    assert_int_equal(stack_close(near.stack, connection, &why), -EBADF);
    assert_int_equal(stack_shutdown(near.stack, 4000000, &why), -EBADF);
}

static void a_read_of_silence_ends_at_its_deadline_and_loses_nothing(void **state)
{
    uint32_t connection = connected();
    struct stack_why why;
    uint8_t byte;
    size_t n;

    (void)state;
    assert_int_equal(
        stack_recv(near.stack, connection, &byte, 1, stack_now_ns() + 50000000, &n, &why),
        -ETIMEDOUT);
    request(connection, 1000);
    read_whole(connection, 1000, 65536);
    closed(connection);
}

struct reading {
    uint32_t connection;
    int result;
    struct stack_why why;
};

static void *reading_run(void *data)
{
    struct reading *r = data;
    uint8_t byte;
    size_t n;

    r->result = stack_recv(near.stack, r->connection, &byte, 1, in_seconds(30), &n, &r->why);
    return NULL;
}

/* Until the reader is inside the stack: then it waits, or is about to see what we do next. */
static void reading_begin(struct reading *r, pthread_t *thread)
{
    unsigned users = 0;

    assert_int_equal(pthread_create(thread, NULL, reading_run, r), 0);
    while (users == 0) {
        pthread_mutex_lock(&near.stack->lock);
        for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
            const struct connection *c = &near.stack->connections[i];

            users += c->id == r->connection ? c->users : 0;
        }
        pthread_mutex_unlock(&near.stack->lock);
    }
}

static void a_fault_of_the_card_ends_waits_with_its_reason_and_passes(void **state)
{
    struct reading r = { .connection = connected() };
    struct stack_why why;
    pthread_t thread;
    uint32_t other;

    (void)state;
    reading_begin(&r, &thread);
    stack_fault(near.stack, "the cable is cut");
    pthread_join(thread, NULL);
    assert_int_equal(r.result, -ENETDOWN);
    assert_string_equal(r.why.text, "the cable is cut");
    assert_int_equal(stack_connect(near.stack, "10.0.0.2", 80, in_seconds(5), &other, &why),
                     -ENETDOWN);
    stack_fault(near.stack, NULL);
    request(r.connection, 1000); /* the connection itself lived through it */
    read_whole(r.connection, 1000, 100);
    closed(r.connection);
}

static void closing_ends_a_read_that_waits(void **state)
{
    struct reading r = { .connection = connected() };
    pthread_t thread;

    (void)state;
    reading_begin(&r, &thread);
    closed(r.connection);
    pthread_join(thread, NULL);
    assert_int_equal(r.result, -ENOTCONN);
}

static void connections_have_a_limit_and_come_free_again(void **state)
{
    uint32_t all[STACK_CONNECTIONS_MAX], one_more;
    struct stack_counters counters;
    struct stack_why why;

    (void)state;
    for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
        all[i] = connected();
    }
    stack_count(near.stack, &counters);
    assert_int_equal(counters.connections, STACK_CONNECTIONS_MAX);
    assert_int_equal(stack_connect(near.stack, "10.0.0.2", 80, in_seconds(5), &one_more, &why),
                     -EMFILE);
    for (uint32_t i = 0; i < STACK_CONNECTIONS_MAX; i++) {
        closed(all[i]);
    }
    closed(connected());
}

static void nonsense_from_the_wire_is_harmless(void **state)
{
    uint8_t frame[1600];
    unsigned seed = 1;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        size_t bytes = (size_t)rand_r(&seed) % sizeof(frame);

        for (size_t at = 0; at < bytes; at++) {
            frame[at] = (uint8_t)rand_r(&seed);
        }
        if (bytes > 14 && i % 2 == 0) { /* as if it were IPv4 TCP for us */
            memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\x00\x45", 15);
        }
        stack_input_begin(near.stack);
        stack_input(near.stack, frame, bytes);
        stack_input_end(near.stack);
    }
    closed(connected());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(megabytes_arrive_whole_whatever_the_size_of_reads),
        cmocka_unit_test(a_wire_that_loses_frames_only_makes_it_slower),
        cmocka_unit_test(a_port_that_nobody_serves_refuses),
        cmocka_unit_test(a_host_that_is_not_there_ends_at_the_deadline),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_number_that_is_no_connection_is_refused),
        cmocka_unit_test(a_read_of_silence_ends_at_its_deadline_and_loses_nothing),
        cmocka_unit_test(a_fault_of_the_card_ends_waits_with_its_reason_and_passes),
        cmocka_unit_test(closing_ends_a_read_that_waits),
        cmocka_unit_test(connections_have_a_limit_and_come_free_again),
        cmocka_unit_test(nonsense_from_the_wire_is_harmless),
    };
    int wires[2], failures;
    pid_t far;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wires) != 0 || (far = fork()) < 0) {
        return 1;
    }
    if (far == 0) {
        close(wires[0]);
        far_host(wires[1]);
    }
    close(wires[1]);
    near.wire = wires[0];
    host_start(&near, "10.0.0.1", 1);
    failures = cmocka_run_group_tests(tests, NULL, NULL);
    kill(far, SIGKILL);
    waitpid(far, NULL, 0);
    return failures;
}

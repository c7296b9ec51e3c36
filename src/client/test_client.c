/* Tests of librhodes with a fake agent in another process: calls, refusals, deadlines, and the
 * agent's death at each moment. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/fake_agent.h"
#include "rhodes/rhodes.h"
#include "test/lib/isolated.h"

extern char **environ;

struct fixture {
    char directory[64], socket[80];
    _Atomic pid_t agent;
    struct rhodes *r;
    struct rhodes_call *c;
    _Atomic int runs;
};

static pid_t agent_start(struct fixture *x, const char *mode)
{
    char *const arguments[] = { "fake-agent", "agent", x->directory, (char *)(uintptr_t)mode,
                                NULL };
    pid_t pid;

    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    x->agent = pid;
    return pid;
}

static void agent_kill(struct fixture *x)
{
    kill(x->agent, SIGKILL);
    assert_int_equal(waitpid(x->agent, NULL, 0), x->agent);
}

static int fixture_open(struct fixture *x, const char *resource)
{
    struct rhodes_options o = { .size = sizeof(o), .agent = x->socket, .resource = resource };

    return rhodes_open(&o, &x->r);
}

static void fixture_begin(struct fixture *x, const char *mode)
{
    *x = (struct fixture){ .directory = "/tmp/rhodes-test-XXXXXX" };
    assert_non_null(mkdtemp(x->directory));
    snprintf(x->socket, sizeof(x->socket), "%s/agent.sock", x->directory);
    agent_start(x, mode);
    assert_int_equal(fixture_open(x, "service/test"), 0);
    assert_int_equal(rhodes_call_new(x->r, &x->c), 0);
}

static void fixture_end(struct fixture *x)
{
    rhodes_call_free(x->c);
    rhodes_close(x->r);
    agent_kill(x);
    unlink(x->socket);
    rmdir(x->directory);
}

static int on_add(struct rhodes_request *q, struct rhodes_reader *arguments,
                  struct rhodes_writer *result, void *data)
{
    struct fixture *x = data;
    uint32_t a, b;
    int r = rhodes_get_u32(arguments, &a);

    x->runs++;
    r = r ? r : rhodes_get_u32(arguments, &b);
    return r ? r : rhodes_put_u32(result, a + b);
}

static int on_echo(struct rhodes_request *q, struct rhodes_reader *arguments,
                   struct rhodes_writer *result, void *data)
{
    const void *block;
    size_t bytes;
    int r = rhodes_get_bytes(arguments, &block, &bytes);

    return r ? r : rhodes_put_bytes(result, block, bytes);
}

static int on_fail(struct rhodes_request *q, struct rhodes_reader *arguments,
                   struct rhodes_writer *result, void *data)
{
    assert_true(rhodes_request_deadline_ns(q) > clock_ns());
    return rhodes_request_fail(q, 42, "no paper in tray %d", 3);
}

static int on_nothing(struct rhodes_request *q, struct rhodes_reader *arguments,
                      struct rhodes_writer *result, void *data)
{
    return 0;
}

#define ADD(name) name ": func(a: u32, b: u32) -> u32"

static void serve_all(struct fixture *x)
{
    static const char *const adds[] = {
        ADD("add"),        ADD("early-add"),   ADD("late-add"),
        ADD("silent-add"), ADD("garbage-add"), ADD("nonsense-add")
    };

    for (size_t i = 0; i < sizeof(adds) / sizeof(adds[0]); i++) {
        assert_int_equal(rhodes_serve(x->r, adds[i], NULL, on_add, x), 0);
    }
    assert_int_equal(rhodes_serve(x->r, "echo: func(b: list<u8>) -> list<u8>", NULL, on_echo, x),
                     0);
    assert_int_equal(rhodes_serve(x->r, "fail: func()", NULL, on_fail, x), 0);
    assert_int_equal(rhodes_serve(x->r, "lazy: func() -> record{a: u8}", NULL, on_nothing, x), 0);
    assert_int_equal(
        rhodes_serve(x->r, "void: func(a: color)", "enum color { red, green }", on_nothing, x), 0);
    assert_int_equal(rhodes_serve_start(x->r, 2), 0);
}

static struct rhodes_function *bind_to(struct fixture *x, const char *name)
{
    struct rhodes_function *f = NULL;

    if (rhodes_bind(x->r, "service/test", name, NULL, NULL, &f) != 0) {
        fail_msg("%s: %s", name, rhodes_bind_error(x->r));
    }
    return f;
}

static int add(struct fixture *x, struct rhodes_function *f, uint64_t timeout_ns)
{
    struct rhodes_writer *w = rhodes_call_begin(x->c, f);
    uint32_t sum;
    int r;

    assert_int_equal(rhodes_put_u32(w, 40), 0);
    assert_int_equal(rhodes_put_u32(w, 2), 0);
    r = rhodes_call_run(x->c, timeout_ns);
    if (r == 0) {
        assert_int_equal(rhodes_get_u32(rhodes_call_result(x->c), &sum), 0);
        assert_int_equal(sum, 42);
    }
    return r;
}

static void a_call_runs_and_its_result_comes_back(void **state)
{
    struct fixture x;
    struct rhodes_function *f;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "add");
    assert_string_equal(rhodes_resource(x.r), "service/test");
    assert_string_equal(rhodes_function_signature(f), ADD("add"));
    assert_int_equal(rhodes_type_count(rhodes_function_parameters(f)), 2);
    assert_int_equal(rhodes_type_kind(rhodes_function_result(f)), RHODES_U32);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(add(&x, f, 0), 0);
    }
    assert_int_equal(x.runs, 1000);
    f = bind_to(&x, "void");
    assert_int_equal(rhodes_put_enum(rhodes_call_begin(x.c, f), 1), 0);
    assert_int_equal(rhodes_call_run(x.c, 0), 0);
    assert_null(rhodes_call_result(x.c));
    assert_null(rhodes_function_result(f));
    fixture_end(&x);
}

static void a_body_of_megabytes_goes_there_and_back(void **state)
{
    static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 5000000, (16u << 20) - 8 };
    struct fixture x;
    struct rhodes_function *f;
    uint8_t *block = malloc(16u << 20);
    const void *back;
    size_t bytes;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "echo");
    for (size_t i = 0; i < 16u << 20; i++) {
        block[i] = (uint8_t)(i * 7 + i / 251);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(rhodes_put_bytes(rhodes_call_begin(x.c, f), block, sizes[i]), 0);
        assert_int_equal(rhodes_call_run(x.c, 0), 0);
        assert_int_equal(rhodes_get_bytes(rhodes_call_result(x.c), &back, &bytes), 0);
        assert_int_equal(bytes, sizes[i]);
        assert_memory_equal(back, block, bytes);
    }
    assert_int_equal(rhodes_put_bytes(rhodes_call_begin(x.c, f), block, (16u << 20) - 7),
                     RHODES_OVER_LIMIT);
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_OVER_LIMIT);
    free(block);
    fixture_end(&x);
}

static void a_failing_function_is_reported_with_its_sentence(void **state)
{
    struct fixture x;

    fixture_begin(&x, "");
    serve_all(&x);
    rhodes_call_begin(x.c, bind_to(&x, "fail"));
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_CALLEE_FAILED);
    assert_string_equal(rhodes_call_error(x.c), "no paper in tray 3");
    rhodes_call_begin(x.c, bind_to(&x, "lazy"));
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_CALLEE_FAILED);
    assert_non_null(strstr(rhodes_call_error(x.c), "did not write the whole of its result"));
    fixture_end(&x);
}

static void incomplete_arguments_are_invalid_and_not_sent(void **state)
{
    struct fixture x;
    struct rhodes_function *f;

    fixture_begin(&x, "");
    serve_all(&x);
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_INVALID); /* not begun */
    f = bind_to(&x, "add");
    rhodes_put_u32(rhodes_call_begin(x.c, f), 1);
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_INVALID);
    assert_non_null(strstr(rhodes_call_error(x.c), "add: func"));
    rhodes_put_u8(rhodes_call_begin(x.c, f), 1);
    assert_int_equal(rhodes_call_run(x.c, 0), RHODES_TYPE_MISMATCH);
    assert_int_equal(x.runs, 0);
    fixture_end(&x);
}

static void a_refused_binding_says_why(void **state)
{
    struct fixture x;
    struct rhodes_function *f;

    fixture_begin(&x, "");
    serve_all(&x);
    assert_int_equal(rhodes_bind(x.r, "service/test", "denied", NULL, NULL, &f), RHODES_DENIED);
    assert_string_equal(rhodes_bind_error(x.r), "links/x of revision 3 denies it; ask the test");
    assert_int_equal(rhodes_bind(x.r, "service/test", "none", NULL, NULL, &f), RHODES_NOT_FOUND);
    assert_int_equal(rhodes_bind(x.r, "service/test", "add", "add: func(", NULL, &f),
                     RHODES_INVALID);
    assert_int_equal(rhodes_bind(x.r, "service/test", "add", ADD("sub"), NULL, &f), RHODES_INVALID);
    assert_int_equal(rhodes_bind(x.r, "service/test", "add", ADD("add"), NULL, &f), 0);
    fixture_end(&x);
}

static void serving_checks_what_it_is_given(void **state)
{
    struct fixture x;

    fixture_begin(&x, "");
    assert_int_equal(rhodes_serve(x.r, "f: func(a: nothing)", NULL, on_nothing, NULL),
                     RHODES_INVALID);
    assert_int_equal(rhodes_serve(x.r, "f: func()", NULL, on_nothing, NULL), 0);
    assert_int_equal(rhodes_serve(x.r, "f: func()", NULL, on_nothing, NULL), RHODES_EXISTS);
    assert_int_equal(rhodes_serve_start(x.r, 0), RHODES_INVALID);
    assert_int_equal(rhodes_serve_start(x.r, 65), RHODES_INVALID);
    assert_int_equal(rhodes_serve_start(x.r, 1), 0);
    assert_int_equal(rhodes_serve_start(x.r, 1), RHODES_EXISTS);
    assert_int_equal(rhodes_serve(x.r, "g: func()", NULL, on_nothing, NULL), RHODES_INVALID);
    rhodes_serve_stop(x.r);
    assert_int_equal(rhodes_serve_wait(x.r), 0);
    fixture_end(&x);
}

static void a_call_without_a_reply_ends_at_its_deadline(void **state)
{
    struct fixture x;
    struct rhodes_function *f, *good;
    uint64_t begin, took;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "silent-add");
    good = bind_to(&x, "add");
    begin = clock_ns();
    assert_int_equal(add(&x, f, 200 * NS_PER_MS), RHODES_TIMEOUT);
    took = clock_ns() - begin;
    assert_true(took >= 200 * NS_PER_MS && took < 300 * NS_PER_MS);
    assert_int_equal(add(&x, good, 0), 0);
    fixture_end(&x);
}

static void a_hung_agent_cannot_hold_a_call_beyond_its_deadline(void **state)
{
    struct fixture x;
    struct rhodes_function *f;
    uint64_t begin;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "add");
    assert_int_equal(add(&x, f, 0), 0);
    kill(x.agent, SIGSTOP);
    assert_int_equal(waitpid(x.agent, NULL, WUNTRACED), x.agent); /* until it stands still */
    for (int i = 0; i < 3; i++) { /* the second must open a channel first, which is not answered */
        begin = clock_ns();
        assert_int_equal(add(&x, f, 100 * NS_PER_MS), RHODES_NOT_EXECUTED);
        assert_true(clock_ns() - begin < 200 * NS_PER_MS);
    }
    kill(x.agent, SIGCONT);
    assert_int_equal(add(&x, f, 0), 0);
    fixture_end(&x);
}

static void garbage_in_place_of_a_reply_is_told_and_the_next_call_works(void **state)
{
    struct fixture x;
    struct rhodes_function *good;

    fixture_begin(&x, "");
    serve_all(&x);
    good = bind_to(&x, "add");
    assert_int_equal(add(&x, bind_to(&x, "garbage-add"), 0), RHODES_GARBAGE);
    assert_int_equal(add(&x, good, 0), 0);
    assert_int_equal(add(&x, bind_to(&x, "nonsense-add"), 0), RHODES_GARBAGE);
    assert_int_equal(add(&x, good, 0), 0);
    fixture_end(&x);
}

/* Waits for the agent's death and starts its successor: what the center does. */
static void *succeed(void *data)
{
    struct fixture *x = data;

    waitpid(x->agent, NULL, 0);
    agent_start(x, "calm");
    return NULL;
}

static void an_agent_that_dies_with_the_reply_is_succeeded_and_the_call_ran_once(void **state)
{
    struct fixture x;
    struct rhodes_function *f;
    pthread_t thread;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "late-add");
    assert_int_equal(pthread_create(&thread, NULL, succeed, &x), 0);
    assert_int_equal(add(&x, f, 0), 0);
    assert_int_equal(x.runs, 1);
    pthread_join(thread, NULL);
    assert_int_equal(add(&x, f, 0), 0);
    assert_int_equal(x.runs, 2);
    fixture_end(&x);
}

static void an_agent_that_dies_with_the_request_leaves_it_unknown_when_the_executor_is(void **state)
{
    struct fixture x;
    struct rhodes_function *f;
    pthread_t thread;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "early-add");
    assert_int_equal(pthread_create(&thread, NULL, succeed, &x), 0);
    assert_int_equal(add(&x, f, 0), RHODES_UNKNOWN);
    assert_int_equal(x.runs, 0);
    pthread_join(thread, NULL);
    assert_int_equal(add(&x, f, 0), 0); /* the successor is calm, and now the executor is known */
    agent_kill(&x);
    agent_start(&x, "");
    assert_int_equal(pthread_create(&thread, NULL, succeed, &x), 0);
    assert_int_equal(add(&x, f, 0),
                     0); /* it dies with the request, which is sent again and runs once */
    assert_int_equal(x.runs, 2);
    pthread_join(thread, NULL);
    fixture_end(&x);
}

static void a_refused_call_does_not_make_the_executor_unknown(void **state)
{
    struct fixture x;
    struct rhodes_function *f;
    pthread_t thread;

    fixture_begin(&x, "calm");
    serve_all(&x);
    f = bind_to(&x, "early-add");
    assert_int_equal(add(&x, f, 0), 0);
    agent_kill(&x);
    agent_start(&x, "stern");
    assert_int_equal(add(&x, f, 0), RHODES_DENIED);
    agent_kill(&x);
    agent_start(&x, "");
    assert_int_equal(pthread_create(&thread, NULL, succeed, &x), 0);
    assert_int_equal(add(&x, f, 0),
                     0); /* it dies with the request; the successor asks its executor */
    assert_int_equal(x.runs, 2);
    pthread_join(thread, NULL);
    fixture_end(&x);
}

static void without_a_successor_the_sentence_says_what_may_have_happened(void **state)
{
    struct fixture x;
    struct rhodes_function *f;
    uint64_t begin;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "late-add");
    begin = clock_ns();
    assert_int_equal(add(&x, f, 300 * NS_PER_MS), RHODES_UNKNOWN);
    assert_int_equal(x.runs, 1);
    assert_int_equal(add(&x, f, 100 * NS_PER_MS),
                     RHODES_NOT_EXECUTED); /* nobody was there to take it */
    assert_true(clock_ns() - begin < 600 * NS_PER_MS);
    assert_int_equal(x.runs, 1);
    waitpid(x.agent, NULL, 0);
    agent_start(&x, "calm");
    assert_int_equal(add(&x, f, 0), 0);
    fixture_end(&x);
}

static void an_agent_that_is_not_there_is_told_and_looked_for_no_longer_than_asked(void **state)
{
    struct rhodes_options o = { .size = sizeof(o),
                                .agent = "/nonexistent/agent.sock",
                                .timeout_ns = 50 * NS_PER_MS };
    struct rhodes *r = NULL;
    uint64_t begin = clock_ns();

    assert_int_equal(rhodes_open(&o, &r), -ENOENT);
    assert_true(clock_ns() - begin < 200 * NS_PER_MS);
    assert_non_null(strstr(rhodes_open_error(), "/nonexistent/agent.sock"));
    o.agent = "relative";
    assert_int_equal(rhodes_open(&o, &r), RHODES_INVALID);
    o.flags = 2;
    assert_int_equal(rhodes_open(&o, &r), RHODES_INVALID);
    unsetenv("RHODES_AGENT");
    assert_int_equal(rhodes_open(NULL, &r), -ENOENT);
    assert_non_null(strstr(rhodes_open_error(), "RHODES_AGENT"));
    assert_null(r);
    assert_null(rhodes_close(NULL));
}

static void the_agent_of_another_resource_is_not_talked_to(void **state)
{
    struct fixture x;
    struct rhodes *mine;

    fixture_begin(&x, "");
    mine = x.r;
    assert_int_equal(fixture_open(&x, "service/other"), RHODES_NOT_BOUND);
    assert_non_null(strstr(rhodes_open_error(), "service/test"));
    x.r = mine;
    fixture_end(&x);
}

static void a_fork_is_refused_and_leaves_the_parent_alone(void **state)
{
    struct fixture x;
    struct rhodes_function *f, *none;
    int status;
    pid_t child;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "add");
    assert_int_equal(add(&x, f, 0), 0);
    child = fork();
    if (child == 0) {
        bool right = add(&x, f, 0) == -ECHILD &&
                     rhodes_bind(x.r, "a/b", "c", NULL, NULL, &none) == -ECHILD &&
                     rhodes_serve_start(x.r, 1) == -ECHILD &&
                     strstr(rhodes_call_error(x.c), "fork");

        rhodes_close(x.r);
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(add(&x, f, 0), 0);
    fixture_end(&x);
}

static bool give_up(void *data)
{
    return ++*(int *)data == 2;
}

static void a_waiting_call_can_be_given_up(void **state)
{
    struct fixture x;
    int asked = 0;

    fixture_begin(&x, "");
    serve_all(&x);
    rhodes_call_on_wait(x.c, give_up, &asked);
    assert_int_equal(add(&x, bind_to(&x, "silent-add"), 0), -EINTR);
    assert_int_equal(asked, 2);
    assert_int_equal(add(&x, bind_to(&x, "add"), 0), 0);
    fixture_end(&x);
}

static void a_traced_call_tells_its_hops(void **state)
{
    struct fixture x;
    struct rhodes_hops hops;
    struct rhodes_function *f;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "add");
    assert_int_equal(add(&x, f, 0), 0);
    assert_int_equal(rhodes_call_hops(x.c, &hops), RHODES_NOT_FOUND);
    rhodes_call_trace(x.c, true);
    assert_int_equal(add(&x, f, 0), 0);
    assert_int_equal(rhodes_call_hops(x.c, &hops), 0);
    assert_true(hops.started > 0 && hops.started <= hops.done && hops.done <= hops.total);
    assert_string_equal(hops.protocol, "shm");
    fixture_end(&x);
}

struct worker {
    struct fixture *x;
    struct rhodes_function *f;
    int failed;
};

static void *work(void *data)
{
    struct worker *w = data;
    struct rhodes_call *c;

    if (rhodes_call_new(w->x->r, &c) != 0) {
        w->failed++;
        return NULL;
    }
    for (uint32_t i = 0; i < 200; i++) {
        struct rhodes_writer *out = rhodes_call_begin(c, w->f);
        uint32_t sum = 0;

        rhodes_put_u32(out, i);
        rhodes_put_u32(out, i * 3);
        w->failed += rhodes_call_run(c, 0) != 0 ||
                     rhodes_get_u32(rhodes_call_result(c), &sum) != 0 || sum != i * 4;
    }
    rhodes_call_free(c);
    return NULL;
}

static void each_thread_calls_over_its_own_channel_which_goes_with_it(void **state)
{
    struct fixture x;
    struct worker workers[6];
    pthread_t threads[6];
    struct rhodes_function *f;

    fixture_begin(&x, "");
    serve_all(&x);
    f = bind_to(&x, "add");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 6; i++) {
            workers[i] = (struct worker){ &x, f, 0 };
            assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (int i = 0; i < 6; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(workers[i].failed, 0);
        }
    }
    fixture_end(&x);
}

static void *outlive(void *data)
{
    struct fixture *x = data;

    if (add(x, bind_to(x, "add"), 0) != 0) {
        return x;
    }
    x->runs = 100; /* says: the channel is made */
    while (x->runs != 200) {
        sched_yield();
    }
    return NULL;
}

static void a_thread_may_outlive_the_session(void **state)
{
    struct fixture x;
    pthread_t thread;
    void *wrong;

    fixture_begin(&x, "");
    serve_all(&x);
    assert_int_equal(pthread_create(&thread, NULL, outlive, &x), 0);
    while (x.runs != 100) {
        sched_yield();
    }
    rhodes_call_free(x.c);
    x.c = NULL;
    x.r = rhodes_close(x.r);
    x.runs = 200;
    pthread_join(thread, &wrong);
    assert_null(wrong);
    fixture_end(&x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_call_runs_and_its_result_comes_back),
        isolated_test(a_body_of_megabytes_goes_there_and_back),
        isolated_test(a_failing_function_is_reported_with_its_sentence),
        isolated_test(incomplete_arguments_are_invalid_and_not_sent),
        isolated_test(a_refused_binding_says_why),
        isolated_test(serving_checks_what_it_is_given),
        isolated_test(a_call_without_a_reply_ends_at_its_deadline),
        isolated_test(a_hung_agent_cannot_hold_a_call_beyond_its_deadline),
        isolated_test(garbage_in_place_of_a_reply_is_told_and_the_next_call_works),
        isolated_test(an_agent_that_dies_with_the_reply_is_succeeded_and_the_call_ran_once),
        isolated_test(an_agent_that_dies_with_the_request_leaves_it_unknown_when_the_executor_is),
        isolated_test(a_refused_call_does_not_make_the_executor_unknown),
        isolated_test(without_a_successor_the_sentence_says_what_may_have_happened),
        isolated_test(an_agent_that_is_not_there_is_told_and_looked_for_no_longer_than_asked),
        isolated_test(the_agent_of_another_resource_is_not_talked_to),
        isolated_test(a_fork_is_refused_and_leaves_the_parent_alone),
        isolated_test(a_waiting_call_can_be_given_up),
        isolated_test(a_traced_call_tells_its_hops),
        isolated_test(each_thread_calls_over_its_own_channel_which_goes_with_it),
        isolated_test(a_thread_may_outlive_the_session),
    };

    if (argc == 4 && strcmp(argv[1], "agent") == 0) {
        return fake_agent_run(argv[2], argv[3]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

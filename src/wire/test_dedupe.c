/* Tests of wire/dedupe.c: what runs, what is answered from memory, what can no longer be known. */
#include "wire/dedupe.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "test/lib/isolated.h"

#define ME 77u

static struct call_head request(uint64_t caller, uint64_t sequence, uint16_t flags)
{
    return (struct call_head){ .magic = CALL_MAGIC,
                               .type = CALL_REQUEST,
                               .flags = flags,
                               .caller = caller,
                               .sequence = sequence,
                               .executor = flags & CALL_REPEAT ? ME : 0,
                               .deadline_ns = clock_ns() + 10 * NS_PER_S };
}

static struct dedupe *table(size_t callers, size_t bytes)
{
    struct dedupe *d;

    assert_int_equal(dedupe_new(ME, callers, bytes, &d), 0);
    return d;
}

static int begin(struct dedupe *d, const struct call_head *h)
{
    struct bytes body = { 0 };
    int32_t result;
    int r = dedupe_begin(d, h, &result, &body);

    bytes_deinit(&body);
    return r;
}

static void run(struct dedupe *d, const struct call_head *h, const char *reply)
{
    assert_int_equal(begin(d, h), 0);
    dedupe_done(d, h, 0, reply, strlen(reply));
}

static void each_new_call_runs(void **state)
{
    struct dedupe *d = table(4, 1 << 20);

    for (uint64_t i = 1; i <= 100; i++) {
        struct call_head a = request(1, i, 0), b = request(2, i, 0);

        run(d, &a, "a");
        run(d, &b, "b");
    }
    dedupe_free(d);
}

static void a_repeat_is_answered_and_not_run(void **state)
{
    struct dedupe *d = table(4, 1 << 20);
    struct call_head first = request(1, 1, 0), again = request(1, 1, CALL_REPEAT);
    struct bytes body = { 0 };
    int32_t result = -1;

    assert_int_equal(begin(d, &first), 0);
    dedupe_done(d, &first, RHODES_CALLEE_FAILED, "no paper", 8);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dedupe_begin(d, &again, &result, &body), RHODES_EXISTS);
        assert_int_equal(result, RHODES_CALLEE_FAILED);
        assert_int_equal(body.used, 8);
        assert_memory_equal(body.data, "no paper", 8);
    }
    bytes_deinit(&body);
    dedupe_free(d);
}

static void a_call_that_its_caller_left_behind_is_stale(void **state)
{
    struct dedupe *d = table(4, 1 << 20);
    struct call_head second = request(1, 2, 0), first = request(1, 1, 0);

    run(d, &second, "");
    assert_int_equal(begin(d, &first), RHODES_STALE);
    first.flags = CALL_REPEAT;
    assert_int_equal(begin(d, &first), RHODES_STALE);
    dedupe_free(d);
}

static void a_repeat_that_never_came_runs_only_at_the_same_executor(void **state)
{
    struct dedupe *d = table(4, 1 << 20);
    struct call_head here = request(1, 1, CALL_REPEAT), there = request(2, 1, CALL_REPEAT);
    struct call_head nowhere = request(3, 1, CALL_REPEAT);

    there.executor = ME + 1;
    nowhere.executor = 0;
    run(d, &here, "");
    assert_int_equal(begin(d, &there), RHODES_UNKNOWN);
    assert_int_equal(begin(d, &nowhere), RHODES_UNKNOWN);
    here = request(1, 2, 0);
    run(d, &here, "");
    here = request(1, 3, CALL_REPEAT); /* known caller, next call, its first try went to another */
    here.executor = ME + 1;
    assert_int_equal(begin(d, &here), RHODES_UNKNOWN);
    dedupe_free(d);
}

static void a_full_table_forgets_the_earliest_deadline_and_says_unknown(void **state)
{
    struct dedupe *d = table(2, 1 << 20);
    struct call_head one = request(1, 1, 0), two = request(2, 1, 0), three = request(3, 1, 0),
                     fresh;

    one.deadline_ns = 1000;
    two.deadline_ns = 2000;
    three.deadline_ns = 3000;
    run(d, &one, "1");
    run(d, &two, "2");
    run(d, &three, "3"); /* one goes */
    one.flags = CALL_REPEAT;
    one.executor = ME;
    two.flags = CALL_REPEAT;
    two.executor = ME;
    assert_int_equal(begin(d, &one), RHODES_UNKNOWN);
    assert_int_equal(begin(d, &two), RHODES_EXISTS);
    fresh = request(4, 1, CALL_REPEAT);
    fresh.deadline_ns = 1000; /* could be one that was forgotten */
    assert_int_equal(begin(d, &fresh), RHODES_UNKNOWN);
    fresh.deadline_ns = 1001; /* cannot */
    assert_int_equal(begin(d, &fresh), 0);
    dedupe_done(d, &fresh, 0, "", 0);
    dedupe_free(d);
}

static void running_calls_are_never_forgotten(void **state)
{
    struct dedupe *d = table(2, 1 << 20);
    struct call_head one = request(1, 1, 0), two = request(2, 1, 0), three = request(3, 1, 0);

    assert_int_equal(begin(d, &one), 0);
    assert_int_equal(begin(d, &two), 0);
    assert_int_equal(begin(d, &three), RHODES_OVER_LIMIT);
    dedupe_done(d, &one, 0, "", 0);
    assert_int_equal(begin(d, &three), 0);
    dedupe_free(d);
}

static void replies_over_the_limit_are_dropped_and_said_to_be_unknown(void **state)
{
    struct dedupe *d = table(8, 300000);
    char *large = calloc(1, 200000);
    struct call_head one = request(1, 1, 0), two = request(2, 1, 0);

    one.deadline_ns = 1000;
    assert_int_equal(begin(d, &one), 0);
    dedupe_done(d, &one, 0, large, 200000);
    assert_int_equal(begin(d, &one), RHODES_EXISTS);
    assert_int_equal(begin(d, &two), 0);
    dedupe_done(d, &two, 0, large, 200000);
    assert_int_equal(begin(d, &two), RHODES_EXISTS);
    assert_int_equal(begin(d, &one), RHODES_UNKNOWN);
    two.sequence++;
    run(d, &two, "short again");
    assert_int_equal(begin(d, &two), RHODES_EXISTS);
    free(large);
    dedupe_free(d);
}

static void a_late_end_does_not_spoil_the_next_call(void **state)
{
    struct dedupe *d = table(2, 1 << 20);
    struct call_head one = request(1, 1, 0), two = request(1, 2, 0);
    struct bytes body = { 0 };
    int32_t result;

    assert_int_equal(begin(d, &one), 0);
    assert_int_equal(begin(d, &two), 0); /* the caller gave `one` up */
    dedupe_done(d, &one, 0, "one", 3);
    dedupe_done(d, &two, 0, "two", 3);
    assert_int_equal(dedupe_begin(d, &two, &result, &body), RHODES_EXISTS);
    assert_memory_equal(body.data, "two", 3);
    bytes_deinit(&body);
    dedupe_free(d);
}

static void a_repeat_of_a_running_call_times_out(void **state)
{
    struct dedupe *d = table(2, 1 << 20);
    struct call_head one = request(1, 1, 0);

    assert_int_equal(begin(d, &one), 0);
    one.deadline_ns = clock_ns() + NS_PER_MS;
    assert_int_equal(begin(d, &one), RHODES_TIMEOUT);
    dedupe_free(d);
}

struct waiter {
    struct dedupe *d;
    struct call_head head;
    int r;
};

static void *wait_for_it(void *data)
{
    struct waiter *w = data;

    w->r = begin(w->d, &w->head);
    return NULL;
}

static void a_repeat_waits_for_the_call_that_runs(void **state)
{
    struct waiter w = { .d = table(2, 1 << 20), .head = request(1, 1, 0) };
    struct call_head other = request(2, 1, 0);
    pthread_t thread;

    assert_int_equal(begin(w.d, &w.head), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &w), 0);
    run(w.d, &other, ""); /* whatever ends meanwhile is not it */
    dedupe_done(w.d, &w.head, 0, "x", 1);
    pthread_join(thread, NULL);
    assert_int_equal(w.r, RHODES_EXISTS);
    dedupe_free(w.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(each_new_call_runs),
        isolated_test(a_repeat_is_answered_and_not_run),
        isolated_test(a_call_that_its_caller_left_behind_is_stale),
        isolated_test(a_repeat_that_never_came_runs_only_at_the_same_executor),
        isolated_test(a_full_table_forgets_the_earliest_deadline_and_says_unknown),
        isolated_test(running_calls_are_never_forgotten),
        isolated_test(replies_over_the_limit_are_dropped_and_said_to_be_unknown),
        isolated_test(a_late_end_does_not_spoil_the_next_call),
        isolated_test(a_repeat_of_a_running_call_times_out),
        isolated_test(a_repeat_waits_for_the_call_that_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Results, ids and the clock: every verdict of the list has its name, number and sentence, and what
 * is not in the list is still answered with words. */
#include "base/result.h"

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "test/lib/isolated.h"

static void every_verdict_has_its_name_and_sentence(void **state)
{
    (void)state;
#define RHODES_VERDICT(name, number, status, sentence)                                             \
    assert_int_equal(RHODES_##name, number);                                                       \
    assert_true((number) > 0);                                                                     \
    assert_in_range(status, 400, 599);                                                             \
    assert_string_equal(rhodes_result_name(number), #name);                                        \
    assert_string_equal(rhodes_result_sentence(number), sentence);
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
}

static void success_and_failures_have_names_too(void **state)
{
    (void)state;
    assert_string_equal(rhodes_result_name(0), "OK");
    assert_string_equal(rhodes_result_sentence(0), "done");
    assert_string_equal(rhodes_result_name(-ENOENT), "ENOENT");
    assert_string_equal(rhodes_result_sentence(-ENOENT), "No such file or directory");
}

static void numbers_that_nobody_knows_are_still_told_in_words(void **state)
{
    (void)state;
    assert_string_equal(rhodes_result_name(9999), "VERDICT");
    assert_string_equal(rhodes_result_name(-99999), "FAILURE");
    assert_true(strlen(rhodes_result_sentence(9999)) > 0);
    assert_true(strlen(rhodes_result_sentence(-99999)) > 0);
}

static void a_failure_is_passed_on_unchanged(void **state)
{
    (void)state;
    assert_int_equal(failed(-ENOENT), -ENOENT);
}

static void a_failure_without_a_number_is_still_a_failure(void **state)
{
    (void)state;
    assert_int_equal(failed(0), -EIO);
}

static void what_is_cleaned_up_is_closed_and_freed(void **state)
{
    int number;

    (void)state;
    {
        CLEANUP(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CLEANUP(memory_freep) char *memory = malloc(10);
        CLEANUP(fd_closep) int none = -1;

        assert_true(fd >= 0 && none < 0);
        assert_non_null(memory);
        number = fd;
    }
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

static void ids_are_fnv_1a_of_64_bits(void **state)
{
    (void)state; /* the values of the algorithm's authors */
    assert_true(hash_bytes("", 0) == 0xcbf29ce484222325ULL);
    assert_true(hash_bytes("a", 1) == 0xaf63dc4c8601ec8cULL);
    assert_true(hash_bytes("foobar", 6) == 0x85944171f73967e8ULL);
}

static void the_clock_runs_forward_and_deadlines_end_at_zero(void **state)
{
    uint64_t before = clock_ns(), after = clock_ns();
    struct timespec time = clock_timespec(3 * NS_PER_S + 5);

    (void)state;
    assert_true(after >= before);
    assert_true(clock_left_ns(before) == 0);
    assert_true(clock_left_ns(clock_ns() + NS_PER_S) > 0);
    assert_true(clock_left_ns(clock_ns() + NS_PER_S) <= NS_PER_S);
    assert_int_equal(time.tv_sec, 3);
    assert_int_equal(time.tv_nsec, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(every_verdict_has_its_name_and_sentence),
        isolated_test(success_and_failures_have_names_too),
        isolated_test(numbers_that_nobody_knows_are_still_told_in_words),
        isolated_test(a_failure_is_passed_on_unchanged),
        isolated_test(a_failure_without_a_number_is_still_a_failure),
        isolated_test(what_is_cleaned_up_is_closed_and_freed),
        isolated_test(ids_are_fnv_1a_of_64_bits),
        isolated_test(the_clock_runs_forward_and_deadlines_end_at_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

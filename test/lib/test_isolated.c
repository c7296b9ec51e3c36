/* The test of the tests: each way to leave something behind is tried once and must be found, and a
 * clean case must pass. Plain cmocka on the outside, since the layer cannot vouch for itself. */
#include "test/lib/isolated.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char why[65536];

#define run(fn) isolated_run(&(struct isolated_case){ #fn, fn, NULL, NULL, 30 }, why, sizeof(why))

static void is_clean(void **state)
{
    int fd = memfd_create("clean", MFD_CLOEXEC);
    void *at;

    (void)state;
    assert_int_equal(ftruncate(fd, 4096), 0);
    at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    munmap(at, 4096);
    close(fd);
}

static void fails(void **state)
{
    (void)state;
    assert_int_equal(1, 2);
}

static void leaves_a_descriptor(void **state)
{
    (void)state;
    assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void leaves_a_mapping(void **state)
{
    int fd = memfd_create("lost", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_true(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
    close(fd);
}

static void leaves_a_child(void **state)
{
    (void)state;
    if (fork() == 0) {
        for (;;) {
            pause();
        }
    }
}

static void leaves_a_zombie(void **state)
{
    (void)state;
    if (fork() == 0) {
        _exit(0);
    }
}

static void leaves_a_grandchild(void **state)
{
    int ends[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    if (fork() == 0) {
        if (fork() == 0) {
            close(ends[0]);
            close(ends[1]);
            for (;;) {
                pause();
            }
        }
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* both have closed it */
    close(ends[0]);
}

static void *wait_for_ever(void *data)
{
    (void)data;
    for (;;) {
        pause();
    }
    return NULL;
}

static void leaves_a_thread(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
}

static void joins_its_thread(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void closes_what_is_not_its_own(void **state)
{
    (void)state;
    close(STDIN_FILENO);
}

static void *volatile lost; /* volatile, so that the allocation is made and then really lost */

static void leaves_heap(void **state)
{
    (void)state;
    lost = malloc(77);
    assert_non_null(lost);
    lost = NULL;
}

static void hangs(void **state)
{
    (void)state;
    wait_for_ever(NULL);
}

static void aborts(void **state)
{
    (void)state;
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void a_clean_case_passes(void **state)
{
    (void)state;
    assert_int_equal(run(is_clean), 0);
    assert_int_equal(run(joins_its_thread), 0);
}

static void a_failed_assertion_is_told_with_its_place(void **state)
{
    (void)state;
    assert_int_equal(run(fails), -1);
    assert_non_null(strstr(why, "0x1 != 0x2"));
    assert_non_null(strstr(why, "test_isolated.c"));
}

static void a_descriptor_left_open_is_found(void **state)
{
    (void)state;
    assert_int_equal(run(leaves_a_descriptor), -1);
    assert_non_null(strstr(why, "-> /dev/null"));
}

static void a_descriptor_closed_too_much_is_found(void **state)
{
    (void)state;
    assert_int_equal(run(closes_what_is_not_its_own), -1);
    assert_non_null(strstr(why, "fd 0 ->"));
}

static void a_shared_mapping_left_is_found(void **state)
{
    (void)state;
    assert_int_equal(run(leaves_a_mapping), -1);
    assert_non_null(strstr(why, "shared mapping /memfd:lost"));
}

static void a_child_left_running_dead_or_orphaned_is_found(void **state)
{
    (void)state;
    assert_int_equal(run(leaves_a_child), -1);
    assert_non_null(strstr(why, "left: 1 child processes"));
    assert_int_equal(run(leaves_a_zombie), -1);
    assert_non_null(strstr(why, "left: 1 child processes"));
    assert_int_equal(run(leaves_a_grandchild), -1);
    assert_non_null(strstr(why, "child processes"));
}

static void a_thread_left_running_is_found(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* its runtime has a thread of its own, which cannot be told apart */
#endif
    assert_int_equal(run(leaves_a_thread), -1);
    assert_non_null(strstr(why, "left: 1 threads"));
}

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void heap_left_is_found_where_the_leak_sanitizer_is(void **state)
{
    (void)state;
    if (!__lsan_do_recoverable_leak_check) {
        skip();
    }
    assert_int_equal(run(leaves_heap), -1);
    assert_non_null(strstr(why, "left: heap"));
}

static void a_case_that_hangs_is_ended(void **state)
{
    (void)state;
    assert_int_equal(
        isolated_run(&(struct isolated_case){ "hangs", hangs, NULL, NULL, 1 }, why, sizeof(why)),
        -1);
    assert_non_null(strstr(why, "did not end within 1 s"));
}

static void a_case_that_dies_is_told_with_its_signal(void **state)
{
    (void)state;
    assert_int_equal(run(aborts), -1);
    assert_non_null(strstr(why, "signal 6"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest leaky[] = { isolated_test(leaves_a_descriptor) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_case_passes),
        cmocka_unit_test(a_failed_assertion_is_told_with_its_place),
        cmocka_unit_test(a_descriptor_left_open_is_found),
        cmocka_unit_test(a_descriptor_closed_too_much_is_found),
        cmocka_unit_test(a_shared_mapping_left_is_found),
        cmocka_unit_test(a_child_left_running_dead_or_orphaned_is_found),
        cmocka_unit_test(a_thread_left_running_is_found),
        cmocka_unit_test(heap_left_is_found_where_the_leak_sanitizer_is),
        cmocka_unit_test(a_case_that_hangs_is_ended),
        cmocka_unit_test(a_case_that_dies_is_told_with_its_signal),
    };

    /* With an argument: a group that must fail, to prove that the failure reaches the exit status.
     */
    (void)argv;
    return argc > 1 ? cmocka_run_group_tests(leaky, NULL, NULL)
                    : cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/lib/isolated.h - cmocka tests that run alone and leave nothing behind.
 *
 * isolated_test(fn) stands where cmocka_unit_test(fn) would. The test runs in a forked child with a
 * time limit, and it fails when it leaves open descriptors, shared mappings (memfd, /dev/shm,
 * System V), threads, child processes (also orphaned grandchildren) or, where the leak sanitizer is
 * linked in, heap. What it printed is shown when it failed. The array of tests must live as long as
 * the run (a local of main does). */
#ifndef TEST_LIB_ISOLATED_H
#define TEST_LIB_ISOLATED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ISOLATED_SECONDS 60

struct isolated_case {
    const char *name;
    CMUnitTestFunction function;
    CMFixtureFunction setup, teardown; /* run in the child, or NULL */
    unsigned seconds;
};

/* Runs one case alone. 0 when it passed and left nothing; else -1, and `ret_why` (room bytes) says
 * what was wrong, followed by what the case printed. Call it from one thread at a time. */
int isolated_run(const struct isolated_case *c, char *ret_why, size_t room);

/* For the macros below: what cmocka calls; *state is the struct isolated_case. */
void isolated_entry(void **state);

/* clang-format off */
#define isolated_test_full(fn, before, after, limit)                                               \
    { #fn, isolated_entry, NULL, NULL,                                                             \
      (void *)&(struct isolated_case){ #fn, fn, before, after, limit } }
/* clang-format on */
#define isolated_test(fn)               isolated_test_full(fn, NULL, NULL, ISOLATED_SECONDS)
#define isolated_test_within(fn, limit) isolated_test_full(fn, NULL, NULL, limit)
#define isolated_test_setup_teardown(fn, before, after)                                            \
    isolated_test_full(fn, before, after, ISOLATED_SECONDS)

#endif

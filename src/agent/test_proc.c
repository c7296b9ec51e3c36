/* What /proc says of processes, and who descends from whom. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "agent/proc.h"

#define REST " 2 3 4 5 6 7 8 9 10 11 12 13 -14 15 -16 17 18 987654321098 0 0\n"

static void a_name_may_hold_parentheses_and_spaces(void **state)
{
    struct proc p;

    assert_int_equal(proc_parse("17 (a) S 1 (b) S 42" REST, &p), 0);
    assert_int_equal(p.parent, 42);
    assert_int_equal(p.state, 'S');
    assert_int_equal(p.start, 987654321098);
}

static void a_cut_text_is_invalid(void **state)
{
    static const char negative[] = "17 (a) S -1" REST;
    static const char *const texts[] = { "",        "17",       "17 (a",      "17 (a)",
                                         "17 (a) ", "17 (a) S", "17 (a) S x", "17 (a) S 42 1 2 3",
                                         negative };
    struct proc p;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(proc_parse(texts[i], &p), RHODES_INVALID);
    }
}

static void this_process_is_there_and_one_that_ended_is_not(void **state)
{
    pid_t child = fork();
    struct proc me, other;

    if (child == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(proc_read(getpid(), &me), 0);
    assert_int_equal(me.parent, getppid());
    assert_true(me.start > 0);
    assert_true(proc_read(child, &other) < 0);
}

static void only_the_process_and_what_it_started_descend_from_it(void **state)
{
    int ends[2];
    pid_t child, grandchild = 0;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        pid_t started = fork();

        if (started > 0 && write(ends[1], &started, sizeof(started)) < 0) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_true(proc_descends(getpid(), getpid()));
    assert_true(proc_descends(child, getpid()));
    assert_true(proc_descends(grandchild, getpid()));
    assert_true(proc_descends(grandchild, child));
    assert_false(proc_descends(getpid(), child));
    assert_false(proc_descends(child, grandchild));
    assert_false(proc_descends(1, child));
    assert_false(proc_descends(0, child));
    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_may_hold_parentheses_and_spaces),
        cmocka_unit_test(a_cut_text_is_invalid),
        cmocka_unit_test(this_process_is_there_and_one_that_ended_is_not),
        cmocka_unit_test(only_the_process_and_what_it_started_descend_from_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

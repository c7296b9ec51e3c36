/* The log: one event is one line whatever it holds, and the level is what the environment says. */
#include "base/log.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "test/lib/isolated.h"

static char printed[8192];

/* Standard error goes to a memfd from log_begin to log_end, which leaves the lines in `printed`. */
static int log_begin(const char *level, const char *part, int *ret_saved)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    *ret_saved = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    if (level) {
        setenv("RHODES_LOG", level, 1);
    } else {
        unsetenv("RHODES_LOG");
    }
    if (part) {
        log_open(part);
    }
    return fd;
}

static void log_end(int fd, int saved)
{
    ssize_t n = pread(fd, printed, sizeof(printed) - 1, 0);

    printed[n > 0 ? n : 0] = 0;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fd);
}

static void a_line_has_time_level_part_event_and_fields(void **state)
{
    regex_t form;
    int saved, fd = log_begin(NULL, "agent service/tcp", &saved);

    (void)state;
    log_write(LOG_INFO, "rule.applied", "revision=%d", 7);
    log_end(fd, saved);
    assert_int_equal(regcomp(&form,
                             "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                             "level=info part=\"agent service/tcp\" event=rule.applied "
                             "revision=7\n$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    assert_int_equal(regexec(&form, printed, 0, NULL, 0), 0);
    regfree(&form);
}

static void the_environment_chooses_the_level(void **state)
{
    static const char *const levels[] = { "error", "warning", "info", "debug" };

    (void)state;
    for (int i = 0; i < 4; i++) {
        int saved, lines = 0, fd = log_begin(levels[i], "test", &saved);

        for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
            log_write((enum log_level)level, "event", "x=%d", level);
        }
        log_end(fd, saved);
        for (const char *at = printed; *at; at++) {
            lines += *at == '\n';
        }
        assert_int_equal(lines, i + 1);
    }
}

static void an_unknown_level_means_info(void **state)
{
    int saved, fd = log_begin("loudest", "test", &saved);

    (void)state;
    log_write(LOG_INFO, "seen", "x=%d", 1);
    log_write(LOG_DEBUG, "hidden", "x=%d", 1);
    log_end(fd, saved);
    assert_non_null(strstr(printed, "seen"));
    assert_null(strstr(printed, "hidden"));
}

static void a_process_that_opened_no_log_says_nothing(void **state)
{
    int saved, fd = log_begin("debug", NULL, &saved);

    (void)state;
    log_write(LOG_ERROR, "event", "x=%d", 1);
    assert_int_equal(failed(-EIO), -EIO);
    log_end(fd, saved);
    assert_string_equal(printed, "");
}

static void a_failure_is_traced_where_it_began(void **state)
{
    int saved, fd = log_begin("debug", "test", &saved);

    (void)state;
    assert_int_equal(failed(-EIO), -EIO);
    log_end(fd, saved);
    assert_non_null(strstr(printed, "event=failed result=EIO file="));
    assert_non_null(strstr(printed, "test_log.c"));
}

static void control_characters_cannot_make_a_second_line(void **state)
{
    int saved, fd = log_begin(NULL, "test", &saved);

    (void)state;
    log_write(LOG_INFO, "event", "x=%s", "a\nlevel=error event=forged\x1b[31m");
    log_end(fd, saved);
    assert_ptr_equal(strchr(printed, '\n'), printed + strlen(printed) - 1);
    assert_null(strchr(printed, '\x1b'));
}

static void a_line_that_is_too_long_is_cut_and_still_ends(void **state)
{
    char text[5000];
    int saved, fd = log_begin(NULL, "test", &saved);

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    log_write(LOG_INFO, "event", "x=%s", text);
    log_write(LOG_INFO, "after", "x=%d", 1);
    log_end(fd, saved);
    assert_in_range(strcspn(printed, "\n"), 2000, 2048);
    assert_non_null(strstr(printed, "event=after"));
}

static void values_are_quoted_where_they_must_be(void **state)
{
    char buffer[64];

    (void)state;
    assert_string_equal(log_quote("service/tcp", buffer, sizeof(buffer)), "service/tcp");
    assert_string_equal(log_quote("a b", buffer, sizeof(buffer)), "\"a b\"");
    assert_string_equal(log_quote("a=\"b\"", buffer, sizeof(buffer)), "\"a=\\\"b\\\"\"");
    assert_string_equal(log_quote("a\\b", buffer, sizeof(buffer)), "\"a\\\\b\"");
    assert_string_equal(log_quote("a\nb", buffer, sizeof(buffer)), "\"a b\"");
    assert_string_equal(log_quote("", buffer, sizeof(buffer)), "\"\"");
    assert_string_equal(log_quote(NULL, buffer, sizeof(buffer)), "\"\"");
}

static void a_value_is_cut_to_its_buffer(void **state)
{
    char buffer[10];

    (void)state;
    for (size_t n = 4; n <= sizeof(buffer); n++) {
        memset(buffer, '#', sizeof(buffer));
        log_quote("\"\"\"\"\"\"\"\"\"\"\"\"\"\"", buffer, n);
        assert_true(strlen(buffer) < n);
    }
    assert_string_equal(log_quote("123456789", buffer, 10), "123456789");
    assert_string_equal(log_quote("1234567890", buffer, 10), "\"12345\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_line_has_time_level_part_event_and_fields),
        isolated_test(the_environment_chooses_the_level),
        isolated_test(an_unknown_level_means_info),
        isolated_test(a_process_that_opened_no_log_says_nothing),
        isolated_test(a_failure_is_traced_where_it_began),
        isolated_test(control_characters_cannot_make_a_second_line),
        isolated_test(a_line_that_is_too_long_is_cut_and_still_ends),
        isolated_test(values_are_quoted_where_they_must_be),
        isolated_test(a_value_is_cut_to_its_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

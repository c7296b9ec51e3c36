/* Request targets: what a path and a query may look like, and every trick that is refused. */
#include "center/uri.h"

#include <string.h>

#include "test/lib/isolated.h"

static struct uri uri;
static struct refusal why;

static int parse(const char *target)
{
    memset(&why, 0, sizeof(why));
    return uri_parse(target, &uri, &why);
}

static void a_path_becomes_segments(void **state)
{
    assert_int_equal(parse("/v1/services/tcp"), 0);
    assert_int_equal(uri.segments_count, 3);
    assert_string_equal(uri.segments[0], "v1");
    assert_string_equal(uri.segments[2], "tcp");
    assert_int_equal(uri.parameters_count, 0);
    assert_int_equal(parse("/v1/links/application.a%3Aservice.b"), 0);
    assert_string_equal(uri.segments[2], "application.a:service.b");
}

static void a_query_becomes_parameters(void **state)
{
    assert_int_equal(parse("/v1/services?limit=5&cursor=a%26b&dryRun"), 0);
    assert_string_equal(uri_parameter(&uri, "limit"), "5");
    assert_string_equal(uri_parameter(&uri, "cursor"), "a&b");
    assert_string_equal(uri_parameter(&uri, "dryRun"), "");
    assert_null(uri_parameter(&uri, "wait"));
    assert_int_equal(parse("/livez?"), 0);
    assert_int_equal(uri.parameters_count, 0);
}

static void tricks_with_paths_name_nothing(void **state)
{
    static const char *const tricks[] = {
        "",      "/",  "//", "/v1//services", "/v1/services/", "/v1/../v1",   "/v1/%2e%2e/",
        "/v1/.", "v1", "*",  "/v1/a%2Fb",     "/a/b/c/d/e",    "http://x/v1", "/v1/%2E"
    };

    for (size_t i = 0; i < sizeof(tricks) / sizeof(*tricks); i++) {
        assert_int_equal(parse(tricks[i]), RHODES_NOT_FOUND);
        assert_int_equal(why.problem, PROBLEM_NO_SUCH_PATH);
    }
}

static void bad_escapes_and_control_characters_are_refused(void **state)
{
    static const char *const bad[] = { "/v1/%",    "/v1/%1",  "/v1/%zz",   "/v1/%00", "/v1/a%0ab",
                                       "/v1/\x01", "/v1/%7f", "/v1?a=%0d", "/v1?%=1", "/v1?=1" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(parse(bad[i]), RHODES_INVALID);
        assert_int_equal(why.problem, PROBLEM_MALFORMED);
    }
}

static void a_parameter_may_stand_once(void **state)
{
    assert_int_equal(parse("/v1?a=1&b=2&a=3"), RHODES_INVALID);
    assert_int_equal(why.problem, PROBLEM_DUPLICATE);
}

static void there_is_room_for_eight_parameters(void **state)
{
    assert_int_equal(parse("/v1?a&b&c&d&e&f&g&h"), 0);
    assert_int_equal(uri.parameters_count, URI_PARAMETERS_MAX);
    assert_int_equal(parse("/v1?a&b&c&d&e&f&g&h&i"), RHODES_INVALID);
}

static void a_target_has_a_limit(void **state)
{
    char target[URI_BYTES_MAX + 1];

    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[URI_BYTES_MAX - 1] = 0;
    assert_int_equal(parse(target), 0);
    target[URI_BYTES_MAX - 1] = 'a';
    target[URI_BYTES_MAX] = 0;
    assert_int_equal(parse(target), RHODES_OVER_LIMIT);
    assert_int_equal(why.problem, PROBLEM_TOO_LARGE);
}

static void flags_are_true_or_false(void **state)
{
    bool flag = true;

    assert_int_equal(parse("/v1?a&b=true&c=0&d=maybe"), 0);
    assert_int_equal(uri_flag(&uri, "missing", &flag, &why), 0);
    assert_false(flag);
    assert_int_equal(uri_flag(&uri, "a", &flag, &why), 0);
    assert_true(flag);
    assert_int_equal(uri_flag(&uri, "b", &flag, &why), 0);
    assert_true(flag);
    assert_int_equal(uri_flag(&uri, "c", &flag, &why), 0);
    assert_false(flag);
    assert_int_equal(uri_flag(&uri, "d", &flag, &why), RHODES_INVALID);
    assert_int_equal(why.problem, PROBLEM_BAD_VALUE);
}

static void numbers_keep_to_their_range(void **state)
{
    uint64_t n = 7;

    assert_int_equal(
        parse("/v1?one=1&ten=10&eleven=11&zero=0&text=1x&minus=-1&huge=99999999999999999999"), 0);
    assert_int_equal(uri_number(&uri, "missing", 1, 10, &n, &why), 0);
    assert_int_equal(n, 7);
    assert_int_equal(uri_number(&uri, "one", 1, 10, &n, &why), 0);
    assert_int_equal(n, 1);
    assert_int_equal(uri_number(&uri, "ten", 1, 10, &n, &why), 0);
    assert_int_equal(n, 10);
    assert_int_equal(uri_number(&uri, "eleven", 1, 10, &n, &why), RHODES_INVALID);
    assert_int_equal(uri_number(&uri, "zero", 1, 10, &n, &why), RHODES_INVALID);
    assert_int_equal(uri_number(&uri, "text", 1, 10, &n, &why), RHODES_INVALID);
    assert_int_equal(uri_number(&uri, "minus", 0, 10, &n, &why), RHODES_INVALID);
    assert_int_equal(uri_number(&uri, "huge", 0, UINT64_MAX, &n, &why), RHODES_INVALID);
    assert_int_equal(n, 10);
}

static void durations_have_units_and_a_limit(void **state)
{
    uint64_t ns = 0;

    assert_int_equal(parse("/v1?a=100us&b=50ms&c=5s&d=2m&e=5&f=6m&g=s&h=99999999999999999s"), 0);
    assert_int_equal(uri_duration(&uri, "a", 300000000000, &ns, &why), 0);
    assert_int_equal(ns, 100000);
    assert_int_equal(uri_duration(&uri, "b", 300000000000, &ns, &why), 0);
    assert_int_equal(ns, 50000000);
    assert_int_equal(uri_duration(&uri, "c", 300000000000, &ns, &why), 0);
    assert_int_equal(ns, 5000000000);
    assert_int_equal(uri_duration(&uri, "d", 300000000000, &ns, &why), 0);
    assert_int_equal(ns, 120000000000);
    assert_int_equal(uri_duration(&uri, "e", 300000000000, &ns, &why), RHODES_INVALID);
    assert_int_equal(uri_duration(&uri, "f", 300000000000, &ns, &why), RHODES_INVALID);
    assert_int_equal(uri_duration(&uri, "g", 300000000000, &ns, &why), RHODES_INVALID);
    assert_int_equal(uri_duration(&uri, "h", 300000000000, &ns, &why), RHODES_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_path_becomes_segments),
        isolated_test(a_query_becomes_parameters),
        isolated_test(tricks_with_paths_name_nothing),
        isolated_test(bad_escapes_and_control_characters_are_refused),
        isolated_test(a_parameter_may_stand_once),
        isolated_test(there_is_room_for_eight_parameters),
        isolated_test(a_target_has_a_limit),
        isolated_test(flags_are_true_or_false),
        isolated_test(numbers_keep_to_their_range),
        isolated_test(durations_have_units_and_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

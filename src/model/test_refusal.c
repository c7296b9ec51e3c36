/* Refusals: the table of problems, sentences that are too long, and foreign texts made harmless. */
#include "model/test_help.h"

static void a_refusal_carries_its_problems_verdict_code_and_hint(void **state)
{
    struct refusal why;

    assert_int_equal(
        refuse(&why, PROBLEM_LAYER_FORBIDDEN, "/spec/calls/0/to", "%s and %s", "a", "b"),
        RHODES_DENIED);
    assert_string_equal(why.detail, "a and b");
    assert_string_equal(why.pointer, "/spec/calls/0/to");
    assert_string_equal(why.rule, "");
    assert_string_equal(why.hint, problem_hint(PROBLEM_LAYER_FORBIDDEN));
    assert_string_equal(problem_code(why.problem), "RH1013");
    assert_true(strlen(problem_title(why.problem)) > 0);
    refusal_hint(&why, "type %d", 7);
    assert_string_equal(why.hint, "type 7");
}

static void a_problem_has_its_verdicts_status_or_its_own(void **state)
{
    assert_int_equal(problem_status(PROBLEM_LAYER_FORBIDDEN), 403);
    assert_int_equal(problem_status(PROBLEM_NO_SUCH_OBJECT), 404);
    assert_int_equal(problem_status(PROBLEM_EXISTS_ALREADY), 409);
    assert_int_equal(problem_status(PROBLEM_CONFLICT), 412);
    assert_int_equal(problem_status(PROBLEM_UNKNOWN_FIELD), 400);
    assert_int_equal(problem_status(PROBLEM_TOO_LARGE), 413);
    assert_int_equal(problem_status(PROBLEM_PRECONDITION_REQUIRED), 428);
    assert_int_equal(problem_status(PROBLEM_BAD_METHOD), 405);
    assert_int_equal(problem_status(PROBLEM_COMPACTED), 410);
    assert_int_equal(problem_status(PROBLEM_STORE_FAILED), 507);
}

static void a_text_that_is_too_long_is_cut_between_letters(void **state)
{
    struct refusal why;
    char text[1200];

    memset(text, 'a', sizeof(text));
    for (size_t i = 1; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "\xc3\xa4", 2);
    }
    text[sizeof(text) - 1] = 0;
    for (size_t start = 0; start < 2; start++) {
        size_t n;

        (void)refuse(&why, PROBLEM_BAD_VALUE, text + start, "%s", text + start);
        n = strlen(why.detail);
        assert_true(n < sizeof(why.detail));
        assert_string_equal(why.detail + n - 3, "...");
        assert_int_not_equal((unsigned char)why.detail[n - 4], 0xc3);
        assert_string_equal(why.pointer + strlen(why.pointer) - 3, "...");
        refusal_hint(&why, "%s", text + start);
        assert_string_equal(why.hint + strlen(why.hint) - 3, "...");
    }
}

static void a_text_that_just_fits_is_whole(void **state)
{
    struct refusal why;
    char text[sizeof(why.detail)];

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 0;
    (void)refuse(&why, PROBLEM_BAD_VALUE, "", "%s", text);
    assert_string_equal(why.detail, text);
}

static void a_foreign_text_is_quoted_escaped_and_shortened(void **state)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        { "", "\"\"" },
        { "../x", "\"../x\"" },
        { "a\nb\tc\rd", "\"a\\nb\\tc\\rd\"" },
        { "\x1b[2J", "\"\\x1b[2J\"" },
        { "\"\\", "\"\\\"\\\\\"" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "\xc2\x9b", "\"\\xc2\\x9b\"" },                   /* C1: CSI */
        { "\xe2\x80\xae", "\"\\xe2\\x80\\xae\"" },          /* right-to-left override */
        { "\xe2\x81\xa6", "\"\\xe2\\x81\\xa6\"" },          /* isolate */
        { "\xe2\x80\x8b", "\"\\xe2\\x80\\x8b\"" },          /* zero width */
        { "\xef\xbb\xbf", "\"\\xef\\xbb\\xbf\"" },          /* byte order mark */
        { "\xc0\xaf", "\"\\xc0\\xaf\"" },                   /* overlong */
        { "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"" },          /* surrogate */
        { "\xf7\xbf\xbf\xbf", "\"\\xf7\\xbf\\xbf\\xbf\"" }, /* above Unicode */
        { "\xe2\x82", "\"\\xe2\\x82\"" },                   /* cut off */
        { "\x7f\xff", "\"\\x7f\\xff\"" },
    };
    char quoted[QUOTED_BYTES_MAX], text[10001];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(text_quote(cases[i].text, quoted), cases[i].quoted);
    }
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    text_quote(text, quoted);
    assert_true(strlen(quoted) < QUOTED_BYTES_MAX);
    assert_string_equal(quoted + strlen(quoted) - 4, "...\"");
}

static void a_pointer_escapes_and_stays_in_its_room(void **state)
{
    char pointer[256] = "/documents/0", token[400], small[16] = "/spec";

    pointer_append(pointer, sizeof(pointer), "a/b~c");
    assert_string_equal(pointer, "/documents/0/a~1b~0c");
    memset(token, 'x', sizeof(token) - 1);
    token[sizeof(token) - 1] = 0;
    pointer_append(pointer, sizeof(pointer), token);
    assert_true(strlen(pointer) < sizeof(pointer));
    assert_string_equal(pointer + strlen(pointer) - 3, "...");
    pointer_append(pointer, sizeof(pointer), token);
    assert_string_equal(pointer + strlen(pointer) - 3, "...");
    pointer_append(small, sizeof(small), "////////////");
    assert_true(strlen(small) < sizeof(small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_carries_its_problems_verdict_code_and_hint),
        cmocka_unit_test(a_problem_has_its_verdicts_status_or_its_own),
        cmocka_unit_test(a_text_that_is_too_long_is_cut_between_letters),
        cmocka_unit_test(a_text_that_just_fits_is_whole),
        cmocka_unit_test(a_foreign_text_is_quoted_escaped_and_shortened),
        cmocka_unit_test(a_pointer_escapes_and_stays_in_its_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The command line against a small table of verbs, nearest words, durations, and the escape of what
 * is printed. */
#include "test/lib/isolated.h"

#include <string.h>

#include "cli/options.h"
#include "cli/text.h"

static int none_run(struct cli *cli, const struct arguments *arguments)
{
    return 0;
}

static const struct verb table[] = {
    { "apply",
      "",
      0,
      0,
      VERB_OUTPUT,
      "",
      NULL,
      "",
      { { 'f', "file", "FILE", "", true },
        { 'n', "dry-run", NULL, "", false },
        { 0, "wait", "D", "", false },
        { 0, "mode", "below|strict", "", false } },
      none_run },
    { "get", "[KIND [NAME]]", 0, 2, 0, "", NULL, "", { { 0 } }, none_run },
    { "link set", "CALLER CALLEE", 2, 2, 0, "", NULL, "", { { 0 } }, none_run },
    { "link show", "CALLER CALLEE", 2, 2, 0, "", NULL, "", { { 0 } }, none_run },
    { "run",
      "-- COMMAND",
      1,
      -1,
      VERB_REST,
      "",
      NULL,
      "",
      { { 0, "as", "RESOURCE", "", false } },
      none_run },
    { "demo", "", 0, -1, VERB_PASS, "", NULL, "", { { 0 } }, none_run },
    { "version", "", 0, 0, 0, "", NULL, "", { { 0 } }, none_run },
    { .name = NULL },
};

/* Words separated by single blanks, after "rhodes". */
static int parse(const char *line, struct arguments *ret, char **ret_why)
{
    static char copy[512];
    char *argv[32] = { (char *)"rhodes" }, *rest = NULL;
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    *ret_why = NULL;
    return arguments_parse(argc, argv, table, ret, ret_why);
}

static void refused(const char *line, const char *sentence)
{
    CLEANUP(memory_freep) char *why = NULL;
    struct arguments a;

    assert_int_equal(parse(line, &a, &why), RHODES_INVALID);
    assert_string_equal(why, sentence);
    arguments_deinit(&a);
}

static struct arguments parsed(const char *line)
{
    CLEANUP(memory_freep) char *why = NULL;
    struct arguments a;
    int r = parse(line, &a, &why);

    if (why) {
        print_error("%s\n", why);
    }
    assert_int_equal(r, 0);
    return a;
}

static void options_stand_anywhere_and_in_every_form(void **state)
{
    struct arguments a = parsed("--home /h apply -f a -fb --file=c --file d -qn --wait 5s -o json");

    assert_string_equal(a.verb->name, "apply");
    assert_string_equal(a.home, "/h");
    assert_string_equal(a.output, "json");
    assert_true(a.quiet);
    assert_true(option_given(&a, "dry-run"));
    assert_string_equal(option_each(&a, "file", 0), "a");
    assert_string_equal(option_each(&a, "file", 1), "b");
    assert_string_equal(option_each(&a, "file", 2), "c");
    assert_string_equal(option_each(&a, "file", 3), "d");
    assert_null(option_each(&a, "file", 4));
    assert_string_equal(option_value(&a, "wait", "1s"), "5s");
    assert_string_equal(option_value(&a, "mode", "below"), "below");
    arguments_deinit(&a);
}

static void a_lone_dash_is_a_value(void **state)
{
    struct arguments a = parsed("apply -f -");

    assert_string_equal(option_each(&a, "file", 0), "-");
    arguments_deinit(&a);
}

static void verbs_in_groups_take_two_words(void **state)
{
    struct arguments a = parsed("link set a b");

    assert_string_equal(a.verb->name, "link set");
    assert_int_equal(a.positional_count, 2);
    assert_string_equal(a.positional[0], "a");
    arguments_deinit(&a);
    refused("link", "'link' is followed by one of: set, show");
    refused("link sett a b", "no verb 'link sett'; did you mean 'link set'?");
    refused("link frobnicate", "'link' is followed by one of: set, show");
}

static void an_unknown_verb_names_the_nearest(void **state)
{
    refused("aply", "no verb 'aply'; did you mean 'apply'?");
    refused("gte", "no verb 'gte'; did you mean 'get'?");
    refused("vers", "no verb 'vers'; did you mean 'version'?");
    refused("xyzzy", "no verb 'xyzzy'; rhodes help lists them");
}

static void an_unknown_option_names_the_nearest(void **state)
{
    refused("apply --fiel x", "unknown option '--fiel'; did you mean '--file'?");
    refused("apply --dryrun", "unknown option '--dryrun'; did you mean '--dry-run'?");
    refused("apply --frobnicate", "unknown option '--frobnicate'");
    refused("apply -x", "unknown option '-x'");
    refused("get -o json", "unknown option '-o'");
}

static void options_with_missing_or_wrong_values_are_refused(void **state)
{
    refused("apply --file", "--file needs FILE");
    refused("apply -f", "-f needs FILE");
    refused("apply --dry-run=yes", "--dry-run takes no value");
    refused("apply --mode loose", "--mode is one of below|strict, not 'loose'");
    refused("apply --mode bel", "--mode is one of below|strict, not 'bel'");
    refused("apply -o xml", "--output is one of table|json|yaml|name, not 'xml'");
    refused("apply --wait 1s --wait 2s", "--wait is given twice");
}

static void positionals_are_counted(void **state)
{
    refused("get a b c", "unexpected argument 'c'");
    refused("link set a", "link set needs CALLER CALLEE");
    struct arguments a = parsed("get -5 a");

    assert_string_equal(a.positional[0], "-5");
    arguments_deinit(&a);
    refused("apply x", "unexpected argument 'x'");
}

static void help_needs_no_positionals(void **state)
{
    struct arguments a = parsed("link set --help");

    assert_true(a.help);
    arguments_deinit(&a);
}

static void another_programs_words_are_left_alone(void **state)
{
    struct arguments a = parsed("run --as application/x -- ls -l --help --as");

    assert_string_equal(option_value(&a, "as", ""), "application/x");
    assert_int_equal(a.positional_count, 4);
    assert_string_equal(a.positional[2], "--help");
    arguments_deinit(&a);
    a = parsed("run --as application/x ls -l -- --help");
    assert_int_equal(a.positional_count, 4);
    assert_string_equal(a.positional[2], "--");
    assert_false(a.help);
    arguments_deinit(&a);
    a = parsed("demo --keep -x five");
    assert_int_equal(a.positional_count, 3);
    arguments_deinit(&a);
}

static void nothing_at_all_is_no_verb(void **state)
{
    struct arguments a = parsed("");

    assert_null(a.verb);
    arguments_deinit(&a);
    a = parsed("--version");
    assert_string_equal(a.verb->name, "version");
    arguments_deinit(&a);
}

static void distance_counts_edits(void **state)
{
    assert_int_equal(word_distance("apply", "apply"), 0);
    assert_int_equal(word_distance("aply", "apply"), 1);
    assert_int_equal(word_distance("aplpy", "apply"), 1);
    assert_int_equal(word_distance("", "abc"), 3);
}

static void durations_have_units(void **state)
{
    uint64_t ns = 1;

    assert_int_equal(duration_parse("0", &ns), 0);
    assert_int_equal(ns, 0);
    assert_int_equal(duration_parse("50ms", &ns), 0);
    assert_int_equal(ns, 50000000);
    assert_int_equal(duration_parse("100us", &ns), 0);
    assert_int_equal(ns, 100000);
    assert_int_equal(duration_parse("2m", &ns), 0);
    assert_int_equal(ns, 120000000000);
    assert_int_equal(duration_parse("5", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("-5s", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("5 s", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("5sec", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("999999999999999h", &ns), RHODES_INVALID);
    assert_int_equal(duration_parse("9999999999999999s", &ns), RHODES_INVALID);
}

static void escaped(const char *text, const char *expected)
{
    CLEANUP(memory_freep) char *got = text_escape(text, strlen(text));

    assert_string_equal(got, expected);
}

static void nothing_that_moves_a_terminal_is_printed(void **state)
{
    escaped("plain é 😀 \\", "plain é 😀 \\");
    escaped("a\033[2Jb\nc\td\x7f", "a\\x1b[2Jb\\x0ac\\x09d\\x7f");
    escaped("\xc2\x9b"
            "1m \xc2\x85",
            "\\u{9b}1m \\u{85}");
    escaped("\xe2\x80\xae\xe2\x81\xa6", "\\u{202e}\\u{2066}");
    escaped("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
            "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");
    escaped("\xe2\x82", "\\xe2\\x82");
}

static void tables_align_by_characters(void **state)
{
    CLEANUP(memory_freep) char *text = NULL;
    size_t bytes = 0;
    struct cli cli = { .out = open_memstream(&text, &bytes) };
    struct table t;

    table_init(&t, (const char *const[]){ "A", "BB" }, 2);
    table_put(&t, "é");
    table_put(&t, "x\n");
    table_put(&t, "long");
    table_put(&t, "y");
    table_print(&t, &cli);
    table_deinit(&t);
    fclose(cli.out);
    assert_string_equal(text, "A     BB\né     x\\x0a\nlong  y\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(options_stand_anywhere_and_in_every_form),
        isolated_test(a_lone_dash_is_a_value),
        isolated_test(verbs_in_groups_take_two_words),
        isolated_test(an_unknown_verb_names_the_nearest),
        isolated_test(an_unknown_option_names_the_nearest),
        isolated_test(options_with_missing_or_wrong_values_are_refused),
        isolated_test(positionals_are_counted),
        isolated_test(help_needs_no_positionals),
        isolated_test(another_programs_words_are_left_alone),
        isolated_test(nothing_at_all_is_no_verb),
        isolated_test(distance_counts_edits),
        isolated_test(durations_have_units),
        isolated_test(nothing_that_moves_a_terminal_is_printed),
        isolated_test(tables_align_by_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

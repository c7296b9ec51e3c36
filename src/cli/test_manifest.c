/* The manifest decoder and the YAML writer: what is taken, where things stand, what is refused and
 * with which place. */
#include "test/lib/isolated.h"

#include <string.h>

#include "cli/manifest.h"
#include "cli/scalar.h"
#include "cli/text.h"
#include "cli/yaml.h"

static struct manifests decoded(const char *text)
{
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };
    int r = manifests_decode(&m, "web.yaml", text, strlen(text), &why);

    if (r) {
        print_error("%u:%u: %s\n", why.line, why.column, why.text);
    }
    assert_int_equal(r, 0);
    return m;
}

static void refused(const char *text, size_t bytes, int verdict, unsigned line, unsigned column,
                    const char *part)
{
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };
    int r = manifests_decode(&m, "web.yaml", text, bytes, &why);

    if (r != verdict || why.line != line || why.column != column || !strstr(why.text, part)) {
        print_error("got %d at %u:%u: %s\n", r, why.line, why.column, why.text);
        fail();
    }
    assert_int_equal(m.count, 0);
    manifests_deinit(&m);
}

#define REFUSED(text, line, column, part)                                                          \
    refused(text, strlen(text), RHODES_INVALID, line, column, part)

static void same_json(const json_t *value, const char *expected)
{
    json_t *other = json_loads(expected, JSON_DECODE_ANY, NULL);

    assert_non_null(other);
    if (!json_equal(value, other)) {
        CLEANUP(memory_freep) char *text = json_dumps(value, JSON_ENCODE_ANY);

        print_error("got %s\n", text);
        fail();
    }
    json_decref(other);
}

static void decodes_to(const char *text, const char *expected)
{
    struct manifests m = decoded(text);

    assert_int_equal(m.count, 1);
    same_json(m.documents[0].json, expected);
    manifests_deinit(&m);
}

static void a_manifest_becomes_json(void **state)
{
    decodes_to(
        "kind: Service\nspec:\n  calls:\n    - {to: driver/net, timeout: 50ms}\n  types: |\n    "
        "record a { b: u8 }\n",
        "{\"kind\":\"Service\",\"spec\":{\"calls\":[{\"to\":\"driver/net\",\"timeout\":\"50ms\"}],"
        "\"types\":\"record a { b: u8 }\\n\"}}");
}

static void a_json_manifest_is_taken_as_it_is(void **state)
{
    decodes_to("{\n\t\"a\":\t[1, 2.5, true, null, \"\\u00e9\\/\"]\n}\n",
               "{\"a\":[1,2.5,true,null,\"é/\"]}");
}

static void the_core_schema_of_yaml_1_2_decides_types(void **state)
{
    decodes_to("a: no\nb: yes\nc: 0o17\nd: 0x1F\ne: 017\nf: ~\ng:\nh: True\ni: -3\nj: 1e3\nk: "
               ".5\nl: 1_000\nm: '5'\nn: on\no: 0b1\n",
               "{\"a\":\"no\",\"b\":\"yes\",\"c\":15,\"d\":31,\"e\":17,\"f\":null,\"g\":null,\"h\":"
               "true,\"i\":-3,\"j\":1000.0,"
               "\"k\":0.5,\"l\":\"1_000\",\"m\":\"5\",\"n\":\"on\",\"o\":\"0b1\"}");
}

static void integers_go_to_the_ends_of_64_bits_and_no_further(void **state)
{
    decodes_to("a: 9223372036854775807\nb: -9223372036854775808\n",
               "{\"a\":9223372036854775807,\"b\":-9223372036854775808}");
    REFUSED("a: 9223372036854775808", 1, 4, "64 bits");
    REFUSED("a: -9223372036854775809", 1, 4, "64 bits");
    REFUSED("a: 0xffffffffffffffff", 1, 4, "64 bits");
}

static void numbers_that_json_lacks_are_refused(void **state)
{
    REFUSED("a: .inf", 1, 4, "infinity");
    REFUSED("a: -.Inf", 1, 4, "infinity");
    REFUSED("a: .nan", 1, 4, "not-a-number");
    REFUSED("a: 1e999", 1, 4, "too large");
}

static void core_tags_are_obeyed_and_others_refused(void **state)
{
    decodes_to("a: !!str 5\nb: !!int '5'\nc: ! 5\nd: !!float 3\ne: !!map {}\nf: !!seq []\n",
               "{\"a\":\"5\",\"b\":5,\"c\":\"5\",\"d\":3.0,\"e\":{},\"f\":[]}");
    REFUSED("a: !foo b", 1, 9, "unknown tag '!foo'");
    REFUSED("a: !!python/object:os.system {b: c}", 1, 30, "unknown tag");
    REFUSED("a: !!int b", 1, 10, "tag");
}

static void a_file_holds_several_documents_and_empty_ones_are_passed_over(void **state)
{
    struct manifests m = decoded("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n");

    assert_int_equal(m.count, 2);
    same_json(m.documents[1].json, "{\"b\":2}");
    assert_string_equal(m.documents[1].source, "web.yaml");
    manifests_deinit(&m);
}

static void a_refused_file_leaves_the_documents_before_it(void **state)
{
    struct manifests m = decoded("a: 1\n");
    struct manifest_error why;

    assert_int_equal(manifests_decode(&m, "b", "b: 1\n---\nc: [", 14, &why), RHODES_INVALID);
    assert_int_equal(m.count, 1);
    manifests_deinit(&m);
}

static void a_text_without_a_document_is_refused(void **state)
{
    REFUSED("", 0, 0, "no document");
    REFUSED("# only a comment\n", 0, 0, "no document");
    REFUSED("---\n---\n", 0, 0, "no document");
}

static void a_document_must_be_a_mapping(void **state)
{
    REFUSED("- a\n- b\n", 1, 1, "mapping");
    REFUSED("a: 1\n---\njust text\n", 3, 1, "mapping");
}

static void a_key_that_stands_twice_is_refused_where_it_stands_again(void **state)
{
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };

    REFUSED("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5, 3, "'c' stands twice");
    assert_int_equal(manifests_decode(&m, "x", "a: 1\na: 2\n", 10, &why), RHODES_INVALID);
    assert_int_equal(why.code, 1008);
}

static void keys_are_texts(void **state)
{
    decodes_to("1: a\ntrue: b\n? x\n: y\n", "{\"1\":\"a\",\"true\":\"b\",\"x\":\"y\"}");
    REFUSED("? [a]\n: b\n", 1, 3, "a key must be a text");
    REFUSED("a: &k x\n*k : b\n", 2, 1, "may not be an alias");
}

static void a_tab_that_indents_is_refused(void **state)
{
    REFUSED("a:\n\t- b\n", 2, 1, "tab");
}

static void a_text_that_is_not_utf8_is_refused_at_its_byte(void **state)
{
    REFUSED("a: b\nc: d\xff\n", 2, 5, "not UTF-8: byte 0xff");
    REFUSED("a: \xc0\xaf", 1, 4, "not UTF-8");
    REFUSED("a: \xed\xa0\x80", 1, 4, "not UTF-8");
    refused("\xff\xfe"
            "a\0",
            4, RHODES_INVALID, 1, 1, "not UTF-8");
}

static void control_characters_are_refused(void **state)
{
    refused("a: b\0c", 6, RHODES_INVALID, 1, 5, "U+0000");
    REFUSED("a: \x1b[2J", 1, 4, "U+001B");
    REFUSED("a: \"x\\0y\"", 1, 4, "NUL");
}

static void anchors_and_aliases_expand(void **state)
{
    decodes_to("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n",
               "{\"a\":{\"b\":[1]},\"c\":{\"b\":[1]},\"d\":[{\"b\":[1]},{\"b\":[1]}]}");
    decodes_to("a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}");
    REFUSED("a: *x\n", 1, 4, "names no anchor");
    REFUSED("a: &x [*x]\n", 1, 8, "names no anchor");
    REFUSED("a: &x 1\n---\nb: *x\n", 3, 4, "names no anchor");
}

static void a_bomb_of_aliases_is_refused_at_the_alias_that_goes_too_far(void **state)
{
    char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };

    for (int i = 1; i < 30; i++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof(text) - used, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i,
                 i - 1, i - 1, i - 1, i - 1);
    }
    assert_int_equal(manifests_decode(&m, "bomb", text, strlen(text), &why), RHODES_OVER_LIMIT);
    assert_true(why.line > 5 && why.line < 12);
    assert_non_null(strstr(why.text, "aliases"));
    manifests_deinit(&m);
}

static void deep(char *text, unsigned depth)
{
    strcpy(text, "a: ");
    memset(text + 3, '[', depth - 1);
    memset(text + 3 + depth - 1, ']', depth - 1);
    text[3 + 2 * (depth - 1)] = 0;
}

static void nesting_ends_at_its_limit(void **state)
{
    char text[512];
    struct manifests m;

    deep(text, MANIFEST_DEPTH_MAX);
    m = decoded(text);
    manifests_deinit(&m);
    deep(text, MANIFEST_DEPTH_MAX + 1);
    refused(text, strlen(text), RHODES_OVER_LIMIT, 1, 4 + MANIFEST_DEPTH_MAX - 1, "nested deeper");
}

static void an_alias_cannot_go_round_the_limit_of_depth(void **state)
{
    char text[1024], inner[256];

    deep(inner, 40);
    snprintf(text, sizeof(text), "x: &x %s\n", inner + 3);
    deep(inner, 40);
    inner[3 + 39] = 0; /* the opening half */
    strcat(text, inner);
    strcat(text, "*x");
    memset(inner, ']', 39);
    inner[39] = 0;
    strcat(text, inner);
    refused(text, strlen(text), RHODES_OVER_LIMIT, 2, 43, "nested deeper");
}

static void anchors_end_at_their_limit(void **state)
{
    CLEANUP(memory_freep) char *text = memory_make((MANIFEST_ANCHORS_MAX + 2) * 16);
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };
    char *to = text;

    for (int i = 0; i < MANIFEST_ANCHORS_MAX; i++) {
        to += sprintf(to, "k%d: &k%d 1\n", i, i);
    }
    m = decoded(text);
    strcpy(to, "l: &l 1\n");
    assert_int_equal(manifests_decode(&m, "x", text, strlen(text), &why), RHODES_OVER_LIMIT);
    manifests_deinit(&m);
}

static void a_text_ends_at_its_limit(void **state)
{
    CLEANUP(memory_freep) char *text = memory_make(MANIFEST_BYTES_MAX + 2);
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };

    memset(text, '#', MANIFEST_BYTES_MAX);
    strcpy(text, "a: 1\n");
    text[5] = '#';
    assert_int_equal(manifests_decode(&m, "x", text, MANIFEST_BYTES_MAX, &why), 0);
    text[MANIFEST_BYTES_MAX] = '#';
    assert_int_equal(manifests_decode(&m, "x", text, MANIFEST_BYTES_MAX + 1, &why),
                     RHODES_OVER_LIMIT);
    manifests_deinit(&m);
}

static void place_is(const struct document *d, const char *pointer, bool key, unsigned line,
                     unsigned column)
{
    unsigned got_line = 0, got_column = 0;

    document_place(d, pointer, key, &got_line, &got_column);
    if (got_line != line || got_column != column) {
        print_error("%s: got %u:%u\n", pointer, got_line, got_column);
        fail();
    }
}

static void a_pointer_finds_its_line_and_column(void **state)
{
    struct manifests m = decoded("# first\nkind: Driver\nspec:\n  calls:\n    - {to: "
                                 "hardware/nic0}\n    - protocol: shm\n      to: service/tcp\n"
                                 "  a/b: {c~d: 1}\n");
    const struct document *d = &m.documents[0];

    place_is(d, "", false, 2, 1);
    place_is(d, "/kind", false, 2, 7);
    place_is(d, "/kind", true, 2, 1);
    place_is(d, "/spec/calls/0/to", false, 5, 12);
    place_is(d, "/spec/calls/1/to", false, 7, 11);
    place_is(d, "/spec/calls/1/to", true, 7, 7);
    place_is(d, "/spec/a~1b/c~0d", false, 8, 14);
    manifests_deinit(&m);
    m = decoded("{\"a\": 'b', \"c\": [\"d\"]}");
    d = &m.documents[0];
    place_is(d, "/a", true, 1, 2);
    place_is(d, "/a", false, 1, 7);
    place_is(d, "/c/0", false, 1, 18);
    manifests_deinit(&m);
}

static void a_pointer_to_what_is_missing_finds_what_would_hold_it(void **state)
{
    struct manifests m = decoded("kind: Driver\nspec:\n  calls: &c\n    - to: x\n  more: *c\n");
    const struct document *d = &m.documents[0];

    place_is(d, "/metadata/name", false, 1, 1);
    place_is(d, "/spec/calls/7/to", false, 4, 5);
    place_is(d, "/spec/more/0/to", false, 5, 9); /* inside an alias: the alias */
    place_is(d, "nonsense", false, 1, 1);
    manifests_deinit(&m);
}

static void round_trip(const char *json)
{
    json_t *value = json_loads(json, 0, NULL);
    CLEANUP(memory_freep) char *yaml = yaml_make(value);
    struct manifests m = { 0 };
    struct manifest_error why = { 0 };

    assert_non_null(yaml);
    assert_int_equal(manifests_decode(&m, "yaml", yaml, strlen(yaml), &why), 0);
    if (!json_equal(m.documents[0].json, value)) {
        print_error("%s", yaml);
        fail();
    }
    json_decref(value);
    manifests_deinit(&m);
}

static void what_is_written_as_yaml_reads_back_the_same(void **state)
{
    round_trip("{\"a\":[{\"b\":[],\"c\":{}},[[1],[2,[3.5,-1]]]],\"t\":true,\"n\":null}");
    round_trip("{\"no\":\"no\",\"y\":\"Yes\",\"5\":\"5\",\"e\":\"\",\"s\":\" a "
               "\",\"h\":\"#a\",\"c\":\"a: b\",\"d\":\"- a\","
               "\"x\":\"0x1f\",\"nul\":\"null\",\"t\":\"~\",\"q\":\"'\\\"\",\"b\":\"a\\\\b\",\"m\":"
               "\"%&*!|>@`\",\"z\":\"...\",\"-\":\"---\"}");
    round_trip("{\"l\":\"one\\ntwo\\n\",\"m\":\"one\\n  "
               "two\\n\\nthree\\n\",\"n\":\"one\\n\\n\",\"o\":\"\\none\\n\",\"p\":\"a "
               "\\nb\\n\",\"q\":\"a\\tb\\n\"}");
    round_trip("{\"u\":\"é \\ud83d\\ude00 \\u0085 \\u009b \\u2028 \\ufeff \\u001b[2J "
               "\\u007f\",\"é\":1,\"a b\":2,\"\":3,\"a\\nb\":4}");
    round_trip("{\"d\":\"50ms\",\"f\":\"xmit: func(frame: list<u8>, queue: u32) -> "
               "s32\",\"p\":\"./x/y\",\"v\":\"rhodes/v1\"}");
}

static void words_of_other_yamls_are_quoted(void **state)
{
    json_t *value =
        json_loads("{\"a\":\"no\",\"b\":\"1\",\"c\":\"50ms\",\"d\":\"service/tcp\"}", 0, NULL);
    CLEANUP(memory_freep) char *yaml = yaml_make(value);

    assert_string_equal(yaml, "a: \"no\"\nb: \"1\"\nc: 50ms\nd: service/tcp\n");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_manifest_becomes_json),
        isolated_test(a_json_manifest_is_taken_as_it_is),
        isolated_test(the_core_schema_of_yaml_1_2_decides_types),
        isolated_test(integers_go_to_the_ends_of_64_bits_and_no_further),
        isolated_test(numbers_that_json_lacks_are_refused),
        isolated_test(core_tags_are_obeyed_and_others_refused),
        isolated_test(a_file_holds_several_documents_and_empty_ones_are_passed_over),
        isolated_test(a_refused_file_leaves_the_documents_before_it),
        isolated_test(a_text_without_a_document_is_refused),
        isolated_test(a_document_must_be_a_mapping),
        isolated_test(a_key_that_stands_twice_is_refused_where_it_stands_again),
        isolated_test(keys_are_texts),
        isolated_test(a_tab_that_indents_is_refused),
        isolated_test(a_text_that_is_not_utf8_is_refused_at_its_byte),
        isolated_test(control_characters_are_refused),
        isolated_test(anchors_and_aliases_expand),
        isolated_test(a_bomb_of_aliases_is_refused_at_the_alias_that_goes_too_far),
        isolated_test(nesting_ends_at_its_limit),
        isolated_test(an_alias_cannot_go_round_the_limit_of_depth),
        isolated_test(anchors_end_at_their_limit),
        isolated_test(a_text_ends_at_its_limit),
        isolated_test(a_pointer_finds_its_line_and_column),
        isolated_test(a_pointer_to_what_is_missing_finds_what_would_hold_it),
        isolated_test(what_is_written_as_yaml_reads_back_the_same),
        isolated_test(words_of_other_yamls_are_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

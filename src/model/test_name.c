/* Names: what is one, what is none and why, and that ids and link names survive being written and
 * read. */
#include "model/test_help.h"

static void a_name_is_lower_case_letters_digits_and_dashes(void **state)
{
    const char *why = NULL;

    assert_int_equal(name_check("a", &why), 0);
    assert_int_equal(name_check("tcp-2", &why), 0);
    assert_int_equal(name_check("0", &why), 0);
    assert_null(why);
}

static void a_bad_name_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *name, *why;
    } cases[] = {
        { "", "empty" },       { "-a", "begins with" }, { "a-", "ends with" },   { "A", "capital" },
        { "a\nb", "control" }, { "a\x7f", "control" },  { "\xc3\xa4", "ASCII" }, { "a b", "space" },
        { "a_b", "'_'" },      { "a.b", "'.'" },        { "../x", "'.'" },       { "a/b", "'/'" },
        { "a:b", "':'" },      { "a%b", "other than" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = NULL;

        assert_int_equal(name_check(cases[i].name, &why), RHODES_INVALID);
        assert_contains(why, cases[i].why);
    }
}

static void a_name_may_have_63_letters_and_not_64(void **state)
{
    char name[10001];
    const char *why;

    memset(name, 'a', sizeof(name));
    name[63] = 0;
    assert_int_equal(name_check(name, &why), 0);
    name[63] = 'a';
    name[64] = 0;
    assert_int_equal(name_check(name, &why), RHODES_INVALID);
    assert_contains(why, "63");
    name[64] = 'a';
    name[10000] = 0;
    assert_int_equal(name_check(name, &why), RHODES_INVALID);
}

static void kinds_layers_and_protocols_have_names_both_ways(void **state)
{
    enum protocol protocol;
    enum kind kind;

    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        assert_int_equal(kind_from_name(kind_name(k), &kind), 0);
        assert_int_equal(kind, k);
        assert_int_equal(kind_from_collection(kind_collection(k), &kind), 0);
        assert_int_equal(kind, k);
    }
    for (enum protocol p = 0; p < PROTOCOLS_COUNT; p++) {
        assert_int_equal(protocol_from_name(protocol_name(p), &protocol), 0);
        assert_int_equal(protocol, p);
    }
    assert_int_equal(kind_from_name("service", &kind), RHODES_NOT_FOUND);
    assert_int_equal(kind_from_collection("Service", &kind), RHODES_NOT_FOUND);
    assert_int_equal(protocol_from_name("carrier-pigeon", &protocol), RHODES_NOT_FOUND);
    assert_string_equal(layer_name(LAYER_DRIVER), "driver");
    assert_int_equal(layer_letter(LAYER_APPLICATION), 'A');
    assert_int_equal(layer_letter(LAYER_HARDWARE), 'H');
}

static void a_resource_id_is_layer_and_name(void **state)
{
    char name[NAME_BYTES_MAX], id[RESOURCE_ID_BYTES_MAX];
    enum layer layer;

    assert_int_equal(resource_id_parse("service/tcp", '/', &layer, name), 0);
    assert_int_equal(layer, LAYER_SERVICE);
    assert_string_equal(name, "tcp");
    assert_int_equal(resource_id_parse("hardware.nic0", '.', &layer, name), 0);
    resource_id_make(layer, name, '/', id);
    assert_string_equal(id, "hardware/nic0");
}

static void what_is_no_resource_id_is_refused(void **state)
{
    static const char *const ids[] = { "",
                                       "service",
                                       "service/",
                                       "/tcp",
                                       "services/tcp",
                                       "service/a/b",
                                       "service.tcp",
                                       "service/../x",
                                       "Service/tcp",
                                       "servic/tcp" };
    char name[NAME_BYTES_MAX], text[9001];
    enum layer layer;

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_int_equal(resource_id_parse(ids[i], '/', &layer, name), RHODES_INVALID);
    }
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(resource_id_parse(text, '/', &layer, name), RHODES_INVALID);
    memcpy(text, "service/", 8);
    assert_int_equal(resource_id_parse(text, '/', &layer, name), RHODES_INVALID);
}

static void a_link_is_named_after_its_pair(void **state)
{
    char name[LINK_NAME_BYTES_MAX], caller[RESOURCE_ID_BYTES_MAX], callee[RESOURCE_ID_BYTES_MAX];

    assert_int_equal(link_name_make("application/httpclient", "service/tcp", name), 0);
    assert_string_equal(name, "application.httpclient:service.tcp");
    assert_int_equal(link_name_parse(name, caller, callee), 0);
    assert_string_equal(caller, "application/httpclient");
    assert_string_equal(callee, "service/tcp");
    assert_int_equal(link_name_make("x", "service/tcp", name), RHODES_INVALID);
    assert_int_equal(link_name_make("service/tcp", "x", name), RHODES_INVALID);
}

static void the_longest_pair_fits_and_what_is_no_link_name_is_refused(void **state)
{
    static const char *const names[] = {
        "", "service.tcp", "service.tcp:", ":service.tcp", "a:service.tcp", "service.tcp:a"
    };
    char name[LINK_NAME_BYTES_MAX], a[RESOURCE_ID_BYTES_MAX], b[RESOURCE_ID_BYTES_MAX];
    char plain[NAME_BYTES_MAX], text[400];

    memset(plain, 'x', sizeof(plain) - 1);
    plain[sizeof(plain) - 1] = 0;
    resource_id_make(LAYER_APPLICATION, plain, '/', a);
    assert_int_equal(link_name_make(a, a, name), 0);
    assert_int_equal(link_name_parse(name, a, b), 0);
    assert_string_equal(a, b);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(link_name_parse(names[i], a, b), RHODES_INVALID);
    }
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(link_name_parse(text, a, b), RHODES_INVALID);
    text[100] = ':';
    assert_int_equal(link_name_parse(text, a, b), RHODES_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_lower_case_letters_digits_and_dashes),
        cmocka_unit_test(a_bad_name_is_refused_with_its_reason),
        cmocka_unit_test(a_name_may_have_63_letters_and_not_64),
        cmocka_unit_test(kinds_layers_and_protocols_have_names_both_ways),
        cmocka_unit_test(a_resource_id_is_layer_and_name),
        cmocka_unit_test(what_is_no_resource_id_is_refused),
        cmocka_unit_test(a_link_is_named_after_its_pair),
        cmocka_unit_test(the_longest_pair_fits_and_what_is_no_link_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Function types: what is accepted and how it reads in canonical text, where everything lies, what
 * is refused and where. */
#include "base/hash.h"
#include "model/test_help.h"

static struct wit_function *parse(const char *text, const char *types)
{
    struct wit_function *f = NULL;
    struct wit_error error;

    if (wit_function_parse(text, types, &f, &error)) {
        fail_msg("%s: %s (line %u, column %u)", text, error.message, error.line, error.column);
    }
    return f;
}

static void canonical_text_is_the_same_however_it_was_written(void **state)
{
    static const struct {
        const char *text, *types, *canonical;
    } cases[] = {
        { "f:func()", NULL, "f: func()" },
        { " f :\n func ( ) -> u8 ; ", "", "f: func() -> u8" },
        { "xmit: func(frame: list<u8>, queue: u32,) -> s32", NULL,
          "xmit: func(frame: list<u8>, queue: u32) -> s32" },
        { "f: func(a: p)", "record p { x: u8, y: q, } type q = option<string>; // tail",
          "f: func(a: record{x: u8, y: option<string>})" },
        { "f: func(%list: e, A-B: bool)", "enum e{x,\ny}", "f: func(list: enum{x, y}, A-B: bool)" },
        { "f: func(a: record{t: tuple<u8, char>, e: enum{red}}) -> list<option<f64>>", NULL,
          "f: func(a: record{t: tuple<u8, char>, e: enum{red}}) -> list<option<f64>>" },
        { "f: func(a: A)", "type a = s64", "f: func(a: s64)" },
        { "f: func(a: u16, b: u64, c: s8, d: s16, e: f32)", "type x = list<u8>",
          "f: func(a: u16, b: u64, c: s8, d: s16, e: f32)" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wit_function *f, *again;
        f = parse(cases[i].text, cases[i].types);
        assert_string_equal(f->signature, cases[i].canonical);
        assert_true(f->id == hash_bytes(f->signature, strlen(f->signature)));
        again = parse(f->signature, NULL);
        assert_string_equal(again->signature, f->signature);
        wit_function_unref(again);
        wit_function_unref(f);
    }
}

static void everything_lies_where_the_canonical_abi_puts_it(void **state)
{
    struct wit_function *f = parse("f: func(a: u8, b: u64, c: string, d: option<u16>, e: bool, "
                                   "t: tuple<u8, u32>, o: option<u64>, z: enum{x, y}) -> list<u8>",
                                   NULL);
    static const uint32_t offsets[] = { 0, 8, 16, 24, 28, 32, 40, 56 };
    const struct wit_type *p = f->parameters;

    assert_int_equal(p->members_count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(p->offsets[i], offsets[i]);
    }
    assert_int_equal(p->align, 8);
    assert_int_equal(p->bytes, 64);
    assert_int_equal(p->members[2]->bytes, 8);
    assert_int_equal(p->members[2]->align, 4);
    assert_int_equal(p->members[3]->bytes, 4);
    assert_int_equal(p->members[3]->offsets[0], 2);
    assert_int_equal(p->members[6]->bytes, 16);
    assert_int_equal(p->members[6]->offsets[0], 8);
    assert_int_equal(p->members[7]->bytes, 1);
    assert_null(p->members[7]->members);
    assert_string_equal(p->members[7]->names[1], "y");
    assert_string_equal(p->names[5], "t");
    assert_int_equal(f->result->kind, WIT_LIST);
    assert_int_equal(f->result->members_count, 1);
    assert_int_equal(f->result->members[0]->kind, WIT_U8);
    wit_function_unref(f);
    f = parse("f: func()", NULL);
    assert_int_equal(f->parameters->bytes, 0);
    assert_int_equal(f->parameters->members_count, 0);
    assert_null(f->result);
    wit_function_unref(wit_function_ref(f));
    assert_null(wit_function_unref(f));
    assert_null(wit_function_unref(NULL));
}

static void what_is_wrong_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *types, *message;
        unsigned line, column;
    } cases[] = {
        { "", NULL, "expected the function's name, found the end", 1, 1 },
        { "f", NULL, "expected ':', found the end", 1, 2 },
        { "f: fun()", NULL, "expected func, found \"fun\"", 1, 4 },
        { "f: func", NULL, "expected '('", 1, 8 },
        { "f: func(", NULL, "expected parameter", 1, 9 },
        { "f: func(a)", NULL, "expected ':'", 1, 10 },
        { "f: func(a: )", NULL, "expected a type, found \")\"", 1, 12 },
        { "f: func(a: u8", NULL, "expected ')'", 1, 14 },
        { "f: func(a: u8 b: u8)", NULL, "expected ')', found \"b\"", 1, 15 },
        { "f: func() u8", NULL, "expected the end, found \"u8\"", 1, 11 },
        { "f: func() ->", NULL, "expected a type, found the end", 1, 13 },
        { "f: func(a: u8,\n  a: u8)", NULL, "a stands twice", 2, 3 },
        { "f: func(a: u8, A: u8)", NULL, "a stands twice", 1, 16 },
        { "f: func(a: x)", NULL, "there is no type \"x\"", 1, 12 },
        { "f: func(a: u33)", NULL, "there is no type \"u33\"", 1, 12 },
        { "f: func(a: resource)", NULL, "resource is not supported yet", 1, 12 },
        { "f: func(a: result<u8>)", NULL, "result is not supported yet", 1, 12 },
        { "f: async func()", NULL, "async is not supported yet", 1, 4 },
        { "f: func(a: list)", NULL, "expected '<', found \")\"", 1, 16 },
        { "f: func(a: list<>)", NULL, "list without a type", 1, 16 },
        { "f: func(a: list<u8, u8>)", NULL, "list takes one type", 1, 16 },
        { "f: func(a: option<u8, u8>)", NULL, "option takes one type", 1, 18 },
        { "f: func(a: tuple<>)", NULL, "tuple without a type", 1, 17 },
        { "f: func(a: record{})", NULL, "record without a field", 1, 18 },
        { "f: func(a: enum{})", NULL, "enum without a case", 1, 16 },
        { "f: func(a: enum{x: u8})", NULL, "expected '}', found \":\"", 1, 18 },
        { "f_g: func()", NULL, "expected ':', found \"_\"", 1, 2 },
        { "aB: func()", NULL, "not kebab-case", 1, 1 },
        { "a--b: func()", NULL, "not kebab-case", 1, 1 },
        { "a-1: func()", NULL, "not kebab-case", 1, 1 },
        { "a-: func()", NULL, "not kebab-case", 1, 1 },
        { "f: func() // \xc3\xa4\n\xc3\xa4", NULL, "expected the end, found \"\\xc3\"", 2, 1 },
        { "/* \xc3\xa4 */ ?", NULL, "found \"?\"", 1, 9 },
        { "f: func() /* open", NULL, "expected the end, found \"/\"", 1, 11 },
        { "f: func()\x1b", NULL, "found \"\\x1b\"", 1, 10 },
        { "f: func()", "variant v { a }", "types: variant is not supported yet", 1, 1 },
        { "f: func()", "u8", "types: expected record, enum or type, found \"u8\"", 1, 1 },
        { "f: func()", "record", "types: expected a name, found the end", 1, 7 },
        { "f: func()", "type u8 = u16", "types: \"u8\" is a word of WIT", 1, 6 },
        { "f: func()", "type flags = u16", "types: \"flags\" is a word of WIT", 1, 6 },
        { "f: func()", "type a = u8; enum A { x }", "types: the type \"A\" stands twice", 1, 19 },
        { "f: func()", "type a u8", "expected '=', found", 1, 8 },
        { "f: func()", "type a", "types: expected '=', found the end", 1, 7 },
        { "f: func()", "enum e", "types: expected '{', found the end", 1, 7 },
        { "f: func()", "enum e;", "types: expected '{', found \";\"", 1, 7 },
        { "f: func()", "record r { a: u8", "types: expected '}', found the end", 1, 17 },
        { "f: func()", "type a = b; type b = a", "types: the type \"a\" contains itself", 1, 22 },
        { "f: func()", "record r { a: list<r> }", "types: the type \"r\" contains itself", 1, 20 },
        { "f: func(a: u8 c: u8)", "type x = zeit", "types: there is no type \"zeit\"", 1, 10 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wit_function *f;
        struct wit_error error;

        assert_int_equal(wit_function_parse(cases[i].text, cases[i].types, &f, &error),
                         RHODES_INVALID);
        assert_contains(error.message, cases[i].message);
        if (error.line != cases[i].line || error.column != cases[i].column) {
            fail_msg("%s | %s: at %u:%u", cases[i].text, error.message, error.line, error.column);
        }
    }
}

static int parse_result(const char *text, const char *types, struct wit_error *error)
{
    struct wit_function *f;
    int r = wit_function_parse(text, types, &f, error);

    if (r == 0) {
        wit_function_unref(f);
    }
    return r;
}

/* "f: func(a: list<list<...u8...>>)" with `depth` levels in all. */
static void nested(char *text, size_t room, unsigned depth)
{
    size_t used = (size_t)snprintf(text, room, "f: func(a: ");

    for (unsigned i = 1; i < depth; i++) {
        used += (size_t)snprintf(text + used, room - used, "list<");
    }
    used += (size_t)snprintf(text + used, room - used, "u8");
    for (unsigned i = 1; i < depth; i++) {
        used += (size_t)snprintf(text + used, room - used, ">");
    }
    snprintf(text + used, room - used, ")");
}

static void types_nest_to_the_limit_and_not_beyond(void **state)
{
    struct wit_error error;
    char text[8000];

    nested(text, sizeof(text), WIT_DEPTH_MAX);
    assert_int_equal(parse_result(text, NULL, &error), 0);
    nested(text, sizeof(text), WIT_DEPTH_MAX + 1);
    assert_int_equal(parse_result(text, NULL, &error), RHODES_OVER_LIMIT);
    assert_contains(error.message, "deeper than 16");
    nested(text, sizeof(text), 1000);
    assert_int_equal(parse_result(text, NULL, &error), RHODES_OVER_LIMIT);
}

/* t0 = u8, then `count` aliases, each of the one before (or after, when `forward`). */
static void chained(char *text, size_t room, unsigned count, bool forward)
{
    size_t used = 0;

    for (unsigned i = 0; i <= count; i++) {
        unsigned n = forward ? count - i : i;

        used += n == 0 ? (size_t)snprintf(text + used, room - used, "type t0 = u8;")
                       : (size_t)snprintf(text + used, room - used, "type t%u = t%u;", n, n - 1);
    }
}

static void chains_of_names_count_as_depth(void **state)
{
    struct wit_error error;
    char types[8000];

    for (int forward = 0; forward < 2; forward++) {
        /* t0 has 2 levels (the name and u8), so t14 has 16. */
        chained(types, sizeof(types), WIT_DEPTH_MAX - 2, forward);
        assert_int_equal(parse_result("f: func(a: t14)", types, &error), 0);
        assert_int_equal(parse_result("f: func(a: list<t14>)", types, &error), RHODES_OVER_LIMIT);
        chained(types, sizeof(types), 300, forward);
        assert_int_equal(parse_result("f: func()", types, &error), RHODES_OVER_LIMIT);
    }
}

static void a_list_of_members_ends_at_its_limit(void **state)
{
    struct wit_error error;
    char text[4000];

    for (unsigned count = WIT_FIELDS_MAX; count <= WIT_FIELDS_MAX + 1; count++) {
        size_t used = (size_t)snprintf(text, sizeof(text), "f: func(");

        for (unsigned i = 0; i < count; i++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "a%u: u8,", i);
        }
        snprintf(text + used, sizeof(text) - used, ")");
        assert_int_equal(parse_result(text, NULL, &error),
                         count > WIT_FIELDS_MAX ? RHODES_OVER_LIMIT : 0);
    }
    assert_contains(error.message, "more than 64 parameters");
}

static void texts_and_names_end_at_their_limit(void **state)
{
    struct wit_error error;
    char text[WIT_TEXT_BYTES_MAX + 2];

    memset(text, ' ', sizeof(text));
    memcpy(text, "f: func()", 9);
    text[WIT_TEXT_BYTES_MAX] = 0;
    assert_int_equal(parse_result(text, NULL, &error), 0);
    text[WIT_TEXT_BYTES_MAX] = ' ';
    text[WIT_TEXT_BYTES_MAX + 1] = 0;
    assert_int_equal(parse_result(text, NULL, &error), RHODES_OVER_LIMIT);
    memset(text, ' ', 9);
    assert_int_equal(parse_result("f: func()", text, &error), RHODES_OVER_LIMIT);
    assert_contains(error.message, "types: longer than 8192 bytes");
    memset(text, 'a', 64);
    strcpy(text + 64, ": func()");
    assert_int_equal(parse_result(text, NULL, &error), 0);
    text[64] = 'a';
    strcpy(text + 65, ": func()");
    assert_int_equal(parse_result(text, NULL, &error), RHODES_OVER_LIMIT);
}

/* t0 = u8, then `count` tuples of `fan` times the one before. */
static void growing(char *text, size_t room, unsigned count, unsigned fan)
{
    size_t used = (size_t)snprintf(text, room, "type t0 = u8;");

    for (unsigned i = 1; i <= count; i++) {
        used += (size_t)snprintf(text + used, room - used, "type t%u = tuple<", i);
        for (unsigned k = 0; k < fan; k++) {
            used += (size_t)snprintf(text + used, room - used, "t%u,", i - 1);
        }
        used += (size_t)snprintf(text + used, room - used, ">;");
    }
}

static void a_type_that_grows_by_its_names_is_refused(void **state)
{
    struct wit_error error;
    char types[8000];

    growing(types, sizeof(types), 2, 44); /* 44 * 44 times "u8, " are less than 8192 bytes */
    assert_int_equal(parse_result("f: func(a: t2)", types, &error), 0);
    growing(types, sizeof(types), 2, 46);
    assert_int_equal(parse_result("f: func()", types, &error), 0);
    assert_int_equal(parse_result("f: func(a: t2)", types, &error), RHODES_OVER_LIMIT);
    assert_contains(error.message, "the signature is longer than 8192 bytes");
    growing(types, sizeof(types), 4, 16); /* 65536 bytes */
    assert_int_equal(parse_result("f: func()", types, &error), 0);
    growing(types, sizeof(types), 4, 17);
    assert_int_equal(parse_result("f: func()", types, &error), RHODES_OVER_LIMIT);
    assert_contains(error.message, "types: one value would take more than 65536 bytes");
}

static void a_type_used_twice_is_built_once_and_written_twice(void **state)
{
    struct wit_function *f = parse("f: func(a: p, b: p) -> p", "record p { x: u8 }");

    assert_ptr_equal(f->parameters->members[0], f->parameters->members[1]);
    assert_string_equal(f->signature,
                        "f: func(a: record{x: u8}, b: record{x: u8}) -> record{x: u8}");
    wit_function_unref(f);
}

static void many_short_definitions_stay_in_their_table(void **state)
{
    struct wit_error error;
    char types[WIT_TEXT_BYTES_MAX];

    for (const char *tail = ";}x{="; *tail; tail++) {
        size_t used = 0;

        for (char a = 'a'; a <= 'z'; a++) {
            used += (size_t)snprintf(types + used, sizeof(types) - used, "enum %c%c", a, *tail);
        }
        assert_int_equal(parse_result("f: func()", types, &error), RHODES_INVALID);
    }
}

static void devices_offer_functions_in_canonical_text(void **state)
{
    for (enum device_kind k = DEVICE_NONE; k <= DEVICE_SIM; k++) {
        size_t count;
        const char *const *list = device_functions(k, &count);

        assert_int_equal(count, k == DEVICE_NONE ? 0 : 4);
        for (size_t i = 0; i < count; i++) {
            struct wit_function *f = parse(list[i], NULL);

            assert_string_equal(f->signature, list[i]);
            wit_function_unref(f);
        }
    }
    assert_string_equal(device_kind_name(DEVICE_SIM), "sim");
    assert_string_equal(restart_name(RESTART_NEVER), "never");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text_is_the_same_however_it_was_written),
        cmocka_unit_test(everything_lies_where_the_canonical_abi_puts_it),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_place),
        cmocka_unit_test(types_nest_to_the_limit_and_not_beyond),
        cmocka_unit_test(chains_of_names_count_as_depth),
        cmocka_unit_test(a_list_of_members_ends_at_its_limit),
        cmocka_unit_test(texts_and_names_end_at_their_limit),
        cmocka_unit_test(a_type_that_grows_by_its_names_is_refused),
        cmocka_unit_test(a_type_used_twice_is_built_once_and_written_twice),
        cmocka_unit_test(many_short_definitions_stay_in_their_table),
        cmocka_unit_test(devices_offer_functions_in_canonical_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

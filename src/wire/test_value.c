/* Tests of wire/value*.c: what is written is read back, what does not fit its type is refused, and
 * bytes from elsewhere are never believed. */
#include "wire/value.h"

#include <stdio.h>
#include <string.h>

#include "test/lib/isolated.h"
#include "wire/call.h"

static struct wit_function *parse(const char *text)
{
    struct wit_function *f = NULL;
    struct wit_error error;

    if (wit_function_parse(text, NULL, &f, &error) != 0) {
        fail_msg("%s: %s", text, error.message);
    }
    return f;
}

struct fixture {
    struct wit_function *f;
    struct rhodes_writer *w;
    struct rhodes_reader *r;
    const void *body;
    size_t bytes;
};

static struct fixture fixture_make(const char *text)
{
    struct fixture x = { .f = parse(text) };

    assert_int_equal(value_writer_new(x.f->parameters, CALL_BODY_BYTES_MAX, &x.w), 0);
    value_writer_parameters(x.w, x.f->parameters);
    assert_int_equal(value_reader_new(&x.r), 0);
    return x;
}

static void fixture_read(struct fixture *x)
{
    assert_int_equal(value_writer_body(x->w, &x->body, &x->bytes), 0);
    assert_int_equal(value_check(x->f->parameters, x->body, x->bytes), 0);
    assert_int_equal(value_reader_parameters(x->r, x->f->parameters, x->body, x->bytes), 0);
}

static void fixture_end(struct fixture *x)
{
    value_writer_free(x->w);
    value_reader_free(x->r);
    wit_function_unref(x->f);
}

static void put_every_kind(struct rhodes_writer *w)
{
    assert_int_equal(rhodes_put_bool(w, true), 0);
    assert_int_equal(rhodes_put_u8(w, 0xfe), 0);
    assert_int_equal(rhodes_put_u16(w, 0xfedc), 0);
    assert_int_equal(rhodes_put_u32(w, 0xfedcba98), 0);
    assert_int_equal(rhodes_put_u64(w, 0xfedcba9876543210), 0);
    assert_int_equal(rhodes_put_s8(w, -128), 0);
    assert_int_equal(rhodes_put_s16(w, -32768), 0);
    assert_int_equal(rhodes_put_s32(w, INT32_MIN), 0);
    assert_int_equal(rhodes_put_s64(w, INT64_MIN), 0);
    assert_int_equal(rhodes_put_f32(w, 1.5f), 0);
    assert_int_equal(rhodes_put_f64(w, -2.25), 0);
    assert_int_equal(rhodes_put_char(w, 0x1f600), 0);
    assert_int_equal(rhodes_put_string(w, "gr\xc3\xbc\xc3\x9f", 6), 0);
    assert_int_equal(rhodes_put_bytes(w, "\0\1\2", 3), 0);
    assert_int_equal(rhodes_put_list(w, 2), 0);
    assert_int_equal(rhodes_put_u32(w, 7), 0);
    assert_int_equal(rhodes_put_u32(w, 8), 0);
    assert_int_equal(rhodes_put_end(w), 0);
    assert_int_equal(rhodes_put_begin(w), 0);
    assert_int_equal(rhodes_put_u8(w, 9), 0);
    assert_int_equal(rhodes_put_string(w, "", 0), 0);
    assert_int_equal(rhodes_put_end(w), 0);
    assert_int_equal(rhodes_put_begin(w), 0);
    assert_int_equal(rhodes_put_u8(w, 10), 0);
    assert_int_equal(rhodes_put_u64(w, 11), 0);
    assert_int_equal(rhodes_put_end(w), 0);
    assert_int_equal(rhodes_put_option(w, true), 0);
    assert_int_equal(rhodes_put_string(w, "there", 5), 0);
    assert_int_equal(rhodes_put_option(w, false), 0);
    assert_int_equal(rhodes_type_kind(rhodes_put_next(w)), RHODES_ENUM);
    assert_int_equal(rhodes_put_enum(w, 1), 0);
    assert_null(rhodes_put_next(w));
}

static void get_composites(struct rhodes_reader *r)
{
    bool present;
    uint8_t b;
    uint32_t d, u, count;
    uint64_t e;
    const char *text;
    size_t n;

    assert_int_equal(rhodes_get_list(r, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(rhodes_get_u32(r, &d), 0);
    assert_int_equal(d, 7);
    assert_int_equal(rhodes_get_end(r), RHODES_TYPE_MISMATCH); /* one is left */
    assert_int_equal(rhodes_get_u32(r, &d), 0);
    assert_int_equal(d, 8);
    assert_int_equal(rhodes_get_end(r), 0);
    assert_int_equal(rhodes_get_begin(r), 0);
    assert_int_equal(rhodes_get_u8(r, &b), 0);
    assert_int_equal(rhodes_get_string(r, &text, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(rhodes_get_end(r), 0);
    assert_int_equal(rhodes_get_begin(r), 0);
    assert_int_equal(rhodes_get_u8(r, &b), 0);
    assert_int_equal(rhodes_get_u64(r, &e), 0);
    assert_int_equal(e, 11);
    assert_int_equal(rhodes_get_end(r), 0);
    assert_int_equal(rhodes_get_option(r, &present), 0);
    assert_true(present);
    assert_int_equal(rhodes_get_string(r, &text, &n), 0);
    assert_memory_equal(text, "there", 5);
    assert_int_equal(rhodes_get_option(r, &present), 0);
    assert_false(present);
    assert_int_equal(rhodes_get_enum(r, &u), 0);
    assert_int_equal(u, 1);
    assert_null(rhodes_get_next(r));
    assert_int_equal(rhodes_get_u8(r, &b), RHODES_TYPE_MISMATCH);
}

static void every_kind_comes_back_as_it_was_put(void **state)
{
    struct fixture x = fixture_make("f: func(a: bool, b: u8, c: u16, d: u32, e: u64, g: s8, h: "
                                    "s16, i: s32, j: s64, k: f32, l: f64, m: char, "
                                    "n: string, o: list<u8>, p: list<u32>, q: record{x: u8, y: "
                                    "string}, r: tuple<u8, u64>, s: option<string>, "
                                    "t: option<u64>, u: enum{one, two})");
    bool a;
    uint8_t b;
    uint16_t c;
    uint32_t d, m;
    uint64_t e;
    int8_t g;
    int16_t h;
    int32_t i;
    int64_t j;
    float k;
    double l;
    const char *text;
    const void *block;
    size_t n;

    put_every_kind(x.w);
    fixture_read(&x);
    assert_int_equal(rhodes_get_bool(x.r, &a), 0);
    assert_int_equal(rhodes_get_u8(x.r, &b), 0);
    assert_int_equal(rhodes_get_u16(x.r, &c), 0);
    assert_int_equal(rhodes_get_u32(x.r, &d), 0);
    assert_int_equal(rhodes_get_u64(x.r, &e), 0);
    assert_int_equal(rhodes_get_s8(x.r, &g), 0);
    assert_int_equal(rhodes_get_s16(x.r, &h), 0);
    assert_int_equal(rhodes_get_s32(x.r, &i), 0);
    assert_int_equal(rhodes_get_s64(x.r, &j), 0);
    assert_int_equal(rhodes_get_f32(x.r, &k), 0);
    assert_int_equal(rhodes_get_f64(x.r, &l), 0);
    assert_int_equal(rhodes_get_char(x.r, &m), 0);
    assert_true(a && b == 0xfe && c == 0xfedc && d == 0xfedcba98 && e == 0xfedcba9876543210);
    assert_true(g == -128 && h == -32768 && i == INT32_MIN && j == INT64_MIN);
    assert_true(k == 1.5f && l == -2.25 && m == 0x1f600);
    assert_int_equal(rhodes_get_string(x.r, &text, &n), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(text, "gr\xc3\xbc\xc3\x9f", 6);
    assert_int_equal(rhodes_get_bytes(x.r, &block, &n), 0);
    assert_int_equal(n, 3);
    assert_memory_equal(block, "\0\1\2", 3);
    get_composites(x.r);
    fixture_end(&x);
}

static void the_layout_is_the_canonical_abi(void **state)
{
    struct fixture x = fixture_make("f: func(a: u8, b: u32, c: option<u16>, d: string)");
    static const uint8_t wanted[] = { 1, 0,  0, 0, 2, 0, 0, 0, 1, 0,   3,
                                      0, 20, 0, 0, 0, 2, 0, 0, 0, 'h', 'i' };

    rhodes_put_u8(x.w, 1);
    rhodes_put_u32(x.w, 2);
    rhodes_put_option(x.w, true);
    rhodes_put_u16(x.w, 3);
    rhodes_put_string(x.w, "hi", 2);
    fixture_read(&x);
    assert_int_equal(x.bytes, sizeof(wanted));
    assert_memory_equal(x.body, wanted, sizeof(wanted));
    fixture_end(&x);
}

static void a_function_without_parameters_has_an_empty_body(void **state)
{
    struct fixture x = fixture_make("f: func()");

    assert_null(rhodes_put_next(x.w));
    fixture_read(&x);
    assert_int_equal(x.bytes, 0);
    assert_null(rhodes_get_next(x.r));
    assert_int_equal(rhodes_put_u8(x.w, 1), RHODES_TYPE_MISMATCH);
    fixture_end(&x);
}

static void a_put_of_another_type_is_refused_and_sticks(void **state)
{
    struct fixture x = fixture_make("f: func(a: u32)");

    assert_int_equal(rhodes_put_s32(x.w, 1), RHODES_TYPE_MISMATCH);
    assert_int_equal(rhodes_put_u32(x.w, 1), RHODES_TYPE_MISMATCH);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), RHODES_TYPE_MISMATCH);
    value_writer_parameters(x.w, x.f->parameters);
    assert_int_equal(rhodes_put_u32(x.w, 1), 0);
    fixture_read(&x);
    fixture_end(&x);
}

static void every_put_but_the_right_one_is_refused(void **state)
{
    struct fixture x = fixture_make("f: func(a: list<u16>)");
    struct rhodes_writer *w = x.w;

#define REFUSED(put)                                                                               \
    do {                                                                                           \
        value_writer_parameters(w, x.f->parameters);                                               \
        assert_int_equal(put, RHODES_TYPE_MISMATCH);                                               \
    } while (0)
    REFUSED(rhodes_put_bool(w, true));
    REFUSED(rhodes_put_u16(w, 1));
    REFUSED(rhodes_put_char(w, 'a'));
    REFUSED(rhodes_put_enum(w, 0));
    REFUSED(rhodes_put_string(w, "", 0));
    REFUSED(rhodes_put_bytes(w, "", 0));
    REFUSED(rhodes_put_begin(w));
    REFUSED(rhodes_put_option(w, false));
    REFUSED(rhodes_put_end(w));
    value_writer_parameters(w, x.f->parameters);
    assert_int_equal(rhodes_put_list(w, 0), 0);
    assert_int_equal(rhodes_put_u16(w, 1), RHODES_TYPE_MISMATCH);
    fixture_end(&x);
}

static void what_is_incomplete_is_invalid(void **state)
{
    struct fixture x = fixture_make("f: func(a: u32, b: list<u8>)");

    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), RHODES_INVALID);
    rhodes_put_u32(x.w, 1);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), RHODES_INVALID);
    rhodes_put_list(x.w, 1);
    rhodes_put_u8(x.w, 1);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), RHODES_INVALID);
    rhodes_put_end(x.w);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), 0);
    assert_int_equal(rhodes_put_end(x.w),
                     RHODES_TYPE_MISMATCH); /* the parameters are not the user's to end */
    fixture_end(&x);
}

static void a_record_as_a_result_is_begun_and_ended(void **state)
{
    struct fixture x = fixture_make("f: func() -> record{a: u8}");

    value_writer_reset(x.w, x.f->result);
    assert_int_equal(rhodes_put_begin(x.w), 0);
    assert_int_equal(rhodes_put_u8(x.w, 5), 0);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), RHODES_INVALID);
    assert_int_equal(rhodes_put_end(x.w), 0);
    assert_int_equal(value_writer_body(x.w, &x.body, &x.bytes), 0);
    assert_int_equal(x.bytes, 1);
    fixture_end(&x);
}

static void bad_texts_chars_and_cases_are_invalid(void **state)
{
    static const char *const texts[] = { "\xff",
                                         "\xc0\x80",
                                         "\xc3",
                                         "\xe0\x80\x80",
                                         "\xed\xa0\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xf0\x8f\x80\x80",
                                         "abcdefgh\x80",
                                         "\xe2\x82",
                                         "\xf8\x88\x80\x80\x80" };
    struct fixture x = fixture_make("f: func(a: string)"), y = fixture_make("f: func(a: char)"),
                   z = fixture_make("f: func(a: enum{one, two})");
    static const uint32_t chars[] = { 0xd800, 0xdfff, 0x110000 };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        value_writer_parameters(x.w, x.f->parameters);
        assert_int_equal(rhodes_put_string(x.w, texts[i], strlen(texts[i])), RHODES_INVALID);
    }
    for (size_t i = 0; i < 3; i++) {
        value_writer_parameters(y.w, y.f->parameters);
        assert_int_equal(rhodes_put_char(y.w, chars[i]), RHODES_INVALID);
    }
    assert_int_equal(rhodes_put_enum(z.w, 2), RHODES_INVALID);
    fixture_end(&x);
    fixture_end(&y);
    fixture_end(&z);
}

static void the_limit_holds_exactly(void **state)
{
    struct wit_function *f = parse("f: func(a: list<u8>)");
    struct rhodes_writer *w;
    char block[101] = { 0 };

    assert_int_equal(value_writer_new(f->parameters, 108, &w), 0);
    value_writer_parameters(w, f->parameters);
    assert_int_equal(rhodes_put_bytes(w, block, 100), 0);
    value_writer_parameters(w, f->parameters);
    assert_int_equal(rhodes_put_bytes(w, block, 101), RHODES_OVER_LIMIT);
    assert_int_equal(rhodes_put_u8(w, 0), RHODES_OVER_LIMIT);
    value_writer_parameters(w, f->parameters);
    assert_int_equal(rhodes_put_list(w, UINT32_MAX), RHODES_OVER_LIMIT);
    value_writer_parameters(w, f->parameters);
    assert_int_equal(rhodes_put_list(w, 100), 0);
    value_writer_free(w);
    wit_function_unref(f);
}

static void types_tell_their_members_and_names(void **state)
{
    struct wit_function *f = parse("f: func(a: list<u8>, b: enum{x, y}) -> option<string>");
    const struct rhodes_type *p = (const struct rhodes_type *)f->parameters;
    const struct rhodes_type *r = (const struct rhodes_type *)f->result;
    const struct rhodes_type *e = rhodes_type_member(p, 1);

    assert_int_equal(rhodes_type_kind(p), RHODES_RECORD);
    assert_int_equal(rhodes_type_count(p), 2);
    assert_string_equal(rhodes_type_name(p, 0), "a");
    assert_null(rhodes_type_name(p, 2));
    assert_null(rhodes_type_member(p, 2));
    assert_int_equal(rhodes_type_kind(rhodes_type_member(rhodes_type_member(p, 0), 0)), RHODES_U8);
    assert_string_equal(rhodes_type_name(e, 1), "y");
    assert_int_equal(rhodes_type_count(e), 2);
    assert_null(rhodes_type_member(e, 0));
    assert_int_equal(rhodes_type_kind(r), RHODES_OPTION);
    assert_int_equal(rhodes_type_count(r), 1);
    assert_int_equal(rhodes_type_kind(rhodes_type_member(r, 0)), RHODES_STRING);
    wit_function_unref(f);
}

static int check(const char *parameters, const void *body, size_t bytes)
{
    char text[256];
    struct wit_function *f;
    int r;

    snprintf(text, sizeof(text), "f: func(%s)", parameters);
    f = parse(text);
    r = value_check(f->parameters, body, bytes);
    wit_function_unref(f);
    return r;
}

static void a_body_that_cannot_be_is_garbage(void **state)
{
    static const uint32_t past[] = { 8, 1 }, far[] = { 0xffffffff, 1 }, huge[] = { 8, 0xffffffff };
    static const uint32_t odd[] = { 9, 1, 0, 0 }, good[] = { 8, 2, 1, 2 },
                          none[] = { 0xffffffff, 0 };
    static const uint32_t surrogate[] = { 0xd800 };
    static const uint32_t twice[] = { 16, 2, 16, 2, 1, 2 }, once[] = { 16, 2, 24, 2, 1, 2, 3, 4 };

    assert_int_equal(check("a: u32", "abc", 3), RHODES_GARBAGE);
    assert_int_equal(check("a: u32", "abcd", 4), 0);
    assert_int_equal(check("a: bool", "\2", 1), RHODES_GARBAGE);
    assert_int_equal(check("a: enum{x, y}", "\2", 1), RHODES_GARBAGE);
    assert_int_equal(check("a: option<u8>", "\2\0", 2), RHODES_GARBAGE);
    assert_int_equal(check("a: option<bool>", "\1\2", 2), RHODES_GARBAGE);
    assert_int_equal(check("a: option<bool>", "\0\2", 2), 0); /* absent: not looked at */
    assert_int_equal(check("a: tuple<u8, bool>", "\1\2", 2), RHODES_GARBAGE);
    assert_int_equal(check("a: char", surrogate, 4), RHODES_GARBAGE);
    assert_int_equal(check("a: string", past, 8), RHODES_GARBAGE);
    assert_int_equal(check("a: string", far, 8), RHODES_GARBAGE);
    assert_int_equal(check("a: string", huge, 8), RHODES_GARBAGE);
    assert_int_equal(check("a: string", "\10\0\0\0\1\0\0\0\xff", 9), RHODES_GARBAGE);
    assert_int_equal(check("a: list<bool>", "\10\0\0\0\2\0\0\0\1\2", 10), RHODES_GARBAGE);
    assert_int_equal(check("a: list<u32>", odd, 16), RHODES_GARBAGE);
    assert_int_equal(check("a: list<u32>", good, 16), 0);
    assert_int_equal(check("a: list<u32>", good, 15), RHODES_GARBAGE);
    assert_int_equal(check("a: list<u32>", none, 8), 0);
    assert_int_equal(check("a: list<u32>, b: list<u32>", twice, 24), RHODES_GARBAGE);
    assert_int_equal(check("a: list<u32>, b: list<u32>", once, 32), 0);
}

static void overlapping_lists_cannot_multiply_the_work(void **state)
{
    /* A list of 1000 lists that all name the same 1000 lists ... would be 10^9 elements of 8 KiB.
     */
    static uint32_t body[2 + 2 * 1000];

    body[0] = 8;
    body[1] = 1000;
    for (size_t i = 0; i < 1000; i++) {
        body[2 + 2 * i] = 8;
        body[3 + 2 * i] = 1000;
    }
    assert_int_equal(check("a: list<list<list<string>>>", body, sizeof(body)), RHODES_GARBAGE);
}

static void a_reader_checks_what_was_not_checked_before(void **state)
{
    static const uint32_t past[] = { 8, 1 };
    struct fixture x = fixture_make("f: func(a: list<u32>)"), y = fixture_make("f: func(a: bool)");
    struct fixture z = fixture_make("f: func(a: string)");
    uint32_t count;
    const char *text;
    size_t n;
    bool b;

    assert_int_equal(value_reader_parameters(x.r, x.f->parameters, past, 7), RHODES_GARBAGE);
    assert_int_equal(rhodes_get_list(x.r, &count), RHODES_TYPE_MISMATCH);
    assert_int_equal(value_reader_parameters(x.r, x.f->parameters, past, 8), 0);
    assert_int_equal(rhodes_get_list(x.r, &count), RHODES_GARBAGE);
    assert_int_equal(value_reader_parameters(y.r, y.f->parameters, "\7", 1), 0);
    assert_int_equal(rhodes_get_bool(y.r, &b), RHODES_GARBAGE);
    assert_int_equal(value_reader_parameters(z.r, z.f->parameters, "\10\0\0\0\1\0\0\0\xff", 9), 0);
    assert_int_equal(rhodes_get_string(z.r, &text, &n), RHODES_GARBAGE);
    fixture_end(&x);
    fixture_end(&y);
    fixture_end(&z);
}

/* Random values of random types, from a fixed seed: written, checked, read back and compared. */
struct dice {
    uint64_t state;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(d->state >> 33) % sides;
}

static void type_text(struct dice *d, char *text, size_t room, unsigned depth)
{
    static const char *const leaves[] = {
        "bool", "u8",  "u16", "u32", "u64",  "s8",     "s16",
        "s32",  "s64", "f32", "f64", "char", "string", "list<u8>"
    };
    size_t used = strlen(text);
    uint32_t which = roll(d, depth ? 20 : 14);
    const char *open = which == 14   ? "list<"
                       : which == 15 ? "option<"
                       : which == 16 ? "tuple<"
                                     : "record{a: ";

    if (which < 14) {
        snprintf(text + used, room - used, "%s", leaves[which]);
        return;
    }
    if (which == 18) {
        snprintf(text + used, room - used, "enum{x, y, z}");
        return;
    }
    snprintf(text + used, room - used, "%s", open);
    type_text(d, text, room, depth - 1);
    if (which >= 16) {
        strncat(text, which == 16 ? ", " : ", b: ", room - strlen(text) - 1);
        type_text(d, text, room, depth - 1);
    }
    strncat(text, which <= 16 ? ">" : "}", room - strlen(text) - 1);
}

/* Bool, integers and floats. */
static uint64_t put_random_number(enum rhodes_kind kind, uint32_t v, struct rhodes_writer *w)
{
    switch ((unsigned)kind) {
    case RHODES_BOOL:
        v &= 1;
        assert_int_equal(rhodes_put_bool(w, v), 0);
        return v;
    case RHODES_U8:
        assert_int_equal(rhodes_put_u8(w, (uint8_t)v), 0);
        return (uint8_t)v;
    case RHODES_U16:
        assert_int_equal(rhodes_put_u16(w, (uint16_t)v), 0);
        return (uint16_t)v;
    case RHODES_U32:
        assert_int_equal(rhodes_put_u32(w, v), 0);
        return v;
    case RHODES_U64:
        assert_int_equal(rhodes_put_u64(w, v * 3ull), 0);
        return v * 3ull;
    case RHODES_S8:
        assert_int_equal(rhodes_put_s8(w, (int8_t)v), 0);
        return (uint64_t)(int8_t)v;
    case RHODES_S16:
        assert_int_equal(rhodes_put_s16(w, (int16_t)v), 0);
        return (uint64_t)(int16_t)v;
    case RHODES_S32:
        assert_int_equal(rhodes_put_s32(w, (int32_t)v), 0);
        return (uint64_t)(int32_t)v;
    case RHODES_S64:
        assert_int_equal(rhodes_put_s64(w, -(int64_t)v), 0);
        return (uint64_t) - (int64_t)v;
    case RHODES_F32:
        v &= 0xffff;
        assert_int_equal(rhodes_put_f32(w, (float)v), 0);
        return v;
    case RHODES_F64:
        assert_int_equal(rhodes_put_f64(w, v), 0);
        return v;
    default:
        abort();
    }
}

static uint64_t put_random(struct dice *d, struct rhodes_writer *w)
{
    const struct rhodes_type *t = rhodes_put_next(w);
    uint32_t v = roll(d, UINT32_MAX), n = v % 4;
    uint64_t sum = 0;

    if (rhodes_type_kind(t) <= RHODES_F64) {
        return put_random_number(rhodes_type_kind(t), v, w);
    }
    switch ((unsigned)rhodes_type_kind(t)) {
    case RHODES_CHAR:
        v %= 0xd800;
        assert_int_equal(rhodes_put_char(w, v), 0);
        return v;
    case RHODES_STRING:
        assert_int_equal(rhodes_put_string(w, "abcd", n), 0);
        return n;
    case RHODES_ENUM:
        assert_int_equal(rhodes_put_enum(w, v % 3), 0);
        return v % 3;
    case RHODES_LIST:
        assert_int_equal(rhodes_put_list(w, n), 0);
        break;
    case RHODES_OPTION:
        n &= 1;
        assert_int_equal(rhodes_put_option(w, n), 0);
        break;
    case RHODES_RECORD:
    case RHODES_TUPLE:
        n = rhodes_type_count(t);
        assert_int_equal(rhodes_put_begin(w), 0);
        break;
    }
    for (uint32_t i = 0; i < n; i++) {
        sum = sum * 31 + put_random(d, w);
    }
    if (rhodes_type_kind(t) != RHODES_OPTION) {
        assert_int_equal(rhodes_put_end(w), 0);
    }
    return sum + n;
}

#define GET(name, c_type)                                                                          \
    {                                                                                              \
        c_type v;                                                                                  \
        int result = rhodes_get_##name(r, &v);                                                     \
        if (result) {                                                                              \
            *failed_with = result;                                                                 \
            return 0;                                                                              \
        }                                                                                          \
        return (uint64_t)v;                                                                        \
    }

/* Reads whatever is there; with a damaged body it must fail cleanly. */
static uint64_t get_any(struct rhodes_reader *r, int *failed_with)
{
    const struct rhodes_type *t = rhodes_get_next(r);
    uint32_t n = 0;
    uint64_t sum = 0;
    bool present = false;
    const char *text;
    size_t length = 0;

    switch (rhodes_type_kind(t)) {
    case RHODES_BOOL:
        GET(bool, bool)
    case RHODES_U8:
        GET(u8, uint8_t)
    case RHODES_U16:
        GET(u16, uint16_t)
    case RHODES_U32:
        GET(u32, uint32_t)
    case RHODES_U64:
        GET(u64, uint64_t)
    case RHODES_S8:
        GET(s8, int8_t)
    case RHODES_S16:
        GET(s16, int16_t)
    case RHODES_S32:
        GET(s32, int32_t)
    case RHODES_S64:
        GET(s64, int64_t)
    case RHODES_F32: {
        float v = 0;
        *failed_with = rhodes_get_f32(r, &v);
        return v >= 0 && v < 1e9f ? (uint64_t)v : 0;
    }
    case RHODES_F64: {
        double v = 0;
        *failed_with = rhodes_get_f64(r, &v);
        return v >= 0 && v < 1e10 ? (uint64_t)v : 0;
    }
    case RHODES_CHAR:
        GET(char, uint32_t)
    case RHODES_ENUM:
        GET(enum, uint32_t)
    case RHODES_STRING:
        *failed_with = rhodes_get_string(r, &text, &length);
        return length;
    case RHODES_LIST:
        *failed_with = rhodes_get_list(r, &n);
        break;
    case RHODES_OPTION:
        *failed_with = rhodes_get_option(r, &present);
        n = present;
        break;
    case RHODES_RECORD:
    case RHODES_TUPLE:
        n = rhodes_type_count(t);
        *failed_with = rhodes_get_begin(r);
        break;
    }
    for (uint32_t i = 0; i < n && !*failed_with; i++) {
        sum = sum * 31 + get_any(r, failed_with);
    }
    if (!*failed_with && rhodes_type_kind(t) != RHODES_OPTION) {
        *failed_with = rhodes_get_end(r);
    }
    return sum + n;
}

static void random_values_round_trip_and_damaged_ones_fail_cleanly(void **state)
{
    struct dice d = { 1 };

    for (int round = 0; round < 2000; round++) {
        char text[8000] = "f: func(a: ";
        uint64_t put, got;
        struct fixture x;
        uint8_t *copy;
        int error = 0;

        type_text(&d, text, sizeof(text), 4);
        strcat(text, ")");
        x = fixture_make(text);
        put = put_random(&d, x.w);
        fixture_read(&x);
        got = get_any(x.r, &error);
        assert_int_equal(error, 0);
        assert_true(put == got);

        copy = malloc(x.bytes); /* exactly so long: the sanitizer sees a read beside it */
        memcpy(copy, x.body, x.bytes);
        for (int damage = 0; damage < 20; damage++) {
            size_t at = roll(&d, (uint32_t)x.bytes);
            int whole;

            copy[at] ^= (uint8_t)(1u << roll(&d, 8));
            whole = value_check(x.f->parameters, copy, x.bytes);
            assert_true(whole == 0 || whole == RHODES_GARBAGE);
            if (whole == 0) { /* what the check lets pass can be read to its end */
                error = 0;
                assert_int_equal(value_reader_parameters(x.r, x.f->parameters, copy, x.bytes), 0);
                (void)get_any(x.r, &error);
                assert_int_equal(error, 0);
            }
        }
        free(copy);
        fixture_end(&x);
    }
}

static void types_nested_to_the_limit_can_be_walked(void **state)
{
    char text[512] = "f: func(a: ";
    struct fixture x;
    bool present;
    uint8_t v;

    for (int i = 0; i < WIT_DEPTH_MAX - 1; i++) {
        strcat(text, "option<");
    }
    strcat(text, "u8");
    for (int i = 0; i < WIT_DEPTH_MAX - 1; i++) {
        strcat(text, ">");
    }
    strcat(text, ")");
    x = fixture_make(text);
    for (int i = 0; i < WIT_DEPTH_MAX - 1; i++) {
        assert_int_equal(rhodes_put_option(x.w, true), 0);
    }
    assert_int_equal(rhodes_put_u8(x.w, 42), 0);
    fixture_read(&x);
    for (int i = 0; i < WIT_DEPTH_MAX - 1; i++) {
        assert_int_equal(rhodes_get_option(x.r, &present), 0);
    }
    assert_int_equal(rhodes_get_u8(x.r, &v), 0);
    assert_int_equal(v, 42);
    assert_null(rhodes_get_next(x.r));
    fixture_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(every_kind_comes_back_as_it_was_put),
        isolated_test(the_layout_is_the_canonical_abi),
        isolated_test(a_function_without_parameters_has_an_empty_body),
        isolated_test(a_put_of_another_type_is_refused_and_sticks),
        isolated_test(every_put_but_the_right_one_is_refused),
        isolated_test(what_is_incomplete_is_invalid),
        isolated_test(a_record_as_a_result_is_begun_and_ended),
        isolated_test(bad_texts_chars_and_cases_are_invalid),
        isolated_test(the_limit_holds_exactly),
        isolated_test(types_tell_their_members_and_names),
        isolated_test(a_body_that_cannot_be_is_garbage),
        isolated_test(overlapping_lists_cannot_multiply_the_work),
        isolated_test(a_reader_checks_what_was_not_checked_before),
        isolated_test(random_values_round_trip_and_damaged_ones_fail_cleanly),
        isolated_test(types_nested_to_the_limit_can_be_walked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

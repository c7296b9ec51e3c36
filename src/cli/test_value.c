/* Values by their types, against a writer that notes what it is given and a reader that plays a
 * script: the conversion alone is judged, and rhodes/value.h is all that it knows of the real ones.
 */
#include "test/lib/isolated.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/text.h"
#include "cli/value.h"

struct rhodes_type {
    enum rhodes_kind kind;
    uint32_t count;
    const struct rhodes_type *const *members;
    const char *const *names;
};

struct rhodes_writer {
    char note[512];
};

struct rhodes_reader {
    const char *const *script; /* what each get answers, in order; "!" fails */
};

enum rhodes_kind rhodes_type_kind(const struct rhodes_type *t)
{
    return t->kind;
}

uint32_t rhodes_type_count(const struct rhodes_type *t)
{
    return t->count;
}

const struct rhodes_type *rhodes_type_member(const struct rhodes_type *t, uint32_t i)
{
    return i < t->count && t->members ? t->members[i] : NULL;
}

const char *rhodes_type_name(const struct rhodes_type *t, uint32_t i)
{
    return i < t->count && t->names ? t->names[i] : NULL;
}

PRINTF_LIKE(2, 3) static int note(struct rhodes_writer *w, const char *format, ...)
{
    size_t used = strlen(w->note);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(w->note + used, sizeof(w->note) - used, format, arguments);
    va_end(arguments);
    return 0;
}

#define PUT(name, type, format, cast)                                                              \
    int rhodes_put_##name(struct rhodes_writer *w, type v)                                         \
    {                                                                                              \
        return note(w, #name "=" format " ", (cast)v);                                             \
    }
PUT(bool, bool, "%d", int)
PUT(u8, uint8_t, "%u", unsigned)
PUT(u16, uint16_t, "%u", unsigned)
PUT(u32, uint32_t, "%u", unsigned)
PUT(u64, uint64_t, "%llu", unsigned long long)
PUT(s8, int8_t, "%d", int)
PUT(s16, int16_t, "%d", int)
PUT(s32, int32_t, "%d", int)
PUT(s64, int64_t, "%lld", long long)
PUT(f32, float, "%g", double)
PUT(f64, double, "%g", double)
PUT(char, uint32_t, "%x", unsigned)
PUT(enum, uint32_t, "%u", unsigned)
PUT(list, uint32_t, "%u", unsigned)
PUT(option, bool, "%d", int)

int rhodes_put_string(struct rhodes_writer *w, const char *text, size_t bytes)
{
    return note(w, "string=%.*s ", (int)bytes, text);
}

int rhodes_put_bytes(struct rhodes_writer *w, const void *data, size_t bytes)
{
    note(w, "bytes=");
    for (size_t i = 0; i < bytes; i++) {
        note(w, "%02x", ((const unsigned char *)data)[i]);
    }
    return note(w, " ");
}

int rhodes_put_begin(struct rhodes_writer *w)
{
    return note(w, "{ ");
}

int rhodes_put_end(struct rhodes_writer *w)
{
    return note(w, "} ");
}

static const char *play(struct rhodes_reader *r)
{
    return strcmp(*r->script, "!") == 0 ? NULL : *r->script++;
}

#define GET(name, type, convert)                                                                   \
    int rhodes_get_##name(struct rhodes_reader *r, type *ret)                                      \
    {                                                                                              \
        const char *text = play(r);                                                                \
                                                                                                   \
        if (!text) {                                                                               \
            return RHODES_GARBAGE;                                                                 \
        }                                                                                          \
        *ret = (type)convert;                                                                      \
        return 0;                                                                                  \
    }
GET(bool, bool, (*text == '1'))
GET(u8, uint8_t, strtoull(text, NULL, 0))
GET(u16, uint16_t, strtoull(text, NULL, 0))
GET(u32, uint32_t, strtoull(text, NULL, 0))
GET(u64, uint64_t, strtoull(text, NULL, 0))
GET(s8, int8_t, strtoll(text, NULL, 0))
GET(s16, int16_t, strtoll(text, NULL, 0))
GET(s32, int32_t, strtoll(text, NULL, 0))
GET(s64, int64_t, strtoll(text, NULL, 0))
GET(f32, float, strtod(text, NULL))
GET(f64, double, strtod(text, NULL))
GET(char, uint32_t, strtoull(text, NULL, 0))
GET(enum, uint32_t, strtoull(text, NULL, 0))
GET(list, uint32_t, strtoull(text, NULL, 0))
GET(option, bool, (*text == '1'))

int rhodes_get_string(struct rhodes_reader *r, const char **ret, size_t *ret_bytes)
{
    *ret = play(r);
    *ret_bytes = *ret ? strlen(*ret) : 0;
    return *ret ? 0 : RHODES_GARBAGE;
}

int rhodes_get_bytes(struct rhodes_reader *r, const void **ret, size_t *ret_bytes)
{
    return rhodes_get_string(r, (const char **)ret, ret_bytes);
}

int rhodes_get_begin(struct rhodes_reader *r)
{
    return 0;
}

int rhodes_get_end(struct rhodes_reader *r)
{
    return 0;
}

#define SIMPLE(name, kind) static const struct rhodes_type name = { kind, 0, NULL, NULL }
SIMPLE(t_bool, RHODES_BOOL);
SIMPLE(t_u8, RHODES_U8);
SIMPLE(t_u16, RHODES_U16);
SIMPLE(t_u32, RHODES_U32);
SIMPLE(t_u64, RHODES_U64);
SIMPLE(t_s8, RHODES_S8);
SIMPLE(t_s16, RHODES_S16);
SIMPLE(t_s32, RHODES_S32);
SIMPLE(t_s64, RHODES_S64);
SIMPLE(t_f32, RHODES_F32);
SIMPLE(t_f64, RHODES_F64);
SIMPLE(t_char, RHODES_CHAR);
SIMPLE(t_string, RHODES_STRING);
#define OF(name, kind, inner)                                                                      \
    static const struct rhodes_type *const name##_members[] = { &inner };                          \
    static const struct rhodes_type name = { kind, 1, name##_members, NULL }
OF(t_bytes, RHODES_LIST, t_u8);
OF(t_words, RHODES_LIST, t_string);
OF(t_maybe, RHODES_OPTION, t_u32);
OF(t_maybe2, RHODES_OPTION, t_maybe);
static const char *const cases[] = { "up", "down" };
static const struct rhodes_type t_enum = { RHODES_ENUM, 2, NULL, cases };
static const struct rhodes_type *const record_members[] = { &t_bytes, &t_u32, &t_maybe };
static const char *const record_names[] = { "mac", "mtu", "vlan" };
static const struct rhodes_type t_record = { RHODES_RECORD, 3, record_members, record_names };
static const struct rhodes_type *const tuple_members[] = { &t_u8, &t_string };
static const struct rhodes_type t_tuple = { RHODES_TUPLE, 2, tuple_members, NULL };
OF(t_records, RHODES_LIST, t_record);

static void puts_as(const struct rhodes_type *type, const char *json, const char *expected)
{
    struct rhodes_writer w = { 0 };
    struct value_why why = { 0 };
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    int r = value_put(&w, type, value, &why);

    if (r || strcmp(w.note, expected) != 0) {
        print_error("%s: %d %s: %s; noted %s\n", json, r, why.where, why.text, w.note);
        fail();
    }
    assert_string_equal(why.where, "");
    json_decref(value);
}

static void refuses(const struct rhodes_type *type, const char *json, const char *where,
                    const char *text)
{
    struct rhodes_writer w = { 0 };
    struct value_why why = { 0 };
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);

    assert_int_equal(value_put(&w, type, value, &why), RHODES_INVALID);
    assert_string_equal(why.where, where);
    assert_string_equal(why.text, text);
    json_decref(value);
}

static void integers_are_put_up_to_their_ends(void **state)
{
    puts_as(&t_u8, "255", "u8=255 ");
    refuses(&t_u8, "256", "", "256 does not fit u8");
    refuses(&t_u8, "-1", "", "-1 does not fit u8");
    puts_as(&t_u16, "65535", "u16=65535 ");
    refuses(&t_u16, "65536", "", "65536 does not fit u16");
    puts_as(&t_u32, "4294967295", "u32=4294967295 ");
    refuses(&t_u32, "4294967296", "", "4294967296 does not fit u32");
    puts_as(&t_u64, "\"18446744073709551615\"", "u64=18446744073709551615 ");
    refuses(&t_u64, "\"18446744073709551616\"", "", "u64 is expected");
    puts_as(&t_s8, "-128", "s8=-128 ");
    refuses(&t_s8, "128", "", "128 does not fit s8");
    puts_as(&t_s16, "-32768", "s16=-32768 ");
    refuses(&t_s16, "-32769", "", "-32769 does not fit s16");
    puts_as(&t_s32, "2147483647", "s32=2147483647 ");
    refuses(&t_s32, "2147483648", "", "2147483648 does not fit s32");
    puts_as(&t_s64, "-9223372036854775808", "s64=-9223372036854775808 ");
    refuses(&t_s64, "\"9223372036854775808\"", "", "9223372036854775808 does not fit s64");
    refuses(&t_u32, "1.5", "", "u32 is expected");
    refuses(&t_u32, "\"\"", "", "u32 is expected");
    refuses(&t_u32, "\"0x5\"", "", "u32 is expected");
    refuses(&t_u32, "true", "", "u32 is expected");
}

static void simple_values_are_put(void **state)
{
    puts_as(&t_bool, "true", "bool=1 ");
    refuses(&t_bool, "1", "", "bool is expected");
    puts_as(&t_f64, "1", "f64=1 ");
    puts_as(&t_f32, "-0.5", "f32=-0.5 ");
    puts_as(&t_f64, "\"-inf\"", "f64=-inf ");
    refuses(&t_f64, "\"x\"", "", "f64 is expected");
    puts_as(&t_char, "\"é\"", "char=e9 ");
    refuses(&t_char, "\"ab\"", "", "one character is expected");
    refuses(&t_char, "\"\"", "", "one character is expected");
    puts_as(&t_string, "\"hé\"", "string=hé ");
    refuses(&t_string, "5", "", "string is expected");
    puts_as(&t_enum, "\"down\"", "enum=1 ");
    refuses(&t_enum, "\"sideways\"", "", "one of up down is expected");
}

static void bytes_are_texts_hex_or_files(void **state)
{
    char name[] = "/tmp/rhodes_value_XXXXXX", json[64];
    int fd = mkstemp(name);

    puts_as(&t_bytes, "\"ab\"", "bytes=6162 ");
    puts_as(&t_bytes, "\"hex:00fF\"", "bytes=00ff ");
    puts_as(&t_bytes, "\"\"", "bytes= ");
    puts_as(&t_bytes, "[1,2]", "list=2 u8=1 u8=2 } ");
    refuses(&t_bytes, "\"hex:0\"", "", "hex: is followed by pairs of hexadecimal digits");
    refuses(&t_bytes, "\"hex:zz\"", "", "hex: is followed by pairs of hexadecimal digits");
    refuses(&t_bytes, "[256]", "[0]", "256 does not fit u8");
    assert_true(fd >= 0 && write(fd, "\0x", 2) == 2);
    snprintf(json, sizeof(json), "\"@%s\"", name);
    puts_as(&t_bytes, json, "bytes=0078 ");
    close(fd);
    unlink(name);
    snprintf(json, sizeof(json), "%s: No such file or directory", name);
    {
        char again[64];

        snprintf(again, sizeof(again), "\"@%s\"", name);
        refuses(&t_bytes, again, "", json);
    }
}

static void containers_are_put_and_errors_say_where(void **state)
{
    puts_as(&t_words, "[\"a\",\"b\"]", "list=2 string=a string=b } ");
    puts_as(&t_record, "{\"mtu\":5,\"mac\":\"a\"}", "{ bytes=61 u32=5 option=0 } ");
    puts_as(&t_record, "{\"mtu\":5,\"mac\":\"a\",\"vlan\":7}",
            "{ bytes=61 u32=5 option=1 u32=7 } ");
    puts_as(&t_tuple, "[1,\"a\"]", "{ u8=1 string=a } ");
    puts_as(&t_maybe2, "null", "option=0 ");
    puts_as(&t_maybe2, "{\"some\":null}", "option=1 option=0 ");
    puts_as(&t_maybe2, "{\"some\":3}", "option=1 option=1 u32=3 ");
    refuses(&t_maybe2, "3", "", "{\"some\": VALUE} or null is expected");
    refuses(&t_record, "{\"mtu\":5}", "", "'mac' is missing");
    refuses(&t_record, "{\"mtu\":5,\"mac\":\"a\",\"mtv\":1}", "", "there is no 'mtv'");
    refuses(&t_record, "[1]", "", "record is expected");
    refuses(&t_tuple, "[1]", "", "2 values are expected, not 1");
    refuses(&t_records, "[{\"mac\":\"\",\"mtu\":1},{\"mac\":\"\",\"mtu\":\"x\"}]", "[1].mtu",
            "u32 is expected");
    refuses(&t_words, "\"a\"", "", "list<string> is expected");
}

static void words_put_as(const char *const *words, size_t count, const char *expected)
{
    struct rhodes_writer w = { 0 };
    struct value_why why = { 0 };

    if (words_put(&w, &t_record, words, count, &why)) {
        print_error("%s: %s\n", why.where, why.text);
        fail();
    }
    assert_string_equal(w.note, expected);
}

static void words_refused(const char *const *words, size_t count, const char *where,
                          const char *text)
{
    struct rhodes_writer w = { 0 };
    struct value_why why = { 0 };

    assert_int_equal(words_put(&w, &t_record, words, count, &why), RHODES_INVALID);
    assert_string_equal(why.where, where);
    assert_non_null(strstr(why.text, text));
}

#define WORDS(...)                                                                                 \
    (const char *const[]){ __VA_ARGS__ },                                                          \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static void arguments_are_json_or_names_and_values(void **state)
{
    words_put_as(WORDS("{\"mac\":\"a\",\"mtu\":1}"), "bytes=61 u32=1 option=0 ");
    words_put_as(WORDS("[\"a\",1,null]"), "bytes=61 u32=1 option=0 ");
    words_put_as(WORDS("mtu=1", "mac=a=b", "vlan=2"), "bytes=613d62 u32=1 option=1 u32=2 ");
    words_put_as(WORDS("mtu=1", "mac=[1]", "vlan=null"), "list=1 u8=1 } u32=1 option=0 ");
    words_refused(WORDS("mtu=x", "mac="), "mtu", "u32 is expected");
    words_refused(WORDS("mtu=1", "mtu=2"), "", "given twice");
    words_refused(WORDS("mty=1"), "", "no parameter 'mty'");
    words_put_as(WORDS("a", "5"), "bytes=61 u32=5 option=0 ");
    words_put_as(WORDS("a", "vlan=7", "5"), "bytes=61 u32=5 option=1 u32=7 ");
    words_put_as(WORDS("=a", "5"), "bytes=3d61 u32=5 option=0 ");
    words_refused(WORDS("a", "5", "6", "7"), "", "'7' is one more");
    words_refused(WORDS("a", "-5"), "mtu", "-5 does not fit u32");
    words_refused(WORDS("a", "mac=b"), "", "given twice");
    words_refused(WORDS("{\"mtu\":"), "", "not JSON");
    words_refused(WORDS("[1]"), "", "3 values are expected");
    words_refused(WORDS("a=b=c"), "",
                  "no parameter 'a'; a value that holds '=' is written mac=a=b=c");
    words_refused(WORDS("mac=a"), "", "'mtu' is missing");
}

static void one_list_is_told_from_the_list_of_all_values(void **state)
{
    static const struct rhodes_type *const members[] = { &t_words };
    static const char *const names[] = { "words" };
    static const struct rhodes_type one = { RHODES_RECORD, 1, members, names };
    static const char *const wrong[][2] = {
        { "[\"a\",\"b\"]", "one value is expected, not 2; the list itself is written words=[...]" },
        { "[]", "one value is expected, not 0; the list itself is written words=[...]" },
    };
    const char *const more[] = { "[\"a\"]", "b" };
    struct rhodes_writer w = { 0 };
    struct value_why why = { 0 };

    assert_int_equal(words_put(&w, &one, WORDS("[[\"a\"]]"), &why), 0);
    assert_int_equal(words_put(&w, &one, WORDS("words=[\"a\"]"), &why), 0);
    assert_string_equal(w.note, "list=1 string=a } list=1 string=a } ");
    for (size_t i = 0; i < 2; i++) {
        why = (struct value_why){ 0 };
        assert_int_equal(words_put(&w, &one, &wrong[i][0], 1, &why), RHODES_INVALID);
        assert_string_equal(why.text, wrong[i][1]);
    }
    assert_int_equal(words_put(&w, &one, more, 2, &why), RHODES_INVALID);
    assert_string_equal(why.text, "one value is expected, 'b' is one more; the list itself is "
                                  "written words=[...]");
}

static void gets_as(const struct rhodes_type *type, const char *const *script, const char *expected)
{
    struct rhodes_reader r = { script };
    json_t *value = NULL;

    assert_int_equal(value_get(&r, type, &value), 0);
    CLEANUP(memory_freep) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(text, expected);
    json_decref(value);
}

#define SCRIPT(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, "!"                                                                           \
    }

static void results_become_json(void **state)
{
    gets_as(&t_bool, SCRIPT("1"), "true");
    gets_as(&t_s32, SCRIPT("-7"), "-7");
    gets_as(&t_u64, SCRIPT("9223372036854775807"), "9223372036854775807");
    gets_as(&t_u64, SCRIPT("9223372036854775808"), "\"9223372036854775808\"");
    gets_as(&t_f64, SCRIPT("nan"), "\"nan\"");
    gets_as(&t_f64, SCRIPT("0.25"), "0.25");
    gets_as(&t_f32, SCRIPT("-inf"), "\"-inf\"");
    gets_as(&t_char, SCRIPT("0x1f600"), "\"😀\"");
    gets_as(&t_char, SCRIPT("0xe9"), "\"é\"");
    gets_as(&t_char, SCRIPT("0x20ac"), "\"€\"");
    gets_as(&t_enum, SCRIPT("1"), "\"down\"");
    gets_as(&t_bytes, SCRIPT("text\n"), "\"text\\n\"");
    gets_as(&t_bytes, SCRIPT("\x01\xff"), "\"hex:01ff\"");
    gets_as(&t_bytes, SCRIPT("@a"), "\"hex:4061\"");
    gets_as(&t_bytes, SCRIPT("hex:00"), "\"hex:6865783a3030\"");
    gets_as(&t_words, SCRIPT("2", "a", "b"), "[\"a\",\"b\"]");
    gets_as(&t_record, SCRIPT("m", "1500", "0"), "{\"mac\":\"m\",\"mtu\":1500,\"vlan\":null}");
    gets_as(&t_tuple, SCRIPT("1", "a"), "[1,\"a\"]");
    gets_as(&t_maybe2, SCRIPT("1", "0"), "{\"some\":null}");
    gets_as(&t_maybe2, SCRIPT("0"), "null");
}

static double f32_gotten(const char *text)
{
    struct rhodes_reader r = { (const char *const[]){ text, "!" } };
    json_t *value = NULL;
    double number;

    assert_int_equal(value_get(&r, &t_f32, &value), 0);
    number = json_real_value(value);
    json_decref(value);
    return number;
}

static void real_is(double number, const char *expected)
{
    CLEANUP(memory_freep) char *text = text_real(number);

    assert_string_equal(text, expected);
    assert_true(strtod(text, NULL) == number);
}

static void numbers_are_as_short_as_they_can_be(void **state)
{
    real_is(0.1, "0.1");
    real_is(0.1 + 0.2, "0.30000000000000004");
    real_is(-0.0, "-0.0");
    real_is(7, "7.0");
    real_is(1e300, "1e+300");
    real_is(5e-324, "4.94065645841247e-324");
    real_is(1.7976931348623157e308, "1.7976931348623157e+308");
    assert_true(f32_gotten("0.1") == 0.1);
    assert_true(f32_gotten("16777216") == 16777216.0);
    assert_true(f32_gotten("3.4028235e38") == 3.4028235e38);
}

static void a_reader_that_fails_in_the_middle_leaves_nothing(void **state)
{
    struct rhodes_reader words = { SCRIPT("3", "a") }, record = { SCRIPT("m") };
    json_t *value = NULL;

    assert_int_equal(value_get(&words, &t_words, &value), RHODES_GARBAGE);
    assert_int_equal(value_get(&record, &t_record, &value), RHODES_GARBAGE);
    assert_null(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(integers_are_put_up_to_their_ends),
        isolated_test(simple_values_are_put),
        isolated_test(bytes_are_texts_hex_or_files),
        isolated_test(containers_are_put_and_errors_say_where),
        isolated_test(arguments_are_json_or_names_and_values),
        isolated_test(one_list_is_told_from_the_list_of_all_values),
        isolated_test(results_become_json),
        isolated_test(numbers_are_as_short_as_they_can_be),
        isolated_test(a_reader_that_fails_in_the_middle_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

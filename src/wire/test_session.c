/* The agent's socket messages: what is written comes back, and nothing that is not exactly right is
 * taken. */
#include "wire/session.h"

#include <string.h>

#include "test/lib/isolated.h"

struct fixture {
    struct session_message out, in;
    uint8_t data[SESSION_BYTES_MAX];
    size_t bytes;
};

static int fixture_make(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->out.type = SESSION_BIND;
    f->out.tag = 7;
    f->out.number[0] = 1;
    f->out.number[3] = UINT64_MAX;
    f->out.key[31] = 0xaa;
    strcpy(f->out.text[0], "driver/netdriver");
    strcpy(f->out.text[3], "z");
    *state = f;
    return 0;
}

static int fixture_drop(void **state)
{
    free(*state);
    return 0;
}

static void encode(struct fixture *f)
{
    assert_int_equal(session_encode(&f->out, f->data, sizeof(f->data), &f->bytes), 0);
}

static void what_is_encoded_is_decoded_the_same(void **state)
{
    struct fixture *f = *state;

    f->out.flags = SESSION_OPERATOR;
    encode(f);
    memset(&f->in, 0x55, sizeof(f->in));
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), 0);
    assert_int_equal(f->in.type, SESSION_BIND);
    assert_int_equal(f->in.tag, 7);
    assert_int_equal(f->in.result, 0);
    assert_int_equal(f->in.flags, SESSION_OPERATOR);
    assert_memory_equal(f->in.number, f->out.number, sizeof(f->in.number));
    assert_memory_equal(f->in.key, f->out.key, sizeof(f->in.key));
    for (int i = 0; i < 4; i++) {
        assert_string_equal(f->in.text[i], f->out.text[i]);
    }
}

static void an_answer_carries_a_negative_result(void **state)
{
    struct fixture *f = *state;

    f->out.type |= SESSION_ANSWER;
    f->out.result = -EPIPE;
    encode(f);
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), 0);
    assert_int_equal(f->in.type, SESSION_BIND | SESSION_ANSWER);
    assert_int_equal(f->in.result, -EPIPE);
}

static void the_longest_texts_fit(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        memset(f->out.text[i], 'a', 8192);
        f->out.text[i][8192] = 0;
    }
    encode(f);
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), 0);
    assert_int_equal(strlen(f->in.text[3]), 8192);
}

static void a_text_without_end_is_over_the_limit(void **state)
{
    struct fixture *f = *state;

    memset(f->out.text[1], 'a', sizeof(f->out.text[1]));
    assert_int_equal(session_encode(&f->out, f->data, sizeof(f->data), &f->bytes),
                     RHODES_OVER_LIMIT);
}

static void a_room_one_byte_too_small_is_over_the_limit(void **state)
{
    struct fixture *f = *state;
    size_t bytes;

    encode(f);
    assert_int_equal(session_encode(&f->out, f->data, f->bytes, &bytes), 0);
    assert_int_equal(session_encode(&f->out, f->data, f->bytes - 1, &bytes), RHODES_OVER_LIMIT);
}

static void a_message_cut_anywhere_is_invalid(void **state)
{
    struct fixture *f = *state;

    encode(f);
    for (size_t n = 0; n < f->bytes; n++) {
        assert_int_equal(session_decode(f->data, n, &f->in), RHODES_INVALID);
    }
}

static void a_byte_left_over_is_invalid(void **state)
{
    struct fixture *f = *state;

    encode(f);
    assert_int_equal(session_decode(f->data, f->bytes + 1, &f->in), RHODES_INVALID);
}

static void another_version_is_invalid(void **state)
{
    struct fixture *f = *state;

    encode(f);
    f->data[0]++;
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), RHODES_INVALID);
}

static void types_outside_the_table_are_invalid(void **state)
{
    struct fixture *f = *state;
    const uint16_t wrong[] = { 0, SESSION_TYPES_END, SESSION_ANSWER,
                               SESSION_ANSWER | SESSION_TYPES_END, 0x4001 };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        f->out.type = wrong[i];
        encode(f);
        assert_int_equal(session_decode(f->data, f->bytes, &f->in), RHODES_INVALID);
    }
    for (uint16_t type = SESSION_HELLO; type < SESSION_TYPES_END; type++) {
        f->out.type = type;
        encode(f);
        assert_int_equal(session_decode(f->data, f->bytes, &f->in), 0);
    }
}

static void a_nul_inside_a_text_is_invalid(void **state)
{
    struct fixture *f = *state;

    encode(f);
    f->data[84 + 6] = 0; /* in the middle of the first text */
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), RHODES_INVALID);
}

static void a_text_over_the_limit_is_invalid(void **state)
{
    struct fixture *f = *state;
    const uint32_t length = 8193;

    encode(f);
    memcpy(f->data + 80, &length, sizeof(length));
    memset(f->data + 84, 'a', length);
    memset(f->data + 84 + length, 0, 12);
    assert_int_equal(session_decode(f->data, 84 + length + 12, &f->in), RHODES_INVALID);
}

static void a_length_beyond_the_message_is_invalid(void **state)
{
    struct fixture *f = *state;

    encode(f);
    memset(f->data + 80, 0xff, 4);
    assert_int_equal(session_decode(f->data, f->bytes, &f->in), RHODES_INVALID);
}

#define TEST(name) isolated_test_setup_teardown(name, fixture_make, fixture_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_encoded_is_decoded_the_same),
        TEST(an_answer_carries_a_negative_result),
        TEST(the_longest_texts_fit),
        TEST(a_text_without_end_is_over_the_limit),
        TEST(a_room_one_byte_too_small_is_over_the_limit),
        TEST(a_message_cut_anywhere_is_invalid),
        TEST(a_byte_left_over_is_invalid),
        TEST(another_version_is_invalid),
        TEST(types_outside_the_table_are_invalid),
        TEST(a_nul_inside_a_text_is_invalid),
        TEST(a_text_over_the_limit_is_invalid),
        TEST(a_length_beyond_the_message_is_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

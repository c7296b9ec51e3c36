/* The buffer and the cursor of every frame: what goes in comes out, and the first thing that does
 * not fit is told once, at the end. */
#include "base/bytes.h"

#include <string.h>

#include "test/lib/isolated.h"

static void what_is_put_is_read_back_in_order(void **state)
{
    struct bytes b;
    struct reader r;
    struct span text;
    char *copy;

    (void)state;
    bytes_init(&b, 0);
    bytes_put_u8(&b, 0xab);
    bytes_put_u16(&b, 0xfffe);
    bytes_put_u32(&b, 0xdeadbeef);
    bytes_put_u64(&b, UINT64_MAX - 1);
    bytes_put_text(&b, "tcp");
    bytes_put_text(&b, NULL);
    bytes_put_text(&b, "copy");
    assert_int_equal(b.error, 0);
    r = reader_make(b.data, b.used);
    assert_int_equal(reader_u8(&r), 0xab);
    assert_int_equal(reader_u16(&r), 0xfffe);
    assert_int_equal(reader_u32(&r), 0xdeadbeef);
    assert_true(reader_u64(&r) == UINT64_MAX - 1);
    text = reader_span(&r);
    assert_int_equal(text.bytes, 3);
    assert_memory_equal(text.data, "tcp", 3);
    assert_int_equal(reader_span(&r).bytes, 0);
    copy = reader_text_dup(&r, 4);
    assert_string_equal(copy, "copy");
    free(copy);
    assert_int_equal(reader_end(&r), 0);
    bytes_deinit(&b);
}

static void numbers_are_little_endian(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 0);
    bytes_put_u32(&b, 0x01020304);
    assert_memory_equal(b.data, "\4\3\2\1", 4);
    bytes_deinit(&b);
}

static void the_buffer_grows_and_keeps_its_content(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 0);
    for (uint32_t i = 0; i < 100000; i++) {
        bytes_put_u32(&b, i);
    }
    assert_int_equal(b.error, 0);
    assert_int_equal(b.used, 400000);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t v;

        memcpy(&v, b.data + i * 4, 4);
        assert_int_equal(v, i);
    }
    bytes_deinit(&b);
}

static void the_limit_is_reached_but_not_passed(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 8);
    bytes_put_u64(&b, 1);
    assert_int_equal(b.error, 0);
    bytes_put_u8(&b, 1);
    assert_int_equal(b.error, RHODES_OVER_LIMIT);
    assert_int_equal(b.used, 8);
    bytes_deinit(&b);
}

static void the_first_error_sticks_until_a_reset(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 4);
    bytes_put_u64(&b, 1);
    bytes_put_u8(&b, 1); /* would fit, but comes after the error */
    assert_int_equal(b.used, 0);
    assert_null(bytes_grow(&b, 1));
    bytes_reset(&b);
    assert_int_equal(b.error, 0);
    bytes_put_u32(&b, 1);
    assert_int_equal(b.error, 0);
    bytes_deinit(&b);
}

static void a_size_that_would_overflow_is_over_the_limit(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 0);
    bytes_put_u8(&b, 1);
    assert_null(bytes_grow(&b, SIZE_MAX));
    assert_int_equal(b.error, RHODES_OVER_LIMIT);
    bytes_deinit(&b);
}

static void printed_text_fills_the_limit_exactly(void **state)
{
    struct bytes b;

    (void)state;
    bytes_init(&b, 10);
    bytes_printf(&b, "%s", "hello");
    bytes_printf(&b, "%d", 12345);
    assert_int_equal(b.error, 0);
    assert_int_equal(b.used, 10);
    assert_string_equal((char *)b.data, "hello12345");
    bytes_printf(&b, "x");
    assert_int_equal(b.error, RHODES_OVER_LIMIT);
    bytes_deinit(&b);
}

static void nothing_can_be_put_and_read(void **state)
{
    struct bytes b;
    struct reader r = reader_make(NULL, 0);

    (void)state;
    bytes_init(&b, 0);
    bytes_put(&b, NULL, 0);
    assert_int_equal(b.error, 0);
    assert_int_equal(b.used, 0);
    assert_non_null(reader_get(&r, 0));
    assert_int_equal(reader_end(&r), 0);
    bytes_deinit(&b);
}

static void reading_past_the_end_is_invalid_and_yields_zero(void **state)
{
    struct reader r = reader_make("\1\2\3", 3);

    (void)state;
    assert_int_equal(reader_u16(&r), 0x0201);
    assert_int_equal(reader_u16(&r), 0);
    assert_int_equal(r.error, RHODES_INVALID);
    assert_int_equal(reader_u8(&r), 0); /* there is one byte, but the error sticks */
    assert_int_equal(reader_end(&r), RHODES_INVALID);
}

static void left_over_bytes_are_invalid(void **state)
{
    struct reader r = reader_make("\1\2", 2);

    (void)state;
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_end(&r), RHODES_INVALID);
}

static void a_text_longer_than_the_frame_is_invalid(void **state)
{
    struct reader r = reader_make("\xff\xff\xff\xff"
                                  "abc",
                                  7);
    struct span s = reader_span(&r);

    (void)state;
    assert_int_equal(s.bytes, 0);
    assert_int_equal(reader_end(&r), RHODES_INVALID);
}

static void a_copied_text_may_be_as_long_as_allowed_and_no_longer(void **state)
{
    struct reader r = reader_make("\4\0\0\0abcd", 8), again = r;
    char *copy = reader_text_dup(&r, 4);

    (void)state;
    assert_string_equal(copy, "abcd");
    free(copy);
    assert_null(reader_text_dup(&again, 3));
    assert_int_equal(again.error, RHODES_INVALID);
}

static void a_copied_text_with_a_nul_inside_is_invalid(void **state)
{
    struct reader r = reader_make("\3\0\0\0a\0b", 7);

    (void)state;
    assert_null(reader_text_dup(&r, 10));
    assert_int_equal(r.error, RHODES_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(what_is_put_is_read_back_in_order),
        isolated_test(numbers_are_little_endian),
        isolated_test(the_buffer_grows_and_keeps_its_content),
        isolated_test(the_limit_is_reached_but_not_passed),
        isolated_test(the_first_error_sticks_until_a_reset),
        isolated_test(a_size_that_would_overflow_is_over_the_limit),
        isolated_test(printed_text_fills_the_limit_exactly),
        isolated_test(nothing_can_be_put_and_read),
        isolated_test(reading_past_the_end_is_invalid_and_yields_zero),
        isolated_test(left_over_bytes_are_invalid),
        isolated_test(a_text_longer_than_the_frame_is_invalid),
        isolated_test(a_copied_text_may_be_as_long_as_allowed_and_no_longer),
        isolated_test(a_copied_text_with_a_nul_inside_is_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

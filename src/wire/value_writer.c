/* Writes one value, depth first, each put checked against the type at the cursor.
 *
 * The fixed part is laid out zeroed when the value begins, so padding never carries what was in
 * memory before. Lists and texts are appended when they are put; their elements are then filled in
 * place. The first failure sticks: everything after it answers the same, so a caller may check
 * once, at the end. */
#include <string.h>

#include "base/bytes.h"
#include "wire/cursor.h"
#include "wire/value.h"

struct rhodes_writer {
    struct cursor cursor;
    struct bytes body;
    int error;
};

static int writer_fail(struct rhodes_writer *w, int error)
{
    w->error = w->error ? w->error : error;
    return w->error;
}

/* Appends `n` zeroed bytes at a multiple of `align` (a power of 2). */
static int writer_grow(struct rhodes_writer *w, size_t n, uint32_t align, uint32_t *ret_at)
{
    size_t pad = -w->body.used & (align - 1);
    uint8_t *at = bytes_grow(&w->body, n + pad);

    if (!at && w->body.error) {
        return writer_fail(w, w->body.error);
    }
    if (n + pad) {
        memset(at, 0, n + pad);
    }
    *ret_at = (uint32_t)(w->body.used - n);
    return 0;
}

int value_writer_new(const struct wit_type *type, size_t limit, struct rhodes_writer **ret)
{
    struct rhodes_writer *w = calloc(1, sizeof(*w));

    if (!w) {
        return failed(-ENOMEM);
    }
    bytes_init(&w->body, limit && limit < UINT32_MAX ? limit : UINT32_MAX);
    value_writer_reset(w, type);
    *ret = w;
    return 0;
}

struct rhodes_writer *value_writer_free(struct rhodes_writer *w)
{
    if (w) {
        bytes_deinit(&w->body);
        free(w);
    }
    return NULL;
}

void value_writer_reset(struct rhodes_writer *w, const struct wit_type *type)
{
    uint32_t at;

    cursor_reset(&w->cursor, type);
    bytes_reset(&w->body);
    w->error = 0;
    if (writer_grow(w, type->bytes, 1, &at) != 0) {
        return; /* it sticks */
    }
}

void value_writer_parameters(struct rhodes_writer *w, const struct wit_type *parameters)
{
    value_writer_reset(w, parameters);
    cursor_push(&w->cursor, parameters, 0, parameters->members_count);
    w->cursor.parameters = true;
}

int value_writer_body(struct rhodes_writer *w, const void **ret, size_t *ret_bytes)
{
    if (w->error) {
        return w->error;
    }
    if (!cursor_complete(&w->cursor)) {
        return RHODES_INVALID;
    }
    *ret = w->body.data;
    *ret_bytes = w->body.used;
    return 0;
}

const struct rhodes_type *rhodes_put_next(const struct rhodes_writer *w)
{
    uint32_t at;

    return (const struct rhodes_type *)cursor_next(&w->cursor, &at);
}

/* The type to be put must be of `kind`; NULL and the error has stuck otherwise. */
static const struct wit_type *put_type(struct rhodes_writer *w, enum wit_kind kind,
                                       uint32_t *ret_at)
{
    const struct wit_type *type = w->error ? NULL : cursor_next(&w->cursor, ret_at);

    if (!type || type->kind != kind) {
        writer_fail(w, RHODES_TYPE_MISMATCH);
        return NULL;
    }
    return type;
}

static int put_plain(struct rhodes_writer *w, enum wit_kind kind, const void *v, size_t n)
{
    uint32_t at;

    if (!put_type(w, kind, &at)) {
        return w->error;
    }
    memcpy(w->body.data + at, v, n);
    cursor_advance(&w->cursor);
    return 0;
}

#define PUT_PLAIN(name, c_type, kind)                                                              \
    int rhodes_put_##name(struct rhodes_writer *w, c_type v)                                       \
    {                                                                                              \
        return put_plain(w, kind, &v, sizeof(v));                                                  \
    }
PUT_PLAIN(u8, uint8_t, WIT_U8)
PUT_PLAIN(u16, uint16_t, WIT_U16)
PUT_PLAIN(u32, uint32_t, WIT_U32)
PUT_PLAIN(u64, uint64_t, WIT_U64)
PUT_PLAIN(s8, int8_t, WIT_S8)
PUT_PLAIN(s16, int16_t, WIT_S16)
PUT_PLAIN(s32, int32_t, WIT_S32)
PUT_PLAIN(s64, int64_t, WIT_S64)
PUT_PLAIN(f32, float, WIT_F32)
PUT_PLAIN(f64, double, WIT_F64)

int rhodes_put_bool(struct rhodes_writer *w, bool v)
{
    uint8_t byte = v;

    return put_plain(w, WIT_BOOL, &byte, 1);
}

int rhodes_put_char(struct rhodes_writer *w, uint32_t v)
{
    uint32_t at;

    if (!put_type(w, WIT_CHAR, &at)) {
        return w->error;
    }
    return char_valid(v) ? put_plain(w, WIT_CHAR, &v, sizeof(v)) : writer_fail(w, RHODES_INVALID);
}

int rhodes_put_enum(struct rhodes_writer *w, uint32_t which)
{
    uint32_t at;
    const struct wit_type *type = put_type(w, WIT_ENUM, &at);
    uint8_t byte = (uint8_t)which;

    if (!type) {
        return w->error;
    }
    return which < type->members_count ? put_plain(w, WIT_ENUM, &byte, 1)
                                       : writer_fail(w, RHODES_INVALID);
}

/* Appends `count` elements for the list or string whose two words lie at `at`. */
static int put_sequence(struct rhodes_writer *w, uint32_t at, size_t count, uint32_t each,
                        uint32_t align, uint32_t *ret_offset)
{
    uint32_t words[2] = { 0, (uint32_t)count };

    *ret_offset = 0;
    if (count == 0) {
        return 0; /* the words are zero already */
    }
    if (count > UINT32_MAX / each) {
        return writer_fail(w, RHODES_OVER_LIMIT);
    }
    if (writer_grow(w, count * each, align, &words[0]) != 0) {
        return w->error;
    }
    memcpy(w->body.data + at, words, sizeof(words));
    *ret_offset = words[0];
    return 0;
}

static int put_block(struct rhodes_writer *w, uint32_t at, const void *data, size_t bytes)
{
    uint32_t offset;

    if (put_sequence(w, at, bytes, 1, 1, &offset) != 0) {
        return w->error;
    }
    if (bytes) {
        memcpy(w->body.data + offset, data, bytes);
    }
    cursor_advance(&w->cursor);
    return 0;
}

int rhodes_put_string(struct rhodes_writer *w, const char *text, size_t bytes)
{
    uint32_t at;

    if (!put_type(w, WIT_STRING, &at)) {
        return w->error;
    }
    return text_valid(text, bytes) ? put_block(w, at, text, bytes) : writer_fail(w, RHODES_INVALID);
}

int rhodes_put_bytes(struct rhodes_writer *w, const void *data, size_t bytes)
{
    uint32_t at;
    const struct wit_type *type = put_type(w, WIT_LIST, &at);

    if (!type || type->members[0]->kind != WIT_U8) {
        return writer_fail(w, RHODES_TYPE_MISMATCH);
    }
    return put_block(w, at, data, bytes);
}

int rhodes_put_begin(struct rhodes_writer *w)
{
    uint32_t at = 0;
    const struct wit_type *type = w->error ? NULL : cursor_next(&w->cursor, &at);

    if (!type || (type->kind != WIT_RECORD && type->kind != WIT_TUPLE)) {
        return writer_fail(w, RHODES_TYPE_MISMATCH);
    }
    cursor_push(&w->cursor, type, at, type->members_count);
    return 0;
}

int rhodes_put_list(struct rhodes_writer *w, uint32_t count)
{
    uint32_t at, offset;
    const struct wit_type *type = put_type(w, WIT_LIST, &at);

    if (!type || put_sequence(w, at, count, type->members[0]->bytes, type->members[0]->align,
                              &offset) != 0) {
        return w->error;
    }
    cursor_push(&w->cursor, type, offset, count);
    return 0;
}

int rhodes_put_option(struct rhodes_writer *w, bool present)
{
    uint32_t at;
    const struct wit_type *type = put_type(w, WIT_OPTION, &at);

    if (!type) {
        return w->error;
    }
    w->body.data[at] = present;
    if (present) {
        cursor_push(&w->cursor, type, at, 1);
    } else {
        cursor_advance(&w->cursor);
    }
    return 0;
}

int rhodes_put_end(struct rhodes_writer *w)
{
    if (w->error || !cursor_end(&w->cursor)) {
        return writer_fail(w, RHODES_TYPE_MISMATCH);
    }
    return 0;
}

/* Reads one value, depth first, each get checked against the type at the cursor and against the
 * body before it is used.
 *
 * A reader may be put on a body that value_check has not seen, so each get checks what it touches;
 * what it does not touch is not looked at. The body is private memory: it does not change between
 * check and use. */
#include <string.h>

#include "wire/cursor.h"
#include "wire/value.h"

struct rhodes_reader {
    struct cursor cursor;
    const uint8_t *body;
    size_t bytes;
};

int value_reader_new(struct rhodes_reader **ret)
{
    static const struct wit_type nothing = { .kind = WIT_TUPLE, .align = 1 };
    struct rhodes_reader *r = calloc(1, sizeof(*r));

    if (!r) {
        return failed(-ENOMEM);
    }
    cursor_reset(&r->cursor, &nothing);
    r->cursor.done = true;
    *ret = r;
    return 0;
}

struct rhodes_reader *value_reader_free(struct rhodes_reader *r)
{
    free(r);
    return NULL;
}

int value_reader_reset(struct rhodes_reader *r, const struct wit_type *type, const void *body,
                       size_t bytes)
{
    cursor_reset(&r->cursor, type);
    r->body = body;
    r->bytes = bytes;
    if (bytes < type->bytes || bytes > UINT32_MAX) {
        r->cursor.done = true;
        return RHODES_GARBAGE;
    }
    return 0;
}

int value_reader_parameters(struct rhodes_reader *r, const struct wit_type *parameters,
                            const void *body, size_t bytes)
{
    int result = value_reader_reset(r, parameters, body, bytes);

    if (!result) {
        cursor_push(&r->cursor, parameters, 0, parameters->members_count);
        r->cursor.parameters = true;
    }
    return result;
}

const struct rhodes_type *rhodes_get_next(const struct rhodes_reader *r)
{
    uint32_t at;

    return (const struct rhodes_type *)cursor_next(&r->cursor, &at);
}

/* The cursor's type and place when it is of `kind`. Every place that the cursor names lies inside
 * the body: the fixed part was checked by reset, elements by get_sequence. */
static const struct wit_type *get_type(const struct rhodes_reader *r, enum wit_kind kind,
                                       uint32_t *ret_at)
{
    const struct wit_type *type = cursor_next(&r->cursor, ret_at);

    return type && type->kind == kind ? type : NULL;
}

static int get_plain(struct rhodes_reader *r, enum wit_kind kind, void *ret, size_t n)
{
    uint32_t at;

    if (!get_type(r, kind, &at)) {
        return RHODES_TYPE_MISMATCH;
    }
    memcpy(ret, r->body + at, n);
    cursor_advance(&r->cursor);
    return 0;
}

#define GET_PLAIN(name, c_type, kind)                                                              \
    int rhodes_get_##name(struct rhodes_reader *r, c_type *ret)                                    \
    {                                                                                              \
        return get_plain(r, kind, ret, sizeof(*ret));                                              \
    }
GET_PLAIN(u8, uint8_t, WIT_U8)
GET_PLAIN(u16, uint16_t, WIT_U16)
GET_PLAIN(u32, uint32_t, WIT_U32)
GET_PLAIN(u64, uint64_t, WIT_U64)
GET_PLAIN(s8, int8_t, WIT_S8)
GET_PLAIN(s16, int16_t, WIT_S16)
GET_PLAIN(s32, int32_t, WIT_S32)
GET_PLAIN(s64, int64_t, WIT_S64)
GET_PLAIN(f32, float, WIT_F32)
GET_PLAIN(f64, double, WIT_F64)

int rhodes_get_bool(struct rhodes_reader *r, bool *ret)
{
    uint32_t at;

    if (!get_type(r, WIT_BOOL, &at)) {
        return RHODES_TYPE_MISMATCH;
    }
    if (r->body[at] > 1) {
        return RHODES_GARBAGE;
    }
    *ret = r->body[at];
    cursor_advance(&r->cursor);
    return 0;
}

int rhodes_get_char(struct rhodes_reader *r, uint32_t *ret)
{
    uint32_t at, v;

    if (!get_type(r, WIT_CHAR, &at)) {
        return RHODES_TYPE_MISMATCH;
    }
    memcpy(&v, r->body + at, sizeof(v));
    if (!char_valid(v)) {
        return RHODES_GARBAGE;
    }
    *ret = v;
    cursor_advance(&r->cursor);
    return 0;
}

int rhodes_get_enum(struct rhodes_reader *r, uint32_t *ret)
{
    uint32_t at;
    const struct wit_type *type = get_type(r, WIT_ENUM, &at);

    if (!type) {
        return RHODES_TYPE_MISMATCH;
    }
    if (r->body[at] >= type->members_count) {
        return RHODES_GARBAGE;
    }
    *ret = r->body[at];
    cursor_advance(&r->cursor);
    return 0;
}

/* Checks the two words of a list or string at `at` against the body. */
static int get_sequence(const struct rhodes_reader *r, uint32_t at, uint32_t each, uint32_t align,
                        uint32_t *ret_offset, uint32_t *ret_count)
{
    uint32_t words[2];

    memcpy(words, r->body + at, sizeof(words));
    if (words[1] == 0) {
        words[0] = 0;
    } else if (each == 0 || words[0] % align != 0 || words[0] > r->bytes ||
               words[1] > (r->bytes - words[0]) / each) {
        return RHODES_GARBAGE;
    }
    *ret_offset = words[0];
    *ret_count = words[1];
    return 0;
}

int rhodes_get_string(struct rhodes_reader *r, const char **ret, size_t *ret_bytes)
{
    uint32_t at, offset, count;
    int result;

    if (!get_type(r, WIT_STRING, &at)) {
        return RHODES_TYPE_MISMATCH;
    }
    result = get_sequence(r, at, 1, 1, &offset, &count);
    if (!result && count && !text_valid(r->body + offset, count)) {
        result = RHODES_GARBAGE;
    }
    if (!result) {
        *ret = (const char *)r->body + offset;
        *ret_bytes = count;
        cursor_advance(&r->cursor);
    }
    return result;
}

int rhodes_get_bytes(struct rhodes_reader *r, const void **ret, size_t *ret_bytes)
{
    uint32_t at, offset, count;
    const struct wit_type *type = get_type(r, WIT_LIST, &at);
    int result;

    if (!type || type->members[0]->kind != WIT_U8) {
        return RHODES_TYPE_MISMATCH;
    }
    result = get_sequence(r, at, 1, 1, &offset, &count);
    if (!result) {
        *ret = r->body + offset;
        *ret_bytes = count;
        cursor_advance(&r->cursor);
    }
    return result;
}

int rhodes_get_begin(struct rhodes_reader *r)
{
    uint32_t at = 0;
    const struct wit_type *type = cursor_next(&r->cursor, &at);

    if (!type || (type->kind != WIT_RECORD && type->kind != WIT_TUPLE)) {
        return RHODES_TYPE_MISMATCH;
    }
    cursor_push(&r->cursor, type, at, type->members_count);
    return 0;
}

int rhodes_get_list(struct rhodes_reader *r, uint32_t *ret_count)
{
    uint32_t at, offset, count;
    const struct wit_type *type = get_type(r, WIT_LIST, &at);
    int result;

    if (!type) {
        return RHODES_TYPE_MISMATCH;
    }
    result = get_sequence(r, at, type->members[0]->bytes, type->members[0]->align, &offset, &count);
    if (!result) {
        *ret_count = count;
        cursor_push(&r->cursor, type, offset, count);
    }
    return result;
}

int rhodes_get_option(struct rhodes_reader *r, bool *ret_present)
{
    uint32_t at;
    const struct wit_type *type = get_type(r, WIT_OPTION, &at);

    if (!type) {
        return RHODES_TYPE_MISMATCH;
    }
    if (r->body[at] > 1) {
        return RHODES_GARBAGE;
    }
    *ret_present = r->body[at];
    if (*ret_present) {
        cursor_push(&r->cursor, type, at, 1);
    } else {
        cursor_advance(&r->cursor);
    }
    return 0;
}

int rhodes_get_end(struct rhodes_reader *r)
{
    return cursor_end(&r->cursor) ? 0 : RHODES_TYPE_MISMATCH;
}

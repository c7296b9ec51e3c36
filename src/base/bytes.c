/* The buffer and the cursor of every frame. All integers go through memcpy and are little-endian:
 * the first machine is x86-64, and a static assertion stops the build on another byte order. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian");

void bytes_init(struct bytes *b, size_t limit)
{
    *b = (struct bytes){ .limit = limit };
}

void bytes_deinit(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){ 0 };
}

void bytes_reset(struct bytes *b)
{
    b->used = 0;
    b->error = 0;
}

/* Makes room for n more bytes, and `spare` behind them that do not count against the limit. */
static void *bytes_reserve(struct bytes *b, size_t n, size_t spare)
{
    void *at;

    if (b->error) {
        return NULL;
    }
    if (n > SIZE_MAX / 4 - b->used || (b->limit && b->used + n > b->limit)) {
        b->error = RHODES_OVER_LIMIT;
        return NULL;
    }
    if (!b->data || b->used + n + spare > b->room) {
        size_t room = b->room ? b->room * 2 : 256;
        uint8_t *data;

        room = room < b->used + n + spare ? b->used + n + spare : room;
        data = realloc(b->data, room);
        if (!data) {
            b->error = -ENOMEM;
            return NULL;
        }
        b->data = data;
        b->room = room;
    }
    at = b->data + b->used;
    b->used += n;
    return at;
}

void *bytes_grow(struct bytes *b, size_t n)
{
    return bytes_reserve(b, n, 0);
}

void bytes_put(struct bytes *b, const void *data, size_t n)
{
    void *at = bytes_grow(b, n);

    if (at && n) {
        memcpy(at, data, n);
    }
}

void bytes_put_u8(struct bytes *b, uint8_t v)
{
    bytes_put(b, &v, sizeof(v));
}

void bytes_put_u16(struct bytes *b, uint16_t v)
{
    bytes_put(b, &v, sizeof(v));
}

void bytes_put_u32(struct bytes *b, uint32_t v)
{
    bytes_put(b, &v, sizeof(v));
}

void bytes_put_u64(struct bytes *b, uint64_t v)
{
    bytes_put(b, &v, sizeof(v));
}

void bytes_put_text(struct bytes *b, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (n > UINT32_MAX) {
        b->error = RHODES_OVER_LIMIT;
        return;
    }
    bytes_put_u32(b, (uint32_t)n);
    bytes_put(b, text, n);
}

void bytes_printf(struct bytes *b, const char *format, ...)
{
    va_list arguments, again;
    char *at;
    int n;

    va_start(arguments, format);
    va_copy(again, arguments);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    at = n >= 0 ? bytes_reserve(b, (size_t)n, 1) : NULL;
    if (at) { /* the NUL stays behind the end, so the buffer is also a C string */
        vsnprintf(at, (size_t)n + 1, format, again);
    }
    va_end(again);
}

struct reader reader_make(const void *data, size_t n)
{
    const uint8_t *at = data ? data : (const uint8_t *)""; /* adding 0 to NULL is undefined */

    return (struct reader){ .at = at, .end = at + n };
}

const void *reader_get(struct reader *r, size_t n)
{
    const void *at = r->at;

    if (r->error || n > (size_t)(r->end - r->at)) {
        r->error = r->error ? r->error : RHODES_INVALID;
        return NULL;
    }
    r->at += n;
    return at;
}

#define READER_NUMBER(name, type)                                                                  \
    type name(struct reader *r)                                                                    \
    {                                                                                              \
        const void *at = reader_get(r, sizeof(type));                                              \
        type v = 0;                                                                                \
                                                                                                   \
        if (at) {                                                                                  \
            memcpy(&v, at, sizeof(v));                                                             \
        }                                                                                          \
        return v;                                                                                  \
    }
READER_NUMBER(reader_u8, uint8_t)
READER_NUMBER(reader_u16, uint16_t)
READER_NUMBER(reader_u32, uint32_t)
READER_NUMBER(reader_u64, uint64_t)

struct span reader_span(struct reader *r)
{
    uint32_t n = reader_u32(r);
    const char *at = reader_get(r, n);

    return at ? (struct span){ at, n } : (struct span){ "", 0 };
}

char *reader_text_dup(struct reader *r, size_t max_bytes)
{
    struct span s = reader_span(r);
    char *copy;

    if (!r->error && (s.bytes > max_bytes || memchr(s.data, 0, s.bytes))) {
        r->error = RHODES_INVALID;
    }
    if (r->error) {
        return NULL;
    }
    copy = malloc(s.bytes + 1);
    if (!copy) {
        r->error = -ENOMEM;
        return NULL;
    }
    memcpy(copy, s.data, s.bytes);
    copy[s.bytes] = 0;
    return copy;
}

int reader_end(const struct reader *r)
{
    return r->error ? r->error : r->at == r->end ? 0 : RHODES_INVALID;
}

/* base/bytes.h - a growing buffer to write little-endian frames, and a cursor to read them back.
 *
 * Writer: every put appends; the first failure (no memory, or more than `limit` bytes) sticks in `error` and later
 * puts do nothing, so a caller checks once at the end.
 * Reader: every get checks its bounds; the first one that does not fit sets `error` to INVALID and later gets
 * return zero or empty, so a caller checks once at the end. A reader borrows the bytes; texts that it returns point
 * into them and are not NUL-terminated unless copied by reader_text_dup(). One owner, no locks. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

struct bytes {
    uint8_t *data;
    size_t used, room, limit; /* limit 0: none */
    int error;
};

void bytes_init(struct bytes *b, size_t limit);
void bytes_deinit(struct bytes *b);
void bytes_reset(struct bytes *b); /* empties it, keeps the memory, clears the error */

/* Appends `n` bytes of room and returns it, or NULL with b->error set. Valid until the next put. */
void *bytes_grow(struct bytes *b, size_t n);
void bytes_put(struct bytes *b, const void *data, size_t n);
void bytes_put_u8(struct bytes *b, uint8_t v);
void bytes_put_u16(struct bytes *b, uint16_t v);
void bytes_put_u32(struct bytes *b, uint32_t v);
void bytes_put_u64(struct bytes *b, uint64_t v);
/* A text: u32 length, then its bytes. NULL is written as the empty text. */
void bytes_put_text(struct bytes *b, const char *text);
void bytes_printf(struct bytes *b, const char *format, ...) PRINTF_LIKE(2, 3);

struct reader {
    const uint8_t *at, *end;
    int error;
};

struct span {
    const char *data;
    size_t bytes;
};

struct reader reader_make(const void *data, size_t n);
const void *reader_get(struct reader *r, size_t n); /* NULL when it does not fit */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
struct span reader_span(struct reader *r); /* a text as written by bytes_put_text */
/* A NUL-terminated copy for the caller to free. Refuses (INVALID) texts over `max_bytes` or with a NUL inside. On
 * any error returns NULL with r->error set (-ENOMEM when memory is out). */
char *reader_text_dup(struct reader *r, size_t max_bytes);
/* 0 when all bytes were read and nothing failed, else the first error (INVALID for left-over bytes). */
int reader_end(const struct reader *r) MUST_CHECK;

#endif

/* rhodes/value.h - typed values: write them, read them, and look at their types.
 *
 * Types are WIT's (bool, integers, floats, char, string, list, record, tuple, option, enum). A
 * writer takes one value, depth first: for a record, tuple or parameter list rhodes_put_begin, then
 * the members in order, then rhodes_put_end; for a list rhodes_put_list with its length, the
 * elements, rhodes_put_end; for an option rhodes_put_option, then the payload when present. Lists
 * of u8 may be put and got as one block. The parameters of a call are already begun: put them in
 * order. Every put is checked against the type: TYPE_MISMATCH at the first that differs, and it
 * sticks. A reader mirrors it. One thread at a time; nothing waits. Layout: the component model's
 * canonical ABI with 32-bit offsets. */
#ifndef RHODES_VALUE_H
#define RHODES_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rhodes/verdict.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum rhodes_kind {
    RHODES_BOOL,
    RHODES_U8,
    RHODES_U16,
    RHODES_U32,
    RHODES_U64,
    RHODES_S8,
    RHODES_S16,
    RHODES_S32,
    RHODES_S64,
    RHODES_F32,
    RHODES_F64,
    RHODES_CHAR,
    RHODES_STRING,
    RHODES_LIST,
    RHODES_RECORD,
    RHODES_TUPLE,
    RHODES_OPTION,
    RHODES_ENUM
};

struct rhodes_type; /* immutable; lives as long as the function it belongs to */
struct rhodes_writer;
struct rhodes_reader;

enum rhodes_kind rhodes_type_kind(const struct rhodes_type *t);
/* Record, tuple: members; enum: cases; list, option: 1; else 0. */
uint32_t rhodes_type_count(const struct rhodes_type *t);
/* The type of member i (list: the element, option: the payload); NULL for none. */
const struct rhodes_type *rhodes_type_member(const struct rhodes_type *t, uint32_t i);
/* The name of member or case i; NULL for none. */
const char *rhodes_type_name(const struct rhodes_type *t, uint32_t i);

/* The type of what is to be put or got next; NULL when the value is complete. */
const struct rhodes_type *rhodes_put_next(const struct rhodes_writer *w);
const struct rhodes_type *rhodes_get_next(const struct rhodes_reader *r);

/* Each returns 0, TYPE_MISMATCH, INVALID (not UTF-8, no such case, no such char) or OVER_LIMIT.
 * Data is copied. */
int rhodes_put_bool(struct rhodes_writer *w, bool v);
int rhodes_put_u8(struct rhodes_writer *w, uint8_t v);
int rhodes_put_u16(struct rhodes_writer *w, uint16_t v);
int rhodes_put_u32(struct rhodes_writer *w, uint32_t v);
int rhodes_put_u64(struct rhodes_writer *w, uint64_t v);
int rhodes_put_s8(struct rhodes_writer *w, int8_t v);
int rhodes_put_s16(struct rhodes_writer *w, int16_t v);
int rhodes_put_s32(struct rhodes_writer *w, int32_t v);
int rhodes_put_s64(struct rhodes_writer *w, int64_t v);
int rhodes_put_f32(struct rhodes_writer *w, float v);
int rhodes_put_f64(struct rhodes_writer *w, double v);
int rhodes_put_char(struct rhodes_writer *w, uint32_t v); /* a Unicode scalar value */
int rhodes_put_string(struct rhodes_writer *w, const char *text, size_t bytes); /* UTF-8 */
int rhodes_put_bytes(struct rhodes_writer *w, const void *data,
                     size_t bytes); /* list<u8> at once */
int rhodes_put_enum(struct rhodes_writer *w, uint32_t which);
int rhodes_put_begin(struct rhodes_writer *w); /* record or tuple */
int rhodes_put_list(struct rhodes_writer *w, uint32_t count);
int rhodes_put_option(struct rhodes_writer *w, bool present);
int rhodes_put_end(struct rhodes_writer *w); /* of begin or list */

/* Each returns 0, TYPE_MISMATCH, or GARBAGE when the body is not valid. Texts and blocks point into
 * the body. */
int rhodes_get_bool(struct rhodes_reader *r, bool *ret);
int rhodes_get_u8(struct rhodes_reader *r, uint8_t *ret);
int rhodes_get_u16(struct rhodes_reader *r, uint16_t *ret);
int rhodes_get_u32(struct rhodes_reader *r, uint32_t *ret);
int rhodes_get_u64(struct rhodes_reader *r, uint64_t *ret);
int rhodes_get_s8(struct rhodes_reader *r, int8_t *ret);
int rhodes_get_s16(struct rhodes_reader *r, int16_t *ret);
int rhodes_get_s32(struct rhodes_reader *r, int32_t *ret);
int rhodes_get_s64(struct rhodes_reader *r, int64_t *ret);
int rhodes_get_f32(struct rhodes_reader *r, float *ret);
int rhodes_get_f64(struct rhodes_reader *r, double *ret);
int rhodes_get_char(struct rhodes_reader *r, uint32_t *ret);
int rhodes_get_string(struct rhodes_reader *r, const char **ret,
                      size_t *ret_bytes); /* not NUL-terminated */
int rhodes_get_bytes(struct rhodes_reader *r, const void **ret, size_t *ret_bytes);
int rhodes_get_enum(struct rhodes_reader *r, uint32_t *ret);
int rhodes_get_begin(struct rhodes_reader *r);
int rhodes_get_list(struct rhodes_reader *r, uint32_t *ret_count);
int rhodes_get_option(struct rhodes_reader *r, bool *ret_present);
int rhodes_get_end(struct rhodes_reader *r);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

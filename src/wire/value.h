/* wire/value.h - typed values in the canonical ABI's layout, with 32-bit offsets from the start of
 * the body.
 *
 * The public faces are rhodes/value.h's writer and reader; this header adds what the other rooms
 * need. Writing checks every put against the type, in depth-first order; reading checks every
 * offset, count, bool, enum case, char and UTF-8 text against the body before it is used. A body
 * is: the fixed part of the parameters' record (or of the result) at offset 0, then what lists and
 * strings point to. */
#ifndef WIRE_VALUE_H
#define WIRE_VALUE_H

#include "model/wit.h"
#include "rhodes/value.h"

/* Makes a writer for one value of `type` (borrowed, must outlive it); bodies over `limit` bytes are
 * OVER_LIMIT. */
int value_writer_new(const struct wit_type *type, size_t limit,
                     struct rhodes_writer **ret) MUST_CHECK;
struct rhodes_writer *value_writer_free(struct rhodes_writer *w);
void value_writer_reset(struct rhodes_writer *w,
                        const struct wit_type *type); /* for the next value, keeps memory */
/* The same for the parameters of a function: their record is begun already and need not be ended.
 */
void value_writer_parameters(struct rhodes_writer *w, const struct wit_type *parameters);
/* The finished body; INVALID when something is missing or any put failed (the first error). Valid
 * until the next reset. */
int value_writer_body(struct rhodes_writer *w, const void **ret, size_t *ret_bytes) MUST_CHECK;

int value_reader_new(struct rhodes_reader **ret) MUST_CHECK;
struct rhodes_reader *value_reader_free(struct rhodes_reader *r);
/* Begins reading a body (borrowed, private memory: not shared with a peer). GARBAGE when the fixed
 * part does not fit. */
int value_reader_reset(struct rhodes_reader *r, const struct wit_type *type, const void *body,
                       size_t bytes) MUST_CHECK;

/* The same for the parameters of a function: their record is begun already and need not be ended.
 */
int value_reader_parameters(struct rhodes_reader *r, const struct wit_type *parameters,
                            const void *body, size_t bytes) MUST_CHECK;

/* Checks a whole body against its type: what a callee does once before it runs. GARBAGE. Bounded
 * work: lists may not overlap to multiply it (the sum of all elements is at most the body's bytes,
 * zero-sized elements are refused). */
int value_check(const struct wit_type *type, const void *body, size_t bytes) MUST_CHECK;

#endif

/* model/wit_type.h - how wit.c builds types: the memory of one function, the layout of each type, the canonical text.
 * Internal to the model.
 *
 * All memory of a parsed function lies in one arena that ends with it. So types may be shared inside a function (a named
 * type that is used twice is built once), and freeing never walks them. */
#ifndef MODEL_WIT_TYPE_H
#define MODEL_WIT_TYPE_H

#include "base/bytes.h"
#include "model/wit.h"

#define WIT_TYPE_BYTES_MAX                                                                         \
    65536 /* fixed part of one type; more than any canonical text can spell */

struct wit_block;

struct wit_arena {
    struct wit_block *blocks;
};

/* Zeroed memory of the arena; NULL when memory is out. */
void *wit_arena_get(struct wit_arena *a, size_t bytes);
char *wit_arena_text(struct wit_arena *a, const char *text, size_t bytes);
void wit_arena_deinit(struct wit_arena *a);

/* Sets bytes, align and offsets from kind and members (which are laid out). -ENOMEM, or OVER_LIMIT for a type over
 * WIT_TYPE_BYTES_MAX. */
int wit_type_layout(struct wit_arena *a, struct wit_type *t) MUST_CHECK;

/* The word of a kind ("u32", "list"). */
const char *wit_kind_name(enum wit_kind kind);

/* Appends canonical text. Depth is bounded by WIT_DEPTH_MAX, length by b's limit. */
void wit_type_write(struct bytes *b, const struct wit_type *t);
void wit_function_write(struct bytes *b, const struct wit_function *f);

#endif

/* wire/cursor.h - where a writer or a reader stands in a value: a stack of the records, lists and
 * options that are open.
 *
 * Private to wire/value*.c. Its depth is that of the type (WIT_DEPTH_MAX at most), never of the
 * data. Both faces walk with the same steps, so what a writer accepts is what a reader accepts. */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <assert.h>
#include <stdint.h>

#include "model/wit.h"

#define CURSOR_FRAMES                                                                              \
    (WIT_DEPTH_MAX +                                                                               \
     2) /* the parameters' record, and one for a leaf's option                     \
                         */

struct cursor {
    const struct wit_type *root;
    uint32_t root_at;
    bool done;       /* the whole value has been passed */
    bool parameters; /* the outermost record was begun for the user and is not ended by him */
    unsigned depth;
    struct frame {
        const struct wit_type *type; /* record, tuple, list or option */
        uint32_t at;                 /* of the record, the first element, the option */
        uint32_t next, count;        /* members or elements */
    } frame[CURSOR_FRAMES];
};

static inline void cursor_reset(struct cursor *c, const struct wit_type *root)
{
    c->root = root;
    c->root_at = 0;
    c->done = false;
    c->parameters = false;
    c->depth = 0;
}

/* The type at the cursor and where its value lies; NULL when nothing is expected but an end, or
 * nothing at all. */
static inline const struct wit_type *cursor_next(const struct cursor *c, uint32_t *ret_at)
{
    const struct frame *f;

    if (c->depth == 0) {
        *ret_at = c->root_at;
        return c->done ? NULL : c->root;
    }
    f = &c->frame[c->depth - 1];
    if (f->next == f->count) {
        return NULL;
    }
    if (f->type->kind == WIT_LIST) {
        *ret_at = f->at + f->next * f->type->members[0]->bytes;
        return f->type->members[0];
    }
    *ret_at = f->at + f->type->offsets[f->next];
    return f->type->members[f->next];
}

/* The value at the cursor has been passed; an option is over with its payload. */
static inline void cursor_advance(struct cursor *c)
{
    while (c->depth) {
        struct frame *f = &c->frame[c->depth - 1];

        f->next++;
        if (f->type->kind != WIT_OPTION) {
            return;
        }
        c->depth--;
    }
    c->done = true;
}

static inline void cursor_push(struct cursor *c, const struct wit_type *type, uint32_t at,
                               uint32_t count)
{
    assert(c->depth < CURSOR_FRAMES); /* wit.c bounds the depth of every type */
    c->frame[c->depth++] = (struct frame){ type, at, 0, count };
}

/* Ends a record, tuple or list; false when members are missing or none is open. */
static inline bool cursor_end(struct cursor *c)
{
    const struct frame *f = c->depth ? &c->frame[c->depth - 1] : NULL;

    if (!f || f->next != f->count || (c->parameters && c->depth == 1)) {
        return false;
    }
    c->depth--;
    cursor_advance(c);
    return true;
}

static inline bool cursor_complete(const struct cursor *c)
{
    return c->done || (c->parameters && c->depth == 1 && c->frame[0].next == c->frame[0].count);
}

/* Strict UTF-8 (no surrogates, no overlong forms, at most U+10FFFF); value.c. */
bool text_valid(const void *text, size_t bytes);

static inline bool char_valid(uint32_t v)
{
    return v < 0xd800 || (v > 0xdfff && v < 0x110000);
}

#endif

/* Types as others see them, and the check of a whole body.
 *
 * value_check is what stands between a peer's bytes and a function that runs on them, so its work
 * is bounded by the body's length: each list and text takes its bytes from a budget of all the
 * body's bytes, and a body whose lists overlap to look larger than it is runs out. Numbers hold any
 * bits and are not visited. The layout is the component model's canonical ABI with offsets from the
 * body's start where it has pointers. */
#include "wire/value.h"

#include <string.h>

#include "wire/cursor.h"

_Static_assert((int)RHODES_BOOL == (int)WIT_BOOL && (int)RHODES_CHAR == (int)WIT_CHAR &&
                   (int)RHODES_STRING == (int)WIT_STRING && (int)RHODES_ENUM == (int)WIT_ENUM,
               "the public kinds are the model's");

static const struct wit_type *type_of(const struct rhodes_type *t)
{
    return (const struct wit_type *)t;
}

enum rhodes_kind rhodes_type_kind(const struct rhodes_type *t)
{
    return (enum rhodes_kind)type_of(t)->kind;
}

uint32_t rhodes_type_count(const struct rhodes_type *t)
{
    return type_of(t)->members_count;
}

const struct rhodes_type *rhodes_type_member(const struct rhodes_type *t, uint32_t i)
{
    const struct wit_type *type = type_of(t);

    return type->members && i < type->members_count ? (const struct rhodes_type *)type->members[i]
                                                    : NULL;
}

const char *rhodes_type_name(const struct rhodes_type *t, uint32_t i)
{
    const struct wit_type *type = type_of(t);

    return type->names && i < type->members_count ? type->names[i] : NULL;
}

/* The length of the sequence at `at`, 0 when it is not valid. */
static size_t sequence_valid(const uint8_t *at, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t n;

    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        n = 2;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        n = 3;
        low = at[0] == 0xe0 ? 0xa0 : low;
        high = at[0] == 0xed ? 0x9f : high;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        n = 4;
        low = at[0] == 0xf0 ? 0x90 : low;
        high = at[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (n > left || at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf) {
            return 0;
        }
    }
    return n;
}

bool text_valid(const void *text, size_t bytes)
{
    const uint8_t *at = text, *end = at + bytes;

    while (at < end) {
        uint64_t eight;
        size_t n = 1;

        if (end - at >= 8) { /* most text is ASCII */
            memcpy(&eight, at, 8);
            if (!(eight & 0x8080808080808080u)) {
                at += 8;
                continue;
            }
        }
        if (*at >= 0x80) {
            n = sequence_valid(at, (size_t)(end - at));
            if (!n) {
                return false;
            }
        }
        at += n;
    }
    return true;
}

struct check {
    const uint8_t *body;
    size_t bytes, budget;
};

static uint32_t load_u32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

/* Any bits are a value. */
static bool kind_plain(enum wit_kind kind)
{
    return kind >= WIT_U8 && kind <= WIT_F64;
}

static bool value_valid(struct check *c, const struct wit_type *type, size_t at);

static bool sequence_of(struct check *c, const struct wit_type *type, size_t at)
{
    const struct wit_type *element = type->kind == WIT_LIST ? type->members[0] : NULL;
    size_t each = element ? element->bytes : 1, align = element ? element->align : 1;
    size_t offset = load_u32(c->body + at), count = load_u32(c->body + at + 4);

    if (count == 0) {
        return true;
    }
    if (each == 0 || count > c->budget / each || offset % align != 0 || offset > c->bytes ||
        count * each > c->bytes - offset) {
        return false;
    }
    c->budget -= count * each;
    if (!element) {
        return text_valid(c->body + offset, count);
    }
    if (kind_plain(element->kind)) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!value_valid(c, element, offset + i * each)) {
            return false;
        }
    }
    return true;
}

/* `at` has been checked to hold type->bytes. Recurses as deep as the type, which wit.c bounds. */
static bool value_valid(struct check *c, const struct wit_type *type, size_t at)
{
    const uint8_t *p = c->body + at;

    switch (type->kind) {
    case WIT_BOOL:
        return *p <= 1;
    case WIT_CHAR:
        return char_valid(load_u32(p));
    case WIT_ENUM:
        return *p < type->members_count;
    case WIT_STRING:
    case WIT_LIST:
        return sequence_of(c, type, at);
    case WIT_RECORD:
    case WIT_TUPLE:
        for (uint32_t i = 0; i < type->members_count; i++) {
            if (!value_valid(c, type->members[i], at + type->offsets[i])) {
                return false;
            }
        }
        return true;
    case WIT_OPTION:
        return *p == 0 || (*p == 1 && value_valid(c, type->members[0], at + type->offsets[0]));
    case WIT_U8:
    case WIT_U16:
    case WIT_U32:
    case WIT_U64:
    case WIT_S8:
    case WIT_S16:
    case WIT_S32:
    case WIT_S64:
    case WIT_F32:
    case WIT_F64:
        return true;
    }
    return false;
}

int value_check(const struct wit_type *type, const void *body, size_t bytes)
{
    struct check c = { body, bytes, bytes };

    if (bytes < type->bytes || bytes > UINT32_MAX) {
        return RHODES_GARBAGE;
    }
    c.budget -= type->bytes;
    return value_valid(&c, type, 0) ? 0 : RHODES_GARBAGE;
}

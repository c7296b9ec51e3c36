/* Types once they are parsed: where each member lies (the component model's canonical ABI, with
 * 32-bit offsets), and the one text that two sides compare. The text expands every named type in
 * place, so what a side calls its types does not matter; it also bounds the work of every walk over
 * a type, since each step of a walk has written at least a letter. */
#include "model/wit_type.h"

#include <string.h>

#define BLOCK_BYTES 2048

struct wit_block {
    struct wit_block *next;
    size_t used, room;
    _Alignas(16) unsigned char data[];
};

void *wit_arena_get(struct wit_arena *a, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    struct wit_block *b = a->blocks;

    if (!b || b->room - b->used < rounded) {
        size_t room = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;

        b = calloc(1, sizeof(*b) + room);
        if (!b) {
            return NULL;
        }
        b->room = room;
        b->next = a->blocks;
        a->blocks = b;
    }
    b->used += rounded;
    return b->data + b->used - rounded;
}

char *wit_arena_text(struct wit_arena *a, const char *text, size_t bytes)
{
    char *copy = wit_arena_get(a, bytes + 1);

    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void wit_arena_deinit(struct wit_arena *a)
{
    while (a->blocks) {
        struct wit_block *b = a->blocks;

        a->blocks = b->next;
        free(b);
    }
}

static const struct {
    const char *name;
    uint32_t bytes; /* also the alignment, but for string and list, whose words are of 4 */
} KINDS[] = {
    [WIT_BOOL] = { "bool", 1 },     [WIT_U8] = { "u8", 1 },         [WIT_U16] = { "u16", 2 },
    [WIT_U32] = { "u32", 4 },       [WIT_U64] = { "u64", 8 },       [WIT_S8] = { "s8", 1 },
    [WIT_S16] = { "s16", 2 },       [WIT_S32] = { "s32", 4 },       [WIT_S64] = { "s64", 8 },
    [WIT_F32] = { "f32", 4 },       [WIT_F64] = { "f64", 8 },       [WIT_CHAR] = { "char", 4 },
    [WIT_STRING] = { "string", 8 }, [WIT_LIST] = { "list", 8 },     [WIT_RECORD] = { "record", 0 },
    [WIT_TUPLE] = { "tuple", 0 },   [WIT_OPTION] = { "option", 0 }, [WIT_ENUM] = { "enum", 1 },
};
_Static_assert(WIT_FIELDS_MAX <= 256, "the case of an enum fits one byte");

const char *wit_kind_name(enum wit_kind kind)
{
    return KINDS[kind].name;
}

static uint32_t align_up(uint32_t at, uint32_t align)
{
    return (at + align - 1) / align * align;
}

/* Members one after the other from `at`, each at its alignment. No sum overflows: 64 members of 64
 * KiB at most. */
static int members_layout(struct wit_arena *a, struct wit_type *t, uint32_t at)
{
    t->align = 1;
    t->offsets = wit_arena_get(a, (t->members_count + 1) * sizeof(*t->offsets));
    if (!t->offsets) {
        return failed(-ENOMEM);
    }
    for (uint32_t i = 0; i < t->members_count; i++) {
        const struct wit_type *m = t->members[i];

        at = align_up(at, m->align);
        t->offsets[i] = at;
        at += m->bytes;
        t->align = t->align < m->align ? m->align : t->align;
    }
    t->bytes = align_up(at, t->align);
    return t->bytes > WIT_TYPE_BYTES_MAX ? RHODES_OVER_LIMIT : 0;
}

int wit_type_layout(struct wit_arena *a, struct wit_type *t)
{
    if (t->kind == WIT_RECORD || t->kind == WIT_TUPLE) {
        return members_layout(a, t, 0);
    }
    if (t->kind == WIT_OPTION) {
        return members_layout(a, t, 1); /* a byte that says whether there is one */
    }
    t->bytes = KINDS[t->kind].bytes;
    t->align = t->kind == WIT_STRING || t->kind == WIT_LIST ? 4 : t->bytes;
    return 0;
}

/* "a: u32, b: string", "x, y" or "u32, string": names, types or both. */
static void members_write(struct bytes *b, const struct wit_type *t)
{
    for (uint32_t i = 0; i < t->members_count && !b->error; i++) {
        if (i > 0) {
            bytes_put(b, ", ", 2);
        }
        if (t->names) {
            bytes_put(b, t->names[i], strlen(t->names[i]));
        }
        if (t->names && t->members) {
            bytes_put(b, ": ", 2);
        }
        if (t->members) {
            wit_type_write(b, t->members[i]);
        }
    }
}

void wit_type_write(struct bytes *b, const struct wit_type *t)
{
    const char *name = KINDS[t->kind].name;

    bytes_put(b, name, strlen(name));
    if (t->members_count > 0) {
        bytes_put(b, t->names ? "{" : "<", 1);
        members_write(b, t);
        bytes_put(b, t->names ? "}" : ">", 1);
    }
}

void wit_function_write(struct bytes *b, const struct wit_function *f)
{
    bytes_put(b, f->name, strlen(f->name));
    bytes_put(b, ": func(", 7);
    members_write(b, f->parameters);
    bytes_put(b, ")", 1);
    if (f->result) {
        bytes_put(b, " -> ", 4);
        wit_type_write(b, f->result);
    }
}

/* Values: the first byte chooses a type, the rest is a body from a peer. What value_check lets pass
 * can be read to its end, and what was read can be written and is good again. Reading never leaves
 * the body, also where nothing was checked before. */
#include <assert.h>
#include <stdlib.h>

#include "wire/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const types[] = {
    "f: func(a: u8, b: u64, c: bool, d: char, e: f32, g: f64)",
    "f: func(a: string, b: list<u8>)",
    "f: func(a: list<list<u8>>)",
    "f: func(a: list<record{x: u8, y: string, z: option<u32>}>)",
    "f: func(a: tuple<s8, option<list<string>>>, b: enum{x, y, z})",
    "f: func(a: list<list<list<tuple<bool, char>>>>)",
    "f: func()",
};

#define BODY_BYTES_MAX (16u << 20)
#define MEMBERS_MAX    100000 /* of lists, in one walk: an unchecked body may promise more */

struct walk {
    struct rhodes_reader *from;
    struct rhodes_writer *to;
    size_t members;
};

static int walk_value(struct walk *w);

/* One put for one get; the writer is checked at its end. */
#define COPY(kind, type, name)                                                                     \
    case kind: {                                                                                   \
        type v = 0;                                                                                \
        int r = rhodes_get_##name(w->from, &v);                                                    \
        return r ? r : rhodes_put_##name(w->to, v);                                                \
    }

static int walk_members(struct walk *w, uint32_t count)
{
    int r = 0;

    for (uint32_t i = 0; i < count && !r; i++) {
        r = w->members++ < MEMBERS_MAX ? walk_value(w) : RHODES_OVER_LIMIT;
    }
    r = r ? r : rhodes_get_end(w->from);
    return r ? r : rhodes_put_end(w->to);
}

static int walk_record(struct walk *w, uint32_t count)
{
    int r = rhodes_get_begin(w->from);

    r = r ? r : rhodes_put_begin(w->to);
    return r ? r : walk_members(w, count);
}

static int walk_list(struct walk *w)
{
    uint32_t count = 0;
    int r = rhodes_get_list(w->from, &count);

    r = r ? r : rhodes_put_list(w->to, count);
    return r ? r : walk_members(w, count);
}

static int walk_option(struct walk *w)
{
    bool present = false;
    int r = rhodes_get_option(w->from, &present);

    r = r ? r : rhodes_put_option(w->to, present);
    return r || !present ? r : walk_value(w);
}

static int walk_string(struct walk *w)
{
    const char *text = NULL;
    size_t bytes = 0;
    int r = rhodes_get_string(w->from, &text, &bytes);

    return r ? r : rhodes_put_string(w->to, text, bytes);
}

/* Recursion is as deep as the type, and those are above. */
static int walk_value(struct walk *w)
{
    const struct rhodes_type *type = rhodes_get_next(w->from);

    if (!type) {
        return RHODES_GARBAGE;
    }
    switch (rhodes_type_kind(type)) {
        COPY(RHODES_BOOL, bool, bool)
        COPY(RHODES_U8, uint8_t, u8)
        COPY(RHODES_U16, uint16_t, u16)
        COPY(RHODES_U32, uint32_t, u32)
        COPY(RHODES_U64, uint64_t, u64)
        COPY(RHODES_S8, int8_t, s8)
        COPY(RHODES_S16, int16_t, s16)
        COPY(RHODES_S32, int32_t, s32)
        COPY(RHODES_S64, int64_t, s64)
        COPY(RHODES_F32, float, f32)
        COPY(RHODES_F64, double, f64)
        COPY(RHODES_CHAR, uint32_t, char)
        COPY(RHODES_ENUM, uint32_t, enum)
    case RHODES_STRING:
        return walk_string(w);
    case RHODES_LIST:
        return walk_list(w);
    case RHODES_OPTION:
        return walk_option(w);
    case RHODES_RECORD:
    case RHODES_TUPLE:
        return walk_record(w, rhodes_type_count(type));
    }
    abort();
}

static void body_try(const struct wit_type *type, const uint8_t *body, size_t bytes)
{
    bool good = value_check(type, body, bytes) == 0;
    struct walk w = { .members = 0 };
    const void *again = NULL;
    size_t again_bytes = 0;
    int r;

    assert(value_reader_new(&w.from) == 0);
    assert(value_writer_new(type, BODY_BYTES_MAX, &w.to) == 0);
    r = value_reader_reset(w.from, type, body, bytes);
    r = r ? r : walk_value(&w);
    assert(!good || r == 0);
    if (r == 0 && value_writer_body(w.to, &again, &again_bytes) == 0) {
        assert(value_check(type, again, again_bytes) == 0);
    } else {
        assert(!good);
    }
    value_reader_free(w.from);
    value_writer_free(w.to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct wit_function *f = NULL;
    struct wit_error error;

    if (bytes == 0) {
        return 0;
    }
    assert(wit_function_parse(types[data[0] % (sizeof(types) / sizeof(types[0]))], NULL, &f,
                              &error) == 0);
    body_try(f->parameters, data + 1, bytes - 1);
    wit_function_unref(f);
    return 0;
}

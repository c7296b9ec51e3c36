/* Function types: any two texts (types, NUL, function) are refused with a place inside them or
 * parsed, and what was parsed reads the same again from its canonical text and lies within its own
 * bytes. */
#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "model/wit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Depth is bounded by WIT_DEPTH_MAX, the steps by the canonical text. */
static void type_check(const struct wit_type *t)
{
    assert(t->align == 1 || t->align == 2 || t->align == 4 || t->align == 8);
    assert(t->bytes % t->align == 0);
    for (uint32_t i = 0; t->members && i < t->members_count; i++) {
        const struct wit_type *m = t->members[i];

        type_check(m);
        if (t->offsets) {
            assert(t->offsets[i] % m->align == 0);
            assert(t->offsets[i] + m->bytes <= t->bytes);
        }
    }
}

static void parsed_check(const struct wit_function *f)
{
    struct wit_function *again;
    struct wit_error error;

    type_check(f->parameters);
    if (f->result) {
        type_check(f->result);
    }
    assert(f->id == hash_bytes(f->signature, strlen(f->signature)));
    assert(strncmp(f->signature, f->name, strlen(f->name)) == 0);
    assert(wit_function_parse(f->signature, NULL, &again, &error) == 0);
    assert(strcmp(again->signature, f->signature) == 0);
    wit_function_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = calloc(1, bytes + 2); /* two NULs: both texts end */
    struct wit_function *f;
    struct wit_error error;
    int r;

    assert(text);
    memcpy(text, data, bytes);
    r = wit_function_parse(text + strlen(text) + 1, text, &f, &error);
    if (r == 0) {
        parsed_check(f);
        wit_function_unref(f);
    } else {
        assert(r == RHODES_INVALID || r == RHODES_OVER_LIMIT);
        assert(error.message[0] && error.line >= 1 && error.column >= 1);
    }
    free(text);
    return 0;
}

/* Function types: any two texts (type definitions, a NUL, the function) are refused with a place,
 * or parsed into a canonical text that parses into itself. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/wit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct wit_function *f = NULL, *again = NULL;
    struct wit_error error = { .line = 0 };
    char *types = calloc(1, bytes + 2), *function;
    int r;

    assert(types);
    memcpy(types, data, bytes);
    function = types + strlen(types) < types + bytes ? types + strlen(types) + 1 : types + bytes;
    r = wit_function_parse(function, *types ? types : NULL, &f, &error);
    if (r == 0) {
        assert(wit_function_parse(f->signature, NULL, &again, &error) == 0);
        assert(strcmp(f->signature, again->signature) == 0 && f->id == again->id);
        assert(f->parameters->bytes == again->parameters->bytes);
    } else {
        assert(r != RHODES_INVALID || error.line > 0);
    }
    wit_function_unref(f);
    wit_function_unref(again);
    free(types);
    return 0;
}

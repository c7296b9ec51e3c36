/* cli/scalar.h - what a plain YAML scalar means under the core schema of YAML 1.2 (section 10.3.2).
 * Pure. */
#ifndef CLI_SCALAR_H
#define CLI_SCALAR_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

enum scalar {
    SCALAR_TEXT,
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_INTEGER,
    SCALAR_REAL,
    SCALAR_NOT_FINITE
};

enum scalar scalar_kind(const char *text, size_t bytes);

/* The JSON value of `text` read as `kind`. INVALID with a static sentence when it does not fit (an
 * integer beyond 64 bits, a real beyond a double, .inf, .nan, or a text of another form than the
 * kind); -ENOMEM. */
int scalar_value(enum scalar kind, const char *text, size_t bytes, json_t **ret,
                 const char **ret_why) MUST_CHECK;

#endif

/* center/uri.h - the target of a request, taken apart: path segments and query parameters, decoded.
 * Pure.
 *
 * Strict on purpose: one path has one spelling. Empty segments, "." and "..", an encoded '/',
 * control characters and bad escapes name nothing; a parameter may stand once. */
#ifndef CENTER_URI_H
#define CENTER_URI_H

#include <stdbool.h>

#include "model/refusal.h"

#define URI_BYTES_MAX      2048
#define URI_SEGMENTS_MAX   4
#define URI_PARAMETERS_MAX 8

struct uri {
    char text[URI_BYTES_MAX]; /* what the pointers below point into */
    size_t segments_count, parameters_count;
    const char *segments[URI_SEGMENTS_MAX];
    struct {
        const char *name, *value; /* value "" when there is no '=' */
    } parameters[URI_PARAMETERS_MAX];
};

/* MALFORMED, NO_SUCH_PATH, TOO_LARGE or DUPLICATE. */
int uri_parse(const char *target, struct uri *ret, struct refusal *why) MUST_CHECK;
const char *uri_parameter(const struct uri *u, const char *name); /* NULL when it is not there */

/* "true", "" and "1" or "false" and "0". BAD_VALUE otherwise. Absent: false. */
int uri_flag(const struct uri *u, const char *name, bool *ret, struct refusal *why) MUST_CHECK;
/* A number from `min` to `max`. Absent: *ret stays. */
int uri_number(const struct uri *u, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
               struct refusal *why) MUST_CHECK;
/* A duration: 100us, 50ms, 5s, 2m; at most `max_ns`. Absent: *ret_ns stays. */
int uri_duration(const struct uri *u, const char *name, uint64_t max_ns, uint64_t *ret_ns,
                 struct refusal *why) MUST_CHECK;

#endif

/* center/pins.h - collections as they were at one revision, kept so that the pages of a list agree.
 * One thread. */
#ifndef CENTER_PINS_H
#define CENTER_PINS_H

#include "model/catalog.h"

#define PINS_MAX 16

struct pin {
    enum kind kind;
    uint64_t revision;
    size_t count;
    struct object **objects; /* in the order of their names */
    uint64_t used;           /* when it was last asked for, as a count */
};

struct pins;

int pins_new(struct pins **ret) MUST_CHECK;
struct pins *pins_free(struct pins *p);
/* The collection at `revision`, which is the catalog's or one that was asked for lately; else
 * STALE. Borrowed until the next call. */
int pins_get(struct pins *p, const struct catalog *catalog, enum kind kind, uint64_t revision,
             const struct pin **ret) MUST_CHECK;

#endif

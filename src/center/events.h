/* center/events.h - the last thousand operational events (agent ready, agent lost, ...). Soft
 * state: it is not in the store and begins empty. One owner, one thread. */
#ifndef CENTER_EVENTS_H
#define CENTER_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "base/result.h"

#define EVENTS_MAX           1000
#define EVENT_NAME_BYTES     48
#define EVENT_RESOURCE_BYTES 176

struct occurrence {
    uint64_t id; /* from 1, strictly increasing */
    uint64_t at_ms;
    char event[EVENT_NAME_BYTES]; /* [a-z0-9.-] only */
    char resource[EVENT_RESOURCE_BYTES];
    char *text;
};

struct events;

int events_new(struct events **ret) MUST_CHECK;
struct events *events_free(struct events *e);
/* Adds one; the oldest goes. The texts are copied and cut to fit; when memory is out the text is
 * lost, not the event. */
void events_add(struct events *e, uint64_t at_ms, const char *event, const char *resource,
                const char *text);
uint64_t events_last(const struct events *e); /* its id, 0: none yet */
/* The first kept one with an id above `after`; NULL: none. Valid until the next add. */
const struct occurrence *events_next(const struct events *e, uint64_t after);
json_t *occurrence_json(const struct occurrence *o);

#endif

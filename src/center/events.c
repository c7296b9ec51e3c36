/* A ring by id: event number N lies in place N modulo the ring's size, so that a reader that keeps
 * only the last id it saw finds the next in one step, and one that was too slow goes on with the
 * oldest that is kept. */
#include "center/events.h"

#include <stdio.h>
#include <string.h>

#include "center/document.h"

struct events {
    uint64_t last;
    struct occurrence ring[EVENTS_MAX];
};

int events_new(struct events **ret)
{
    struct events *e = calloc(1, sizeof(*e));

    if (!e) {
        return failed(-ENOMEM);
    }
    *ret = e;
    return 0;
}

struct events *events_free(struct events *e)
{
    for (size_t i = 0; e && i < EVENTS_MAX; i++) {
        free(e->ring[i].text);
    }
    free(e);
    return NULL;
}

void events_add(struct events *e, uint64_t at_ms, const char *event, const char *resource,
                const char *text)
{
    struct occurrence *o = &e->ring[++e->last % EVENTS_MAX];

    o->id = e->last;
    o->at_ms = at_ms;
    snprintf(o->event, sizeof(o->event), "%s", event);
    for (char *at = o->event; *at; at++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-", *at)) {
            *at = '-';
        }
    }
    snprintf(o->resource, sizeof(o->resource), "%s", resource);
    free(o->text);
    o->text = strdup(text);
}

uint64_t events_last(const struct events *e)
{
    return e->last;
}

const struct occurrence *events_next(const struct events *e, uint64_t after)
{
    uint64_t oldest = e->last > EVENTS_MAX ? e->last - EVENTS_MAX + 1 : 1;
    uint64_t id = after + 1 > oldest ? after + 1 : oldest;

    return id <= e->last ? &e->ring[id % EVENTS_MAX] : NULL;
}

json_t *occurrence_json(const struct occurrence *o)
{
    char at[TIME_TEXT_BYTES];
    json_t *json = json_object();

    json_object_set_new(json, "id", json_integer((json_int_t)o->id));
    json_object_set_new(json, "at", json_string(time_text(o->at_ms, at)));
    json_object_set_new(json, "event", json_string(o->event));
    json_object_set_new(json, "resource", document_text(o->resource));
    json_object_set_new(json, "text", document_text(o->text));
    return json;
}

/* The stream between center and agent: any bytes are refused or decoded, what was decoded encodes
 * to the same bytes again, and a view that was accepted can be judged on, compared and patched. */
#include <assert.h>
#include <string.h>

#include "wire/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void view_check(struct view *v)
{
    struct view_delta *d;
    struct view *same;
    const struct view_edge *edge;

    for (size_t i = 0; i < v->edges_count; i++) {
        assert(view_edge_find(v, v->edges[i].peer, v->edges[i].outgoing) == &v->edges[i]);
    }
    (void)!view_judge_incoming(v, "service/tcp", 1, &edge);
    (void)!view_judge_outgoing(v, "service/tcp", 1, &edge);
    assert(view_diff(v, v, &d) == 0);
    assert(!d->self && d->upserts_count == 0 && d->removals_count == 0);
    assert(view_patch(v, d, &same) == 0);
    view_delta_free(d);
    view_unref(same);
}

/* A delta that leads from the empty view must do so, or say that the result is too large. */
static void delta_check(struct view_delta *d)
{
    struct view none = { .references = 1, .revision = d->revision_from }, *v;

    if (view_patch(&none, d, &v) == 0) {
        assert(v->revision == d->revision_to && v->edges_count == d->upserts_count);
        view_unref(v);
    }
}

static void event_check(const uint8_t *data, size_t bytes)
{
    struct bytes again;
    struct event e;

    if (event_decode(data, bytes, &e)) {
        return;
    }
    bytes_init(&again, 0);
    event_encode(&again, &e);
    assert(again.error == 0 && again.used == bytes && memcmp(again.data, data, bytes) == 0);
    bytes_deinit(&again);
    if (e.view) {
        view_check(e.view);
    }
    if (e.delta) {
        delta_check(e.delta);
    }
    event_deinit(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct view *v;
    size_t whole;
    int r = event_head(data, bytes, &whole);

    assert(r == 0 || r == -EAGAIN || r == RHODES_INVALID || r == RHODES_OVER_LIMIT);
    if (r == 0 && whole <= bytes) {
        event_check(data, whole);
    }
    if (view_decode(data, bytes, &v) == 0) {
        view_check(v);
        view_unref(v);
    }
    return 0;
}

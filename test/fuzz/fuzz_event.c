/* The watch protocol's frames: any bytes are refused, or decoded into an event that encodes into
 * bytes which decode into the same event. */
#include <assert.h>
#include <string.h>

#include "wire/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void view_try(const uint8_t *data, size_t bytes)
{
    struct bytes b;
    struct view *v = NULL, *again = NULL;

    if (view_decode(data, bytes, &v)) {
        return;
    }
    bytes_init(&b, 0);
    view_encode(&b, v);
    assert(b.error == 0);
    assert(view_decode(b.data, b.used, &again) == 0);
    assert(again->revision == v->revision && again->edges_count == v->edges_count);
    view_unref(v);
    view_unref(again);
    bytes_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct event event = { .type = 0 }, again = { .type = 0 };
    struct bytes first, second;
    size_t frame = 0;

    view_try(data, bytes);
    if (event_head(data, bytes, &frame) || frame > bytes || event_decode(data, frame, &event)) {
        return 0;
    }
    bytes_init(&first, 0);
    bytes_init(&second, 0);
    event_encode(&first, &event);
    assert(first.error == 0);
    assert(event_decode(first.data, first.used, &again) == 0);
    event_encode(&second, &again);
    assert(first.used == second.used && memcmp(first.data, second.data, first.used) == 0);
    event_deinit(&event);
    event_deinit(&again);
    bytes_deinit(&first);
    bytes_deinit(&second);
    return 0;
}

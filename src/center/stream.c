/* A reader asks, the stream answers from the store's log (or from the ring of events), and when
 * there is nothing new its connection is suspended until something is. So delivery is exactly once
 * and in order by construction: a stream is a cursor, not a queue.
 *
 * The `id` of an event is what a reader sends back as Last-Event-ID. Only the last entry of a
 * revision carries it, and in a snapshot only "synced" does: a reader that is cut off inside a
 * transaction or inside the snapshot must not resume after it. */
#include "center/stream.h"

#include <stdio.h>
#include <string.h>

#include "center/document.h"

#define BATCH_ENTRIES 64
#define BATCH_BYTES   16384

struct stream {
    struct streams *all;
    struct stream *next;
    struct MHD_Connection *connection;
    bool suspended, ended, bookmark;
    bool of_events; /* else of changes */
    uint64_t after; /* the revision or event that was given last */
    size_t objects_count, objects_given;
    struct object **objects; /* the snapshot, NULL when there is none */
    struct bytes text;       /* what is to be sent */
    size_t text_sent;
};

struct streams {
    struct center *center;
    struct stream *first;
    size_t count;
    uv_timer_t timer;
    bool ended;
};

static void text_event(struct stream *s, const char *event, uint64_t id, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;

    json_decref(data);
    if (!text) {
        s->ended = true; /* out of memory: the reader will resume where it was */
        return;
    }
    if (id) {
        bytes_printf(&s->text, "id: %llu\n", (unsigned long long)id);
    }
    bytes_printf(&s->text, "event: %s\ndata: ", event);
    bytes_put(&s->text, text, strlen(text));
    bytes_put(&s->text, "\n\n", 2);
    free(text);
}

static json_t *change_json(uint64_t revision, enum kind kind, const char *name, json_t *object)
{
    json_t *json = json_pack("{s:I, s:s, s:s}", "revision", (json_int_t)revision, "kind",
                             kind_name(kind), "name", name);

    if (json && object) {
        json_object_set_new(json, "object", object);
    }
    return json;
}

static void snapshot_fill(struct stream *s)
{
    while (s->objects_given < s->objects_count && s->text.used < BATCH_BYTES) {
        const struct object *o = s->objects[s->objects_given++];

        text_event(s, "put", 0, change_json(o->revision, o->kind, o->name, document_of(o)));
    }
    if (s->objects_given == s->objects_count) {
        for (size_t i = 0; i < s->objects_count; i++) {
            object_unref(s->objects[i]);
        }
        free(s->objects);
        s->objects = NULL;
        text_event(s, "synced", s->after, json_pack("{s:I}", "revision", (json_int_t)s->after));
    }
}

static void on_entry(const struct store_entry *entry, void *data)
{
    const struct store_object *o = &entry->object;
    struct stream *s = data;
    json_t *body = o->body ? json_loads(o->body, 0, NULL) : NULL;

    text_event(
        s, o->body ? "put" : "delete", entry->last ? entry->revision : 0,
        change_json(entry->revision, o->kind, o->name,
                    body ? document_make(body, entry->revision, o->revision_created) : NULL));
    json_decref(body);
    s->after = entry->revision;
}

static void changes_fill(struct stream *s)
{
    const struct governor *g = &s->all->center->governor;
    int r;

    if (s->after >= catalog_revision(g->catalog)) {
        return;
    }
    r = g->driver->log_read(g->store, s->after, BATCH_ENTRIES, on_entry, s);
    if (r) {
        text_event(s, "compacted", 0,
                   json_pack("{s:I, s:s}", "after", (json_int_t)s->after, "code",
                             problem_code(PROBLEM_COMPACTED)));
        s->ended = true;
    }
}

static void events_fill(struct stream *s)
{
    const struct occurrence *o;

    while (s->text.used < BATCH_BYTES && (o = events_next(s->all->center->events, s->after))) {
        text_event(s, o->event, o->id, occurrence_json(o));
        s->after = o->id;
    }
}

static void stream_fill(struct stream *s)
{
    bytes_reset(&s->text);
    s->text_sent = 0;
    if (s->objects) {
        snapshot_fill(s);
    } else if (s->of_events) {
        events_fill(s);
    } else {
        changes_fill(s);
    }
    if (!s->text.used && s->bookmark) {
        bytes_printf(&s->text, ": revision %llu\n\n",
                     (unsigned long long)catalog_revision(s->all->center->governor.catalog));
        s->bookmark = false;
    }
    if (s->text.error) {
        bytes_reset(&s->text);
        s->ended = true;
    }
}

static ssize_t on_read(void *data, uint64_t position, char *buffer, size_t room)
{
    struct stream *s = data;
    size_t n;

    if (s->text_sent == s->text.used && !s->ended) {
        stream_fill(s);
    }
    n = s->text.used - s->text_sent;
    if (n == 0) {
        if (s->ended || s->all->ended) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
        s->suspended = true;
        MHD_suspend_connection(s->connection);
        return 0;
    }
    n = n < room ? n : room;
    memcpy(buffer, s->text.data + s->text_sent, n);
    s->text_sent += n;
    return (ssize_t)n;
}

static void on_free(void *data)
{
    struct stream *s = data;

    for (struct stream **at = &s->all->first; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            s->all->count--;
            break;
        }
    }
    for (size_t i = 0; s->objects && i < s->objects_count; i++) {
        object_unref(s->objects[i]);
    }
    free(s->objects);
    bytes_deinit(&s->text);
    free(s);
}

static int stream_new(struct request *q, struct stream **ret, struct MHD_Response **ret_response)
{
    struct streams *all = q->center->streams;
    struct stream *s;

    if (all->count >= STREAMS_MAX) {
        return RHODES_OVER_LIMIT;
    }
    s = calloc(1, sizeof(*s));
    *ret_response =
        s ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BATCH_BYTES, on_read, s, on_free)
          : NULL;
    if (!*ret_response) {
        free(s);
        return failed(-ENOMEM);
    }
    MHD_add_response_header(*ret_response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    bytes_init(&s->text, 0);
    s->all = all;
    s->connection = q->connection;
    s->next = all->first;
    all->first = s;
    all->count++;
    *ret = s;
    return 0;
}

static int snapshot_take(struct stream *s, const struct catalog *catalog)
{
    size_t count = 0;

    for (int kind = 0; kind < KINDS_COUNT; kind++) {
        count += catalog_count(catalog, (enum kind)kind);
    }
    s->objects = calloc(count + 1, sizeof(void *));
    if (!s->objects) {
        return failed(-ENOMEM);
    }
    for (int kind = 0; kind < KINDS_COUNT; kind++) {
        const struct object *o = catalog_next(catalog, (enum kind)kind, "");

        for (; o && s->objects_count < count; o = catalog_next(catalog, (enum kind)kind, o->name)) {
            s->objects[s->objects_count++] = object_ref((struct object *)(uintptr_t)o);
        }
    }
    return 0;
}

static void on_entry_ignored(const struct store_entry *entry, void *data)
{
}

int stream_watch_new(struct request *q, bool resume, uint64_t from, struct MHD_Response **ret)
{
    const struct governor *g = &q->center->governor;
    struct MHD_Response *response = NULL;
    struct stream *s;
    int r;

    if (resume) {
        r = from > catalog_revision(g->catalog)
                ? RHODES_STALE
                : g->driver->log_read(g->store, from, 1, on_entry_ignored, NULL);
        if (r) {
            return r;
        }
    }
    r = stream_new(q, &s, &response);
    if (r) {
        return r;
    }
    s->after = resume ? from : catalog_revision(g->catalog);
    r = resume ? 0 : snapshot_take(s, g->catalog);
    if (r) {
        MHD_destroy_response(response);
        return r;
    }
    *ret = response;
    return 0;
}

int stream_events_new(struct request *q, uint64_t after, struct MHD_Response **ret)
{
    struct stream *s;
    int r = stream_new(q, &s, ret);

    if (!r) {
        s->of_events = true;
        s->after = after;
    }
    return r;
}

void streams_wake(struct streams *all)
{
    for (struct stream *s = all->first; s; s = s->next) {
        if (s->suspended) {
            s->suspended = false;
            MHD_resume_connection(s->connection);
            http_kick(all->center->http);
        }
    }
}

void streams_end(struct streams *all)
{
    all->ended = true;
    streams_wake(all);
}

static void on_bookmark(uv_timer_t *timer)
{
    struct streams *all = timer->data;

    for (struct stream *s = all->first; s; s = s->next) {
        s->bookmark = true;
    }
    streams_wake(all);
}

int streams_new(struct center *c, struct streams **ret)
{
    struct streams *all = calloc(1, sizeof(*all));

    if (!all) {
        return failed(-ENOMEM);
    }
    all->center = c;
    uv_timer_init(&c->loop, &all->timer);
    all->timer.data = all;
    uv_timer_start(&all->timer, on_bookmark, STREAM_BOOKMARK_MS, STREAM_BOOKMARK_MS);
    *ret = all;
    return 0;
}

static void on_streams_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct streams *streams_free(struct streams *all)
{
    if (all) {
        uv_close((uv_handle_t *)&all->timer, on_streams_closed);
    }
    return NULL;
}

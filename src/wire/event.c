/* The frames between the center and an agent, and the view inside them. One writer and one reader
 * per structure, side by side, so that a field added to one is missed in the other by nobody. The
 * reader trusts nothing: a count is believed only when so many elements can still stand in the
 * bytes that are left, ids and signatures are parsed again, and what comes out is a view as
 * view_patch() and the judgements expect it: sorted, each pair once. */
#include "wire/event.h"

#include <string.h>

#include "base/hash.h"
#include "model/device.h"

#define VIEW_FORMAT 0x31565852u /* "RXV1" */

enum {
    FUNCTION_BYTES_MIN = 4 + 8, /* signature, id */
    TEXT_BYTES_MIN = 4,         /* its length */
    EDGE_BYTES_MIN = 4 + 3 + 8 + 8 + 4 + EDGE_KEY_BYTES + 4,
    REMOVAL_BYTES_MIN = 4 + 1,
};

const char *program_state_name(enum program_state state)
{
    static const char *const names[] = {
        [PROGRAM_NONE] = "none", [PROGRAM_STARTING] = "starting", [PROGRAM_READY] = "ready",
        [PROGRAM_LOST] = "lost", [PROGRAM_EXITED] = "exited",     [PROGRAM_FAILED] = "failed",
    };

    return names[state];
}

void event_deinit(struct event *e)
{
    free(e->resource);
    free(e->name);
    free(e->text);
    view_unref(e->view);
    view_delta_free(e->delta);
    *e = (struct event){ 0 };
}

/* What is wrong first sticks; later findings change nothing. */
static void reader_fail(struct reader *r, int error)
{
    if (!r->error) {
        r->error = error;
    }
}

static bool reader_bool(struct reader *r)
{
    uint8_t v = reader_u8(r);

    if (v > 1) {
        reader_fail(r, RHODES_INVALID);
    }
    return v == 1;
}

/* A count of elements that take at least `bytes_min` each; 0 with the error set when so many cannot
 * follow. */
static size_t reader_count(struct reader *r, size_t max, size_t bytes_min)
{
    size_t count = reader_u32(r);

    if (count > max || count * bytes_min > (size_t)(r->end - r->at)) {
        reader_fail(r, RHODES_INVALID);
    }
    return r->error ? 0 : count;
}

/* Room for `count` elements; never NULL but with the error set. */
static void *reader_array(struct reader *r, size_t count, size_t bytes)
{
    void *array = r->error ? NULL : calloc(count + 1, bytes);

    if (!array) {
        reader_fail(r, failed(-ENOMEM));
    }
    return array;
}

static void reader_fixed(struct reader *r, char *ret, size_t room)
{
    struct span s = reader_span(r);

    if (s.bytes >= room || memchr(s.data, 0, s.bytes)) {
        reader_fail(r, RHODES_INVALID);
    }
    if (r->error) {
        ret[0] = 0;
        return;
    }
    memcpy(ret, s.data, s.bytes);
    ret[s.bytes] = 0;
}

static void reader_resource(struct reader *r, char ret[RESOURCE_ID_BYTES_MAX])
{
    enum layer layer;
    char name[NAME_BYTES_MAX];

    reader_fixed(r, ret, RESOURCE_ID_BYTES_MAX);
    if (!r->error && resource_id_parse(ret, '/', &layer, name)) {
        reader_fail(r, RHODES_INVALID);
    }
}

/* An optional text: a word whether it is there, then the text. */
static void put_optional(struct bytes *b, const char *text)
{
    bytes_put_u8(b, text != NULL);
    if (text) {
        bytes_put_text(b, text);
    }
}

static char *get_optional(struct reader *r)
{
    return reader_bool(r) ? reader_text_dup(r, VIEW_TEXT_BYTES_MAX) : NULL;
}

static void put_functions(struct bytes *b, const struct view_function *list, size_t count)
{
    bytes_put_u32(b, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        bytes_put_text(b, list[i].signature);
        bytes_put_u64(b, list[i].id);
    }
}

static void get_functions(struct reader *r, struct view_function **ret, size_t *ret_count)
{
    size_t count = reader_count(r, VIEW_FUNCTIONS_MAX, FUNCTION_BYTES_MIN);

    *ret = reader_array(r, count, sizeof(**ret));
    for (size_t i = 0; i < count && !r->error; i++) {
        struct view_function *f = &(*ret)[i];

        f->signature = reader_text_dup(r, VIEW_TEXT_BYTES_MAX);
        f->id = reader_u64(r);
        *ret_count = i + 1;
        if (f->signature && f->id != hash_bytes(f->signature, strlen(f->signature))) {
            reader_fail(r, RHODES_INVALID);
        }
    }
}

static void put_texts(struct bytes *b, char *const *list, size_t count)
{
    bytes_put_u32(b, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        bytes_put_text(b, list[i]);
    }
}

static void get_texts(struct reader *r, char ***ret, size_t *ret_count)
{
    size_t count = reader_count(r, VIEW_ARGUMENTS_MAX, TEXT_BYTES_MIN);

    *ret = reader_array(r, count, sizeof(**ret));
    for (size_t i = 0; i < count && !r->error; i++) {
        (*ret)[i] = reader_text_dup(r, VIEW_TEXT_BYTES_MAX);
        *ret_count = i + 1;
    }
}

static void put_self(struct bytes *b, const struct view_self *s)
{
    bytes_put_text(b, s->resource);
    bytes_put_u64(b, s->revision);
    put_functions(b, s->functions, s->functions_count);
    put_texts(b, s->arguments, s->arguments_count);
    put_texts(b, s->environment, s->environment_count);
    put_optional(b, s->directory);
    bytes_put_u8(b, s->restart);
    bytes_put_u8(b, s->device);
    put_optional(b, s->device_target);
}

static void get_self(struct reader *r, struct view_self *ret)
{
    reader_resource(r, ret->resource);
    ret->revision = reader_u64(r);
    get_functions(r, &ret->functions, &ret->functions_count);
    get_texts(r, &ret->arguments, &ret->arguments_count);
    get_texts(r, &ret->environment, &ret->environment_count);
    ret->directory = get_optional(r);
    ret->restart = reader_u8(r);
    ret->device = reader_u8(r);
    ret->device_target = get_optional(r);
    for (size_t i = 0; i < ret->environment_count && !r->error; i++) {
        if (!strchr(ret->environment[i], '=')) {
            reader_fail(r, RHODES_INVALID);
        }
    }
    if (ret->restart > RESTART_NEVER || ret->device > DEVICE_SIM ||
        (ret->device == DEVICE_NONE) != (ret->device_target == NULL)) {
        reader_fail(r, RHODES_INVALID);
    }
}

static void put_edges(struct bytes *b, const struct view_edge *edges, size_t count)
{
    bytes_put_u32(b, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        const struct view_edge *e = &edges[i];

        bytes_put_text(b, e->peer);
        bytes_put_u8(b, e->outgoing);
        bytes_put_u8(b, e->allowed);
        bytes_put_u8(b, e->protocol);
        bytes_put_u64(b, e->timeout_ns);
        bytes_put_u64(b, e->revision);
        bytes_put_text(b, e->rule);
        bytes_put(b, e->key, EDGE_KEY_BYTES);
        put_functions(b, e->functions, e->functions_count);
    }
}

static void get_edge(struct reader *r, struct view_edge *ret)
{
    const void *key;

    reader_resource(r, ret->peer);
    ret->outgoing = reader_bool(r);
    ret->allowed = reader_bool(r);
    ret->protocol = reader_u8(r);
    ret->timeout_ns = reader_u64(r);
    ret->revision = reader_u64(r);
    reader_fixed(r, ret->rule, sizeof(ret->rule));
    key = reader_get(r, EDGE_KEY_BYTES);
    if (key) {
        memcpy(ret->key, key, EDGE_KEY_BYTES);
    }
    get_functions(r, &ret->functions, &ret->functions_count);
    if (ret->protocol >= PROTOCOLS_COUNT || (!ret->outgoing && ret->functions_count > 0)) {
        reader_fail(r, RHODES_INVALID);
    }
}

static void get_edges(struct reader *r, struct view_edge **ret, size_t *ret_count)
{
    size_t count = reader_count(r, VIEW_EDGES_MAX, EDGE_BYTES_MIN);

    *ret = reader_array(r, count, sizeof(**ret));
    for (size_t i = 0; i < count && !r->error; i++) {
        struct view_edge *e = &(*ret)[i];

        get_edge(r, e);
        *ret_count = i + 1;
        if (i > 0 && view_edge_compare(e[-1].peer, e[-1].outgoing, e->peer, e->outgoing) >= 0) {
            reader_fail(r, RHODES_INVALID);
        }
    }
}

static void put_view(struct bytes *b, const struct view *v)
{
    bytes_put_u64(b, v->revision);
    put_self(b, &v->self);
    put_edges(b, v->edges, v->edges_count);
}

/* NULL only with the error set; half-read otherwise, the caller looks at the error. */
static struct view *get_view(struct reader *r)
{
    struct view *v = reader_array(r, 1, sizeof(*v));

    if (v) {
        v->references = 1;
        v->revision = reader_u64(r);
        get_self(r, &v->self);
        get_edges(r, &v->edges, &v->edges_count);
    }
    return v;
}

static void put_delta(struct bytes *b, const struct view_delta *d)
{
    bytes_put_u64(b, d->revision_from);
    bytes_put_u64(b, d->revision_to);
    bytes_put_u8(b, d->self != NULL);
    if (d->self) {
        put_self(b, d->self);
    }
    put_edges(b, d->upserts, d->upserts_count);
    bytes_put_u32(b, (uint32_t)d->removals_count);
    for (size_t i = 0; i < d->removals_count; i++) {
        bytes_put_text(b, d->removals[i].peer);
        bytes_put_u8(b, d->removals[i].outgoing);
    }
}

static void get_removals(struct reader *r, struct view_delta *d)
{
    size_t count = reader_count(r, VIEW_EDGES_MAX, REMOVAL_BYTES_MIN);

    d->removals = reader_array(r, count, sizeof(*d->removals));
    for (size_t i = 0; i < count && !r->error; i++) {
        struct view_removal *gone = &d->removals[i];

        reader_resource(r, gone->peer);
        gone->outgoing = reader_bool(r);
        d->removals_count = i + 1;
        if (i > 0 &&
            view_edge_compare(gone[-1].peer, gone[-1].outgoing, gone->peer, gone->outgoing) >= 0) {
            reader_fail(r, RHODES_INVALID);
        }
    }
}

static struct view_delta *get_delta(struct reader *r)
{
    struct view_delta *d = reader_array(r, 1, sizeof(*d));

    if (d) {
        d->revision_from = reader_u64(r);
        d->revision_to = reader_u64(r);
        if (reader_bool(r)) {
            d->self = reader_array(r, 1, sizeof(*d->self));
            if (d->self) {
                get_self(r, d->self);
            }
        }
        get_edges(r, &d->upserts, &d->upserts_count);
        get_removals(r, d);
        if (d->revision_to <= d->revision_from) {
            reader_fail(r, RHODES_INVALID);
        }
    }
    return d;
}

static void put_status(struct bytes *b, const struct agent_status *s)
{
    bytes_put_u64(b, s->revision_applied);
    bytes_put_u32(b, s->program_pid);
    bytes_put_u8(b, s->program_state);
    bytes_put_u64(b, s->calls_out);
    bytes_put_u64(b, s->calls_in);
    bytes_put_u64(b, s->refused);
    bytes_put_u64(b, s->failed);
    bytes_put_u64(b, s->timeouts);
    bytes_put_u64(b, s->switches);
}

static void get_status(struct reader *r, struct agent_status *ret)
{
    ret->revision_applied = reader_u64(r);
    ret->program_pid = reader_u32(r);
    ret->program_state = reader_u8(r);
    ret->calls_out = reader_u64(r);
    ret->calls_in = reader_u64(r);
    ret->refused = reader_u64(r);
    ret->failed = reader_u64(r);
    ret->timeouts = reader_u64(r);
    ret->switches = reader_u64(r);
    if (ret->program_state > PROGRAM_FAILED) {
        reader_fail(r, RHODES_INVALID);
    }
}

/* A text for people: a report that is too long is cut rather than lost. */
static void put_text_cut(struct bytes *b, const char *text)
{
    size_t n = text ? strnlen(text, EVENT_TEXT_BYTES_MAX + 1) : 0;

    if (n > EVENT_TEXT_BYTES_MAX) {
        for (n = EVENT_TEXT_BYTES_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--) {
        }
    }
    bytes_put_u32(b, (uint32_t)n);
    bytes_put(b, text, n);
}

static void put_payload(struct bytes *b, const struct event *e)
{
    switch (e->type) {
    case EVENT_HELLO:
        bytes_put_text(b, e->resource);
        bytes_put_u32(b, e->pid);
        bytes_put_u64(b, e->incarnation);
        bytes_put_u64(b, e->revision);
        bytes_put_u8(b, e->managed);
        break;
    case EVENT_APPLIED:
        bytes_put_u64(b, e->revision);
        bytes_put_u64(b, e->took_ns);
        break;
    case EVENT_REJECTED:
        bytes_put_u64(b, e->revision);
        bytes_put_u32(b, (uint32_t)e->verdict);
        put_text_cut(b, e->text);
        break;
    case EVENT_STATUS:
        put_status(b, &e->status);
        break;
    case EVENT_NOTICE:
        put_text_cut(b, e->name);
        put_text_cut(b, e->text);
        break;
    case EVENT_WELCOME:
        bytes_put_u64(b, e->revision);
        break;
    case EVENT_REFUSED:
        bytes_put_u32(b, (uint32_t)e->verdict);
        put_text_cut(b, e->text);
        break;
    case EVENT_SNAPSHOT:
        put_view(b, e->view);
        break;
    case EVENT_DELTA:
        put_delta(b, e->delta);
        break;
    case EVENT_RESYNC:
    case EVENT_STOP:
        break;
    }
}

void event_encode(struct bytes *b, const struct event *e)
{
    size_t start = b->used;
    uint32_t bytes;

    bytes_put_u32(b, 0); /* the length follows when it is known */
    bytes_put_u16(b, (uint16_t)e->type);
    bytes_put_u16(b, EVENT_VERSION);
    put_payload(b, e);
    if (!b->error && b->used - start - 4 > EVENT_BYTES_MAX) {
        b->error = RHODES_OVER_LIMIT;
    }
    if (b->error) {
        b->used = start;
        return;
    }
    bytes = (uint32_t)(b->used - start - 4);
    memcpy(b->data + start, &bytes, sizeof(bytes));
}

int event_head(const void *data, size_t bytes, size_t *ret_bytes)
{
    struct reader r = reader_make(data, bytes);
    uint32_t length = reader_u32(&r);
    uint16_t type = reader_u16(&r), version = reader_u16(&r);

    if (r.error) {
        return -EAGAIN;
    }
    if (version != EVENT_VERSION || type < EVENT_HELLO || type > EVENT_STOP ||
        length < EVENT_HEAD_BYTES - 4) {
        return RHODES_INVALID;
    }
    if (length > EVENT_BYTES_MAX) {
        return RHODES_OVER_LIMIT;
    }
    *ret_bytes = (size_t)length + 4;
    return 0;
}

static void get_hello(struct reader *r, struct event *e)
{
    char id[RESOURCE_ID_BYTES_MAX];

    reader_resource(r, id);
    e->resource = r->error ? NULL : strdup(id);
    if (!e->resource) {
        reader_fail(r, -ENOMEM);
    }
    e->pid = reader_u32(r);
    e->incarnation = reader_u64(r);
    e->revision = reader_u64(r);
    e->managed = reader_bool(r);
}

static void get_payload(struct reader *r, struct event *e)
{
    switch (e->type) {
    case EVENT_HELLO:
        get_hello(r, e);
        break;
    case EVENT_APPLIED:
        e->revision = reader_u64(r);
        e->took_ns = reader_u64(r);
        break;
    case EVENT_REJECTED:
        e->revision = reader_u64(r);
        e->verdict = (int32_t)reader_u32(r);
        e->text = reader_text_dup(r, EVENT_TEXT_BYTES_MAX);
        break;
    case EVENT_STATUS:
        get_status(r, &e->status);
        break;
    case EVENT_NOTICE:
        e->name = reader_text_dup(r, EVENT_TEXT_BYTES_MAX);
        e->text = reader_text_dup(r, EVENT_TEXT_BYTES_MAX);
        break;
    case EVENT_WELCOME:
        e->revision = reader_u64(r);
        break;
    case EVENT_REFUSED:
        e->verdict = (int32_t)reader_u32(r);
        e->text = reader_text_dup(r, EVENT_TEXT_BYTES_MAX);
        break;
    case EVENT_SNAPSHOT:
        e->view = get_view(r);
        break;
    case EVENT_DELTA:
        e->delta = get_delta(r);
        break;
    case EVENT_RESYNC:
    case EVENT_STOP:
        break;
    }
}

int event_decode(const void *data, size_t bytes, struct event *ret)
{
    struct event e = { 0 };
    struct reader r;
    size_t whole;
    int result = event_head(data, bytes, &whole);

    if (result == -EAGAIN || (result == 0 && whole != bytes)) {
        return RHODES_INVALID;
    }
    if (result) {
        return result;
    }
    r = reader_make(data, bytes);
    reader_u32(&r);
    e.type = reader_u16(&r);
    reader_u16(&r);
    get_payload(&r, &e);
    result = reader_end(&r);
    if (result) {
        event_deinit(&e);
        return result;
    }
    *ret = e;
    return 0;
}

void view_encode(struct bytes *b, const struct view *v)
{
    bytes_put_u32(b, VIEW_FORMAT);
    put_view(b, v);
}

int view_decode(const void *data, size_t bytes, struct view **ret)
{
    struct reader r = reader_make(data, bytes);
    struct view *v;
    int result;

    if (reader_u32(&r) != VIEW_FORMAT) {
        return RHODES_INVALID;
    }
    v = get_view(&r);
    result = reader_end(&r);
    if (result) {
        view_unref(v);
        return result;
    }
    *ret = v;
    return 0;
}

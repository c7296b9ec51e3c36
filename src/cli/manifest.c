/* YAML's events, as libfyaml finds them, built into JSON values by a stack of our own. Events
 * rather than libfyaml's documents, because an alias then costs what it expands to at the moment
 * when it is met, duplicate keys are found with their place, and no depth comes from the text. Two
 * invariants: frames[0..depth) are the containers that are open, each already owned by the one
 * below it; `cost` is what the JSON so far takes, aliases counted as if written out. */
#include "cli/manifest.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <string.h>

#include "cli/scalar.h"
#include "cli/text.h"

enum {
#define PROBLEM(name, number, verdict, title, hint) CODE_##name = number,
#include "rhodes/problems.def"
#undef PROBLEM
};

struct frame {
    json_t *json; /* borrowed from the container below, or the document's root */
    size_t place, items, cost;
    char *key; /* of the value that comes next; NULL: a key comes next */
    unsigned key_line, key_column, height;
    char *anchor; /* registered when the container is complete: an alias cannot reach into itself */
};

struct anchor {
    char *name;
    json_t *json;
    size_t cost;
    unsigned height; /* of containers, 0 for a scalar */
};

struct build {
    struct document document;
    struct frame frames[MANIFEST_DEPTH_MAX];
    unsigned depth;
    struct anchor anchors[MANIFEST_ANCHORS_MAX];
    size_t anchors_count, cost; /* cost of the whole text */
    struct manifest_error *why;
};

PRINTF_LIKE(5, 6)
static int refuse(struct manifest_error *why, int verdict, unsigned line, unsigned column,
                  const char *format, ...)
{
    va_list arguments;

    *why = (struct manifest_error){ .code = CODE_MALFORMED, .line = line, .column = column };
    why->code = verdict == RHODES_OVER_LIMIT ? CODE_TOO_LARGE : why->code;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    return verdict;
}

/* libfyaml's mark of a quoted text and of an alias is behind the quote or the star. */
static bool event_has_sign(struct fy_event *event)
{
    enum fy_scalar_style style = FYSS_ANY;

    if (event->type == FYET_SCALAR && event->scalar.value) {
        style = fy_token_scalar_style(event->scalar.value);
    }
    return event->type == FYET_ALIAS || style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static void mark_read(struct fy_event *event, unsigned *ret_line, unsigned *ret_column)
{
    const struct fy_mark *mark = fy_event_start_mark(event);

    *ret_line = mark && mark->line >= 0 ? (unsigned)mark->line + 1 : 1;
    *ret_column = mark && mark->column >= 0 ? (unsigned)mark->column + 1 : 1;
    if (*ret_column > 1 && event_has_sign(event)) {
        --*ret_column;
    }
}

static void document_deinit(struct document *d)
{
    for (size_t i = 0; i < d->places_count; i++) {
        free(d->places[i].key);
    }
    free(d->places);
    free(d->source);
    json_decref(d->json);
    *d = (struct document){ 0 };
}

static void build_reset(struct build *b)
{
    for (unsigned i = 0; i < b->depth; i++) {
        free(b->frames[i].key);
        free(b->frames[i].anchor);
    }
    for (size_t i = 0; i < b->anchors_count; i++) {
        free(b->anchors[i].name);
        json_decref(b->anchors[i].json);
    }
    b->depth = 0;
    b->anchors_count = 0;
    document_deinit(&b->document);
}

static char *token_copy(struct fy_token *token)
{
    size_t bytes = 0;
    const char *text = token ? fy_token_get_text(token, &bytes) : NULL;
    char *copy;

    if (!text) {
        return NULL;
    }
    copy = memory_make(bytes + 1);
    memcpy(copy, text, bytes);
    return copy;
}

/* The last definition of a name counts, as YAML says. Takes `name`; borrows `json`. */
static int anchor_add(struct build *b, char *name, json_t *json, size_t cost, unsigned height)
{
    if (!name) {
        return 0;
    }
    if (b->anchors_count == MANIFEST_ANCHORS_MAX) {
        free(name);
        return refuse(b->why, RHODES_OVER_LIMIT, 0, 0, "more than %d anchors in a document",
                      MANIFEST_ANCHORS_MAX);
    }
    b->anchors[b->anchors_count++] = (struct anchor){ name, json_incref(json), cost, height };
    return 0;
}

static int cost_add(struct build *b, size_t cost, unsigned line, unsigned column)
{
    b->cost += cost;
    if (b->cost > MANIFEST_BYTES_MAX) {
        return refuse(b->why, RHODES_OVER_LIMIT, line, column,
                      "the manifest is larger than %u KiB when its aliases are expanded",
                      MANIFEST_BYTES_MAX >> 10);
    }
    return 0;
}

static size_t place_add(struct build *b, unsigned line, unsigned column)
{
    struct document *d = &b->document;
    struct place *p;

    if (d->places_count == d->places_room) {
        d->places_room = d->places_room ? d->places_room * 2 : 64;
        d->places = memory_resize(d->places, d->places_room * sizeof(*d->places));
    }
    p = &d->places[d->places_count];
    *p = (struct place){ .line = line, .column = column, .key_line = line, .key_column = column };
    if (b->depth) {
        struct frame *f = &b->frames[b->depth - 1];

        p->parent = f->place;
        p->index = f->items;
        if (f->key) {
            p->key = text_copy(f->key);
            p->key_line = f->key_line;
            p->key_column = f->key_column;
        }
    }
    return d->places_count++;
}

/* Puts a value, taken, where it belongs: the root, the next of a list, or under the key that was
 * read. */
static int value_add(struct build *b, json_t *value, unsigned line, unsigned column)
{
    struct frame *f = b->depth ? &b->frames[b->depth - 1] : NULL;
    int r;

    place_add(b, line, column);
    if (!f) {
        b->document.json = value;
        return 0;
    }
    r = f->key ? json_object_set_new_nocheck(f->json, f->key, value)
               : json_array_append_new(f->json, value);
    free(f->key);
    f->key = NULL;
    f->items++;
    return r ? refuse(b->why, -ENOMEM, line, column, "out of memory") : 0;
}

static bool key_is_next(const struct build *b)
{
    return b->depth && json_is_object(b->frames[b->depth - 1].json) && !b->frames[b->depth - 1].key;
}

static int key_take(struct build *b, const char *text, size_t bytes, unsigned line, unsigned column)
{
    struct frame *f = &b->frames[b->depth - 1];
    char *key = memory_make(bytes + 1);
    const char *why = NULL;
    json_t *checked = NULL;
    int r = scalar_value(SCALAR_TEXT, text, bytes, &checked, &why);

    memcpy(key, text, bytes);
    json_decref(checked);
    if (r) {
        r = refuse(b->why, r, line, column, "%s", why ? why : "out of memory");
    } else if (json_object_get(f->json, key)) {
        r = refuse(b->why, RHODES_INVALID, line, column,
                   "the key '%.64s' stands twice in this mapping", key);
        b->why->code = CODE_DUPLICATE;
    }
    if (r) {
        free(key);
        return r;
    }
    f->key = key;
    f->key_line = line;
    f->key_column = column;
    return cost_add(b, bytes + 1, line, column);
}

/* The kind that a scalar's tag asks for. INVALID for a tag that the core schema does not have. */
static int tag_kind(struct fy_token *token, enum scalar *ret)
{
    static const struct {
        const char *tag;
        enum scalar kind;
    } tags[] = {
        { "tag:yaml.org,2002:str", SCALAR_TEXT },    { "!", SCALAR_TEXT },
        { "tag:yaml.org,2002:null", SCALAR_NULL },   { "tag:yaml.org,2002:bool", SCALAR_BOOL },
        { "tag:yaml.org,2002:int", SCALAR_INTEGER }, { "tag:yaml.org,2002:float", SCALAR_REAL }
    };
    CLEANUP(memory_freep) char *tag = token_copy(token);

    for (size_t i = 0; tag && i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (strcmp(tag, tags[i].tag) == 0) {
            *ret = tags[i].kind;
            return 0;
        }
    }
    return RHODES_INVALID;
}

static int tag_refuse(struct build *b, struct fy_token *token, unsigned line, unsigned column)
{
    CLEANUP(memory_freep) char *tag = token_copy(token);

    return refuse(b->why, RHODES_INVALID, line, column,
                  "unknown tag '%.100s'; a manifest needs none", tag ? tag : "");
}

static int on_scalar(struct build *b, struct fy_event *event, unsigned line, unsigned column)
{
    struct fy_token *token = event->scalar.value;
    size_t bytes = 0;
    const char *text = token ? fy_token_get_text(token, &bytes) : "", *why = NULL;
    bool plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
    enum scalar kind;
    json_t *value = NULL;
    int r;

    text = text ? text : "";
    kind = plain && !key_is_next(b) ? scalar_kind(text, bytes) : SCALAR_TEXT;
    if (event->scalar.tag && tag_kind(event->scalar.tag, &kind)) {
        return tag_refuse(b, event->scalar.tag, line, column);
    }
    if (key_is_next(b) && !event->scalar.anchor) {
        return key_take(b, text, bytes, line, column);
    }
    r = scalar_value(kind, text, bytes, &value, &why);
    if (r) {
        return refuse(b->why, r, line, column, "%s", why ? why : "out of memory");
    }
    r = anchor_add(b, token_copy(event->scalar.anchor), value, bytes + 1, 0);
    if (r || key_is_next(b)) {
        json_decref(value);
        return r ? r : key_take(b, text, bytes, line, column);
    }
    r = cost_add(b, bytes + 1, line, column);
    if (r) {
        json_decref(value);
        return r;
    }
    return value_add(b, value, line, column);
}

static int on_alias(struct build *b, struct fy_event *event, unsigned line, unsigned column)
{
    CLEANUP(memory_freep) char *name = token_copy(event->alias.anchor);
    int r;

    if (key_is_next(b)) {
        return refuse(b->why, RHODES_INVALID, line, column, "a key may not be an alias");
    }
    for (size_t i = b->anchors_count; name && i > 0; i--) {
        const struct anchor *a = &b->anchors[i - 1];

        if (strcmp(a->name, name) != 0) {
            continue;
        }
        if (b->depth + a->height > MANIFEST_DEPTH_MAX) {
            return refuse(b->why, RHODES_OVER_LIMIT, line, column, "nested deeper than %d",
                          MANIFEST_DEPTH_MAX);
        }
        r = cost_add(b, a->cost, line, column);
        if (r) {
            return r;
        }
        if (b->depth && b->frames[b->depth - 1].height < a->height + 1) {
            b->frames[b->depth - 1].height = a->height + 1;
        }
        return value_add(b, json_incref(a->json), line, column);
    }
    return refuse(b->why, RHODES_INVALID, line, column,
                  "the alias '*%.64s' names no anchor that stands before it", name ? name : "");
}

static int on_begin(struct build *b, bool mapping, struct fy_event *event, unsigned line,
                    unsigned column)
{
    struct fy_token *tag = mapping ? event->mapping_start.tag : event->sequence_start.tag;
    struct fy_token *anchor = mapping ? event->mapping_start.anchor : event->sequence_start.anchor;
    CLEANUP(memory_freep) char *tag_text = token_copy(tag);
    struct frame *f;
    json_t *value;
    size_t place;
    int r;

    if (tag_text &&
        strcmp(tag_text, mapping ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq") != 0) {
        return tag_refuse(b, tag, line, column);
    }
    if (key_is_next(b)) {
        return refuse(b->why, RHODES_INVALID, line, column, "a key must be a text");
    }
    if (b->depth == MANIFEST_DEPTH_MAX) {
        return refuse(b->why, RHODES_OVER_LIMIT, line, column, "nested deeper than %d",
                      MANIFEST_DEPTH_MAX);
    }
    place = b->document.places_count;
    value = mapping ? json_object() : json_array();
    r = cost_add(b, 1, line, column);
    if (!value || r) {
        json_decref(value);
        return r ? r : refuse(b->why, -ENOMEM, line, column, "out of memory");
    }
    r = value_add(b, value, line, column);
    if (r) {
        return r;
    }
    f = &b->frames[b->depth++];
    *f = (struct frame){ .json = value,
                         .place = place,
                         .cost = b->cost - 1,
                         .height = 1,
                         .anchor = token_copy(anchor) };
    return 0;
}

static int on_end(struct build *b)
{
    struct frame *f = &b->frames[--b->depth];
    char *anchor = f->anchor;

    free(f->key);
    f->key = NULL;
    f->anchor = NULL;
    if (b->depth && b->frames[b->depth - 1].height < f->height + 1) {
        b->frames[b->depth - 1].height = f->height + 1;
    }
    return anchor_add(b, anchor, f->json, b->cost - f->cost, f->height);
}

/* Hands the finished document over; an empty one, between two separators, is passed over. */
static int on_document_end(struct build *b, struct manifests *m, const char *source)
{
    const struct place *root = b->document.places;

    if (!b->document.json || json_is_null(b->document.json)) {
        build_reset(b);
        return 0;
    }
    if (!json_is_object(b->document.json)) {
        return refuse(b->why, RHODES_INVALID, root->line, root->column,
                      "a manifest is a mapping with apiVersion, kind, metadata and spec");
    }
    if (m->count == MANIFESTS_MAX) {
        return refuse(b->why, RHODES_OVER_LIMIT, root->line, root->column, "more than %d documents",
                      MANIFESTS_MAX);
    }
    if (m->count == m->room) {
        m->room = m->room ? m->room * 2 : 8;
        m->documents = memory_resize(m->documents, m->room * sizeof(*m->documents));
    }
    b->document.source = text_copy(source);
    m->documents[m->count++] = b->document;
    b->document = (struct document){ 0 };
    build_reset(b);
    return 0;
}

static int on_event(struct build *b, struct manifests *m, const char *source,
                    struct fy_event *event)
{
    unsigned line, column;

    mark_read(event, &line, &column);
    switch (event->type) {
    case FYET_SCALAR:
        return on_scalar(b, event, line, column);
    case FYET_ALIAS:
        return on_alias(b, event, line, column);
    case FYET_MAPPING_START:
    case FYET_SEQUENCE_START:
        return on_begin(b, event->type == FYET_MAPPING_START, event, line, column);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return on_end(b);
    case FYET_DOCUMENT_END:
        return on_document_end(b, m, source);
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_START:
        break;
    }
    return 0;
}

/* What libfyaml says of the first error. */
static int syntax_refuse(struct fy_diag *diag, struct manifest_error *why)
{
    void *iterator = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iterator);
    unsigned line = e && e->line > 0 ? (unsigned)e->line : 1,
             column = e && e->column > 0 ? (unsigned)e->column : 1;

    return refuse(why, RHODES_INVALID, line, column, "not YAML: %s",
                  e && e->msg ? e->msg : "it cannot be read");
}

static void on_message(struct fy_diag *diag, void *user, const char *text, size_t bytes)
{
    /* The messages are collected; nothing is printed from below. */
}

/* YAML 1.2, section 5.1: what may stand in a text, and that it is UTF-8. */
static int characters_check(const char *text, size_t bytes, struct manifest_error *why)
{
    unsigned line = 1, column = 1;

    if (bytes > MANIFEST_BYTES_MAX) {
        return refuse(why, RHODES_OVER_LIMIT, 0, 0, "larger than %u KiB", MANIFEST_BYTES_MAX >> 10);
    }
    for (size_t i = 0; i < bytes;) {
        uint32_t point = 0;
        size_t n = text_point(text + i, bytes - i, &point);

        if (n == 0) {
            return refuse(why, RHODES_INVALID, line, column, "not UTF-8: byte 0x%02x",
                          (unsigned char)text[i]);
        }
        if ((point < 0x20 && point != '\t' && point != '\n' && point != '\r') || point == 0x7f ||
            (point >= 0x80 && point < 0xa0 && point != 0x85) || point == 0xfffe ||
            point == 0xffff) {
            return refuse(why, RHODES_INVALID, line, column,
                          "the character U+%04X may not stand in YAML", point);
        }
        line += point == '\n';
        column = point == '\n' ? 1 : column + 1;
        i += n;
    }
    return 0;
}

static int events_read(struct build *b, struct manifests *m, const char *source,
                       struct fy_parser *parser, struct fy_diag *diag)
{
    for (;;) {
        struct fy_event *event = fy_parser_parse(parser);
        int r;

        if (!event) {
            return fy_parser_get_stream_error(parser) ? syntax_refuse(diag, b->why) : 0;
        }
        r = on_event(b, m, source, event);
        fy_parser_event_free(parser, event);
        if (r) {
            return r;
        }
    }
}

int manifests_decode(struct manifests *m, const char *source, const char *text, size_t bytes,
                     struct manifest_error *ret_why)
{
    struct fy_diag_cfg diag_options = { .output_fn = on_message,
                                        .level = FYET_ERROR,
                                        .module_mask = ~0u };
    struct fy_parse_cfg options = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
                                             FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE };
    size_t before = m->count;
    struct fy_parser *parser;
    struct build *b;
    int r = characters_check(text, bytes, ret_why);

    if (r) {
        return r;
    }
    b = memory_make(sizeof(*b));
    b->why = ret_why;
    options.diag = fy_diag_create(&diag_options);
    fy_diag_set_collect_errors(options.diag, true);
    parser = fy_parser_create(&options);
    if (!parser || fy_parser_set_string(parser, text, bytes)) {
        r = refuse(ret_why, -ENOMEM, 0, 0, "out of memory");
    } else {
        r = events_read(b, m, source, parser, options.diag);
    }
    if (parser) {
        fy_parser_destroy(parser);
    }
    fy_diag_destroy(options.diag);
    build_reset(b);
    free(b);
    if (!r && m->count == before) {
        r = refuse(ret_why, RHODES_INVALID, 0, 0, "it holds no document");
    }
    while (r && m->count > before) {
        document_deinit(&m->documents[--m->count]);
    }
    return r;
}

void manifests_deinit(struct manifests *m)
{
    for (size_t i = 0; i < m->count; i++) {
        document_deinit(&m->documents[i]);
    }
    free(m->documents);
    *m = (struct manifests){ 0 };
}

/* Whether one reference token of a JSON pointer, with ~0 and ~1 in it, is this name. */
static bool token_is(const char *token, size_t bytes, const char *name)
{
    for (size_t i = 0; i < bytes; i++, name++) {
        char c = token[i];

        if (c == '~' && i + 1 < bytes) {
            c = token[++i] == '1' ? '/' : '~';
        }
        if (*name != c) {
            return false;
        }
    }
    return *name == 0;
}

void document_place(const struct document *d, const char *pointer, bool key, unsigned *ret_line,
                    unsigned *ret_column)
{
    size_t at = 0;
    bool whole = true;

    while (*pointer == '/' && whole) {
        size_t bytes = strcspn(pointer + 1, "/"), next = 0;

        for (size_t i = at + 1; i < d->places_count && !next; i++) {
            char index[24];

            snprintf(index, sizeof(index), "%zu", d->places[i].index);
            if (d->places[i].parent == at &&
                token_is(pointer + 1, bytes, d->places[i].key ? d->places[i].key : index)) {
                next = i;
            }
        }
        whole = next != 0;
        at = next ? next : at;
        pointer += 1 + bytes;
    }
    *ret_line = key && whole ? d->places[at].key_line : d->places[at].line;
    *ret_column = key && whole ? d->places[at].key_column : d->places[at].column;
}

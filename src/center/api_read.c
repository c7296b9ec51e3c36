/* Reading: one object, a collection by pages, the invocation matrix. Everything is answered from
 * the catalog in memory.
 *
 * The pages of a list all show one revision: when a list has more than a page, the objects
 * (immutable, shared) are pinned and the cursor names the pin. Pins are few and the oldest goes
 * first; a cursor whose pin is gone, at a revision that is past, is answered with COMPACTED rather
 * than with a mixture of two revisions. */
#include "center/api.h"
#include "center/pins.h"

#include <stdio.h>
#include <string.h>

#include "center/document.h"

int api_get(struct request *q, struct answer *a, struct refusals *why)
{
    const struct object *o = NULL;
    int r = api_object(q, &o, why);
    const char *known;

    if (r) {
        return r;
    }
    api_etag(o->revision, a->etag);
    known = request_header(q, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (known && (strcmp(known, "*") == 0 || strstr(known, a->etag))) {
        a->status = MHD_HTTP_NOT_MODIFIED;
        return 0;
    }
    a->status = MHD_HTTP_OK;
    a->json = document_of(o);
    return a->json ? 0 : failed(-ENOMEM);
}

/* A cursor is REVISION.INDEX. */
static int cursor_read(const char *cursor, uint64_t *ret_revision, size_t *ret_index)
{
    char *dot, *end;
    uint64_t revision, index;

    if (strspn(cursor, "0123456789.") != strlen(cursor) || *cursor == '.') {
        return RHODES_INVALID;
    }
    revision = strtoull(cursor, &dot, 10);
    if (*dot != '.' || dot[1] == 0 || dot[1] == '.') {
        return RHODES_INVALID;
    }
    index = strtoull(dot + 1, &end, 10); /* too large a number is past every list */
    if (*end) {
        return RHODES_INVALID;
    }
    *ret_revision = revision;
    *ret_index = (size_t)index;
    return 0;
}

static int page_answer(const struct pin *pin, size_t from, size_t limit, struct answer *a)
{
    json_t *items = json_array();
    size_t end = limit < pin->count - from ? from + limit : pin->count;

    for (size_t i = from; i < end; i++) {
        json_array_append_new(items, document_of(pin->objects[i]));
    }
    a->status = MHD_HTTP_OK;
    a->json = json_pack("{s:I, s:o}", "revision", (json_int_t)pin->revision, "items", items);
    if (a->json && end < pin->count) {
        char next[48];

        snprintf(next, sizeof(next), "%llu.%zu", (unsigned long long)pin->revision, end);
        json_object_set_new(a->json, "next", json_string(next));
    }
    return a->json ? 0 : failed(-ENOMEM);
}

int api_list(struct request *q, struct answer *a, struct refusals *why)
{
    const struct catalog *catalog = q->center->governor.catalog;
    const char *cursor = uri_parameter(&q->uri, "cursor");
    uint64_t revision = catalog_revision(catalog), limit = API_LIST_MAX;
    const struct pin *pin = NULL;
    size_t from = 0;
    enum kind kind;
    int r = api_kind(q, &kind, why);

    r = r ? r : uri_number(&q->uri, "limit", 1, API_LIST_MAX, &limit, refusals_only(why));
    if (r) {
        return r;
    }
    if (cursor && cursor_read(cursor, &revision, &from) != 0) {
        return refuse(refusals_only(why), PROBLEM_BAD_VALUE, "",
                      "cursor must be the 'next' of an earlier page");
    }
    r = pins_get(q->center->pins, catalog, kind, revision, &pin);
    if (r == RHODES_STALE) {
        return refuse(refusals_only(why), PROBLEM_COMPACTED, "",
                      "the list at revision %llu is no longer kept; begin the list again",
                      (unsigned long long)revision);
    }
    if (r) {
        return r;
    }
    if (from > pin->count) {
        return refuse(refusals_only(why), PROBLEM_BAD_VALUE, "",
                      "cursor must be the 'next' of an earlier page");
    }
    return page_answer(pin, from, (size_t)limit, a);
}

struct matrix {
    json_t *edges;
};

static const char *duration_text(uint64_t ns, char ret[32])
{
    static const struct {
        uint64_t ns;
        const char *unit;
    } units[] = {
        { 60000000000ULL, "m" }, { 1000000000ULL, "s" }, { 1000000ULL, "ms" }, { 1000ULL, "us" }
    };

    for (size_t i = 0; i < 4; i++) {
        if (ns % units[i].ns == 0) {
            snprintf(ret, 32, "%llu%s", (unsigned long long)(ns / units[i].ns), units[i].unit);
            return ret;
        }
    }
    snprintf(ret, 32, "%lluns", (unsigned long long)ns);
    return ret;
}

static void on_edge(const struct edge *edge, void *data)
{
    char timeout[32];

    json_array_append_new(data,
                          json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:I}", "caller", edge->caller,
                                    "callee", edge->callee, "allowed", edge->allowed, "protocol",
                                    protocol_name(edge->protocol), "timeout",
                                    duration_text(edge->timeout_ns, timeout), "rule", edge->rule,
                                    "revision", (json_int_t)edge->revision));
}

int api_matrix(struct request *q, struct answer *a, struct refusals *why)
{
    const struct catalog *catalog = q->center->governor.catalog;
    json_t *sets = json_object(), *edges = json_array();

    for (int layer = 0; layer < LAYERS_COUNT; layer++) {
        char letter[2] = { layer_letter((enum layer)layer), 0 }, id[RESOURCE_ID_BYTES_MAX];
        const struct object *o = catalog_next(catalog, (enum kind)layer, "");
        json_t *ids = json_array();

        for (; o; o = catalog_next(catalog, (enum kind)layer, o->name)) {
            resource_id_make((enum layer)layer, o->name, '/', id);
            json_array_append_new(ids, json_string(id));
        }
        json_object_set_new(sets, letter, ids);
    }
    catalog_edges(catalog, on_edge, edges);
    a->status = MHD_HTTP_OK;
    a->json = json_pack("{s:I, s:o, s:o}", "revision", (json_int_t)catalog_revision(catalog),
                        "sets", sets, "edges", edges);
    return a->json ? 0 : failed(-ENOMEM);
}

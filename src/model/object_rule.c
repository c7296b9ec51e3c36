/* What stands under spec of a static rule: a link, and the hierarchical rule. */
#include "model/object_field.h"

#include <string.h>

int link_parse(const struct place *spec, json_t *body, struct object *o)
{
    static const char *const fields[] = {
        "caller", "callee", "access", "protocol", "timeout", NULL
    };
    static const char *const accesses[] = { "allow", "deny" };
    struct link *to = &o->link;
    int access = LINK_ALLOW;
    int r = fields_check(spec, body, "spec of kind Link", fields);

    to->protocol = -1;
    r = r ? r : field_resource(spec, body, "caller", to->caller);
    r = r ? r : field_resource(spec, body, "callee", to->callee);
    if (r == 0 && strcmp(to->caller, to->callee) == 0) {
        struct place at = place_member(spec, "callee");

        return refuse(spec->why, PROBLEM_SELF_REFERENCE, at.pointer, "%s calls itself", to->caller);
    }
    r = r ? r : field_word(spec, body, "access", accesses, 2, &access);
    to->access = (enum link_access)access;
    r = r ? r : field_word(spec, body, "protocol", PROTOCOL_WORDS, PROTOCOLS_COUNT, &to->protocol);
    r = r ? r : field_duration(spec, body, "timeout", &to->timeout_ns);
    return r ? r : link_name_make(to->caller, to->callee, o->name);
}

void hierarchy_deinit(struct hierarchy *h)
{
    free(h->edges);
}

/* One end of an edge: a layer by itself or the id of a resource. */
static int end_parse(const struct place *p, json_t *entry, const char *name,
                     char ret[RESOURCE_ID_BYTES_MAX])
{
    char quoted[QUOTED_BYTES_MAX], plain[NAME_BYTES_MAX];
    struct place at = place_member(p, name);
    const char *text = NULL;
    enum layer layer;
    int r = field_text(p, entry, name, SIZE_MAX, &text);

    if (r == 0 && !text) {
        return field_missing(p, name);
    }
    for (layer = 0; r == 0 && layer < LAYERS_COUNT; layer++) {
        if (strcmp(text, layer_name(layer)) == 0) {
            strcpy(ret, layer_name(layer));
            return 0;
        }
    }
    if (r == 0 && resource_id_parse(text, '/', &layer, plain)) {
        return refuse(p->why, PROBLEM_BAD_NAME, at.pointer,
                      "%s is neither a layer (driver) nor the id of a resource (driver/rogue)",
                      text_quote(text, quoted));
    }
    if (r == 0) {
        resource_id_make(layer, plain, '/', ret);
    }
    return r;
}

static int edge_parse(const struct place *p, json_t *entry, struct hierarchy *to)
{
    static const char *const fields[] = { "from", "to", "upcall", NULL };
    struct hierarchy_edge *edge = &to->edges[to->edges_count];
    int r = fields_check(p, entry, "an entry of edges", fields);

    r = r ? r : end_parse(p, entry, "from", edge->from);
    r = r ? r : end_parse(p, entry, "to", edge->to);
    r = r ? r : field_bool(p, entry, "upcall", &edge->upcall);
    if (r) {
        return r;
    }
    if (strchr(edge->from, '/') && strcmp(edge->from, edge->to) == 0) {
        return refuse(p->why, PROBLEM_SELF_REFERENCE, p->pointer, "%s would call itself",
                      edge->from);
    }
    for (size_t i = 0; i < to->edges_count; i++) {
        if (strcmp(to->edges[i].from, edge->from) == 0 && strcmp(to->edges[i].to, edge->to) == 0) {
            return refuse(p->why, PROBLEM_DUPLICATE, p->pointer, "the edge %s:%s stands twice",
                          edge->from, edge->to);
        }
    }
    to->edges_count++;
    return edge->upcall ? 0 : (json_object_del(entry, "upcall"), 0);
}

int hierarchy_parse(const struct place *spec, json_t *body, struct object *o)
{
    static const char *const fields[] = { "mode", "edges", NULL };
    static const char *const modes[] = { "below", "strict" };
    struct place list = place_member(spec, "edges");
    json_t *array = NULL, *entry;
    int mode = 0;
    size_t i;
    int r = fields_check(spec, body, "spec of kind Hierarchy", fields);

    r = r ? r : field_word(spec, body, "mode", modes, 2, &mode);
    r = r ? r : field_array(spec, body, "edges", HIERARCHY_EDGES_MAX, &array);
    o->hierarchy.strict = mode == 1;
    if (r || !array) {
        return r;
    }
    o->hierarchy.edges = calloc(json_array_size(array), sizeof(*o->hierarchy.edges));
    if (!o->hierarchy.edges) {
        return failed(-ENOMEM);
    }
    json_array_foreach(array, i, entry)
    {
        struct place at = place_element(&list, i);

        r = edge_parse(&at, entry, &o->hierarchy);
        if (r) {
            return r;
        }
    }
    return 0;
}

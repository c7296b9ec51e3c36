/* The hierarchical rule's one judgement. The mode is looked at first, so an edge that only repeats
 * what the mode allows never counts as an upcall; among the added edges one that is an upcall wins,
 * since it allows more. */
#include "model/hierarchy.h"

#include <string.h>

/* Does an end of an edge ("driver" or "driver/rogue") cover the resource `id` of `layer`? */
static bool end_covers(const char *end, const char *id, enum layer layer)
{
    return strchr(end, '/') ? strcmp(end, id) == 0 : strcmp(end, layer_name(layer)) == 0;
}

int hierarchy_judge(const struct hierarchy *h, const char *caller, const char *callee,
                    const struct hierarchy_edge **ret_edge)
{
    const struct hierarchy_edge *found = NULL;
    char name[NAME_BYTES_MAX];
    enum layer from, to;

    if (resource_id_parse(caller, '/', &from, name) || resource_id_parse(callee, '/', &to, name)) {
        return RHODES_DENIED;
    }
    *ret_edge = NULL;
    if (h->strict ? to == from + 1 : to > from) {
        return 0;
    }
    for (size_t i = 0; i < h->edges_count; i++) {
        const struct hierarchy_edge *e = &h->edges[i];

        if (end_covers(e->from, caller, from) && end_covers(e->to, callee, to) &&
            (!found || e->upcall)) {
            found = e;
        }
    }
    *ret_edge = found;
    return found ? 0 : RHODES_DENIED;
}

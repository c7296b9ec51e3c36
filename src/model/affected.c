/* Whose view a staging changes. An edge shows the revision of what decides it, the later of its
 * rule and its caller's manifest; so a changed caller changes the views of all its callees, a
 * changed link both of its ends, and a changed hierarchical rule every edge that no link decides. A
 * callee's functions stand in its callers' views. */
#include <string.h>

#include "model/catalog_store.h"

struct gathering {
    struct catalog *c;
    struct staging *s;
    size_t room;
    int error;
};

static void gather(struct gathering *g, struct node *n)
{
    struct staging *s = g->s;

    if (!n || !n->object || n->mark == g->c->mark || g->error) {
        return;
    }
    if (s->affected_count == g->room) {
        size_t room = g->room * 2 + 16;
        const char **list = realloc(s->affected, room * sizeof(*list));

        if (!list) {
            g->error = failed(-ENOMEM);
            return;
        }
        s->affected = list;
        g->room = room;
    }
    n->mark = g->c->mark;
    s->affected[s->affected_count++] = n->id;
}

static void gather_callees(struct gathering *g, const struct arcs *arcs)
{
    for (size_t i = 0; arcs && i < arcs->count; i++) {
        gather(g, arcs->list[i].callee);
    }
}

static void gather_resource(struct gathering *g, const struct touched *t)
{
    const struct arc *a;

    gather(g, t->node);
    gather_callees(g, t->arcs_before);
    gather_callees(g, t->node->arcs);
    if (t->before && t->node->object &&
        functions_same(&t->before->resource, &t->node->object->resource)) {
        return;
    }
    LIST_FOREACH(a, &t->node->callers, siblings)
    {
        gather(g, a->caller);
    }
}

static void gather_link(struct gathering *g, const struct touched *t)
{
    const struct object *o = t->node->object ? t->node->object : t->before;

    gather(g, node_find_id(g->c, o->link.caller));
    gather(g, node_find_id(g->c, o->link.callee));
}

static void gather_undecided(struct gathering *g)
{
    for (enum kind k = 0; k < (enum kind)LAYERS_COUNT; k++) {
        for (struct node *n = node_after(g->c, k, ""); n; n = node_after(g->c, k, n->name)) {
            for (size_t i = 0; n->arcs && i < n->arcs->count; i++) {
                if (!link_find(g->c, n, n->arcs->list[i].callee)) {
                    gather(g, n);
                    gather(g, n->arcs->list[i].callee);
                }
            }
        }
    }
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int staging_affect(struct catalog *c, struct staging *s)
{
    struct gathering g = { .c = c, .s = s };

    c->mark += 2;
    for (size_t i = 0; i < s->touched_count; i++) {
        const struct touched *t = &s->touched[i];

        if (!touched_changes(t)) {
            continue;
        }
        if (node_is_resource(t->node)) {
            gather_resource(&g, t);
        } else if (t->node->kind == KIND_LINK) {
            gather_link(&g, t);
        } else {
            gather_undecided(&g);
        }
    }
    if (g.error == 0 && s->affected_count > 0) {
        qsort(s->affected, s->affected_count, sizeof(*s->affected), text_order);
    }
    return g.error;
}

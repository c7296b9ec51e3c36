/* The invocation matrix read out: one entry, all entries, or the row and column of one resource as
 * its agent needs them. The matrix is kept sparse as the catalog's arcs; what an entry says is put
 * together here from the reference, the link and the rule, in one place, so REST and agents cannot
 * see different things. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/catalog_store.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void edge_fill(const struct catalog *c, const struct arc *a, struct edge *ret)
{
    const struct node *n = link_find(c, a->caller, a->callee);
    const struct link *link = n ? &n->object->link : NULL;
    const struct node *rule = n ? n : c->hierarchy;

    *ret = (struct edge){
        .caller = a->caller->id,
        .callee = a->callee->id,
        .allowed = !link || link->access == LINK_ALLOW,
        .protocol =
            link && link->protocol >= 0 ? (enum protocol)link->protocol : a->reference->protocol,
        .timeout_ns = link && link->timeout_ns ? link->timeout_ns : a->reference->timeout_ns,
        .revision = later(rule->object->revision, a->caller->object->revision),
    };
    snprintf(ret->rule, sizeof(ret->rule), "%s", rule->id);
}

int catalog_edge(const struct catalog *c, const char *caller, const char *callee, struct edge *ret)
{
    const struct node *from = node_find_id(c, caller), *to = node_find_id(c, callee);
    const struct arc *a = from && to ? arc_find(from, to) : NULL;

    if (!a) {
        return RHODES_NOT_FOUND;
    }
    edge_fill(c, a, ret);
    return 0;
}

void catalog_edges(const struct catalog *c, void (*on_edge)(const struct edge *edge, void *data),
                   void *data)
{
    for (enum kind k = 0; k < (enum kind)LAYERS_COUNT; k++) {
        for (const struct node *n = node_after(c, k, ""); n; n = node_after(c, k, n->name)) {
            for (size_t i = 0; n->arcs && i < n->arcs->count; i++) {
                struct edge edge;

                edge_fill(c, &n->arcs->list[i], &edge);
                on_edge(&edge, data);
            }
        }
    }
}

/* The parts of a view. Each leaves what view_unref() can release, also when memory ran out
 * half-way. */

static int functions_fill(const struct resource *r, struct view_function **ret, size_t *ret_count)
{
    *ret = calloc(r->functions_count + 1, sizeof(**ret));
    if (!*ret) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < r->functions_count; i++) {
        (*ret)[i].id = r->functions[i]->id;
        (*ret)[i].signature = strdup(r->functions[i]->signature);
        *ret_count = i + 1;
        if (!(*ret)[i].signature) {
            return failed(-ENOMEM);
        }
    }
    return 0;
}

static int texts_fill(char *const *list, size_t count, char ***ret, size_t *ret_count)
{
    *ret = calloc(count + 1, sizeof(**ret));
    if (!*ret) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        (*ret)[i] = strdup(list[i]);
        *ret_count = i + 1;
        if (!(*ret)[i]) {
            return failed(-ENOMEM);
        }
    }
    return 0;
}

static int text_fill(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? failed(-ENOMEM) : 0;
}

static int self_fill(const struct node *n, struct view_self *to)
{
    const struct resource *r = &n->object->resource;
    int e;

    snprintf(to->resource, sizeof(to->resource), "%.*s", RESOURCE_ID_BYTES_MAX - 1, n->id);
    to->revision = n->object->revision;
    to->restart = (uint8_t)r->run.restart;
    to->device = (uint8_t)r->device.kind;
    e = functions_fill(r, &to->functions, &to->functions_count);
    e = e ? e
          : texts_fill(r->run.arguments, r->run.arguments_count, &to->arguments,
                       &to->arguments_count);
    e = e ? e
          : texts_fill(r->run.environment, r->run.environment_count, &to->environment,
                       &to->environment_count);
    e = e ? e : text_fill(r->run.directory, &to->directory);
    return e ? e
             : text_fill(r->device.kind == DEVICE_NIC ? r->device.interface : r->device.peer,
                         &to->device_target);
}

static int edge_add(const struct catalog *c, const struct arc *a, bool outgoing, struct view *v)
{
    struct view_edge *to = &v->edges[v->edges_count++];
    struct edge edge;

    edge_fill(c, a, &edge);
    snprintf(to->peer, sizeof(to->peer), "%.*s", RESOURCE_ID_BYTES_MAX - 1,
             outgoing ? edge.callee : edge.caller);
    to->outgoing = outgoing;
    to->allowed = edge.allowed;
    to->protocol = (uint8_t)edge.protocol;
    to->timeout_ns = edge.timeout_ns;
    to->revision = edge.revision;
    memcpy(to->rule, edge.rule, sizeof(to->rule));
    return outgoing
               ? functions_fill(&a->callee->object->resource, &to->functions, &to->functions_count)
               : 0;
}

static int edge_order(const void *a, const void *b)
{
    const struct view_edge *x = a, *y = b;

    return view_edge_compare(x->peer, x->outgoing, y->peer, y->outgoing);
}

static int edges_fill(const struct catalog *c, const struct node *n, struct view *v)
{
    size_t out = n->arcs ? n->arcs->count : 0;
    const struct arc *a;
    int r = 0;

    v->edges = calloc(out + n->callers_count + 1, sizeof(*v->edges));
    if (!v->edges) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < out && r == 0; i++) {
        r = edge_add(c, &n->arcs->list[i], true, v);
    }
    LIST_FOREACH(a, &n->callers, siblings)
    {
        r = r ? r : edge_add(c, a, false, v);
    }
    qsort(v->edges, v->edges_count, sizeof(*v->edges), edge_order);
    return r;
}

int catalog_view(const struct catalog *c, const char *id, struct view **ret)
{
    const struct node *n = node_find_id(c, id);
    struct view *v;
    int r;

    if (!n || !n->object) {
        return RHODES_NOT_FOUND;
    }
    v = calloc(1, sizeof(*v));
    if (!v) {
        return failed(-ENOMEM);
    }
    v->references = 1;
    v->revision = c->open ? c->open->revision : c->revision;
    r = self_fill(n, &v->self);
    r = r ? r : edges_fill(c, n, v);
    if (r) {
        view_unref(v);
        return r;
    }
    *ret = v;
    return 0;
}

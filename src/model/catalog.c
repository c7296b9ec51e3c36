/* What is registered, and where it stands: one tree of nodes per kind, and the arcs between
 * resources. Everything here only stores and finds; changes come through staging.c, and what may
 * stand is judge.c's to say. Restoring after a start puts the objects back as they come and judges
 * them all at the end, by the same judge. */
#include "model/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/catalog_store.h"

static int node_compare(const struct node *a, const struct node *b)
{
    return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(tree, node, entry, node_compare, __attribute__((unused)) static)

struct node *node_find(const struct catalog *c, enum kind kind, const char *name)
{
    struct node *n = RB_ROOT(&c->trees[kind]);

    while (n) {
        int order = strcmp(name, n->name);

        if (order == 0) {
            return n;
        }
        n = order < 0 ? RB_LEFT(n, entry) : RB_RIGHT(n, entry);
    }
    return NULL;
}

struct node *node_find_id(const struct catalog *c, const char *id)
{
    char name[NAME_BYTES_MAX];
    enum layer layer;

    return resource_id_parse(id, '/', &layer, name) ? NULL : node_find(c, (enum kind)layer, name);
}

struct node *node_after(const struct catalog *c, enum kind kind, const char *after)
{
    struct node *n = RB_ROOT(&c->trees[kind]), *best = NULL;

    while (n) {
        if (strcmp(n->name, after) > 0) {
            best = n;
            n = RB_LEFT(n, entry);
        } else {
            n = RB_RIGHT(n, entry);
        }
    }
    return best;
}

struct node *link_find(const struct catalog *c, const struct node *caller,
                       const struct node *callee)
{
    char name[LINK_NAME_BYTES_MAX];
    struct node *n;

    if (RB_EMPTY(&c->trees[KIND_LINK]) || link_name_make(caller->id, callee->id, name)) {
        return NULL;
    }
    n = node_find(c, KIND_LINK, name);
    return n && n->object ? n : NULL;
}

struct arc *arcs_find(struct arcs *arcs, const struct node *callee)
{
    for (size_t i = 0; arcs && i < arcs->count; i++) {
        if (arcs->list[i].callee == callee) {
            return &arcs->list[i];
        }
    }
    return NULL;
}

struct arc *arc_find(const struct node *caller, const struct node *callee)
{
    return arcs_find(caller->arcs, callee);
}

bool functions_same(const struct resource *a, const struct resource *b)
{
    for (size_t i = 0; a->functions_count == b->functions_count && i < a->functions_count; i++) {
        if (strcmp(a->functions[i]->signature, b->functions[i]->signature) != 0) {
            return false;
        }
    }
    return a->functions_count == b->functions_count;
}

int node_new(struct catalog *c, enum kind kind, const char *name, struct node **ret)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n) {
        return failed(-ENOMEM);
    }
    n->kind = kind;
    strcpy(n->name, name);
    if (node_is_resource(n)) {
        resource_id_make((enum layer)kind, name, '/', n->id);
    } else {
        snprintf(n->id, sizeof(n->id), "%s/%s", kind_collection(kind), name);
    }
    LIST_INIT(&n->callers);
    RB_INSERT(tree, &c->trees[kind], n);
    *ret = n;
    return 0;
}

void node_remove(struct catalog *c, struct node *n)
{
    assert(!n->object && !n->arcs && n->callers_count == 0);
    RB_REMOVE(tree, &c->trees[n->kind], n);
    free(n);
}

/* Arcs in the callees' lists and out of them: what makes references count. */

void arcs_join(struct catalog *c, struct arcs *arcs)
{
    for (size_t i = 0; arcs && i < arcs->count; i++) {
        struct arc *a = &arcs->list[i];

        LIST_INSERT_HEAD(&a->callee->callers, a, siblings);
        a->callee->callers_count++;
        c->climbing_count += arc_climbs(a);
    }
}

void arcs_part(struct catalog *c, struct arcs *arcs)
{
    for (size_t i = 0; arcs && i < arcs->count; i++) {
        struct arc *a = &arcs->list[i];

        LIST_REMOVE(a, siblings);
        a->callee->callers_count--;
        c->climbing_count -= arc_climbs(a);
    }
}

static int arc_order(const void *a, const void *b)
{
    const struct node *x = ((const struct arc *)a)->callee, *y = ((const struct arc *)b)->callee;

    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
}

static void unknown_refuse(struct refusals *why, const struct node *n, const char *callee,
                           size_t index, const char *pointer)
{
    struct refusal *slot = refusals_next(why);
    char at[256];

    if (slot) {
        snprintf(at, sizeof(at), "%s/spec/calls/%zu/to", pointer, index);
        refuse(slot, PROBLEM_UNKNOWN_REFERENCE, at, "%s calls %s, which is not registered", n->id,
               callee);
    }
}

/* Makes the arcs of a node's references and joins them. A callee that is not there is refused and
 * left out. */
int arcs_make(struct catalog *c, struct node *n, const char *pointer, struct refusals *why)
{
    const struct resource *r = &n->object->resource;
    struct arcs *arcs;

    if (r->references_count == 0) {
        return 0;
    }
    arcs = calloc(1, sizeof(*arcs) + r->references_count * sizeof(struct arc));
    if (!arcs) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < r->references_count; i++) {
        struct node *callee = node_find_id(c, r->references[i].callee);

        if (!callee || !callee->object) {
            unknown_refuse(why, n, r->references[i].callee, i, pointer);
            continue;
        }
        arcs->list[arcs->count++] =
            (struct arc){ .caller = n, .callee = callee, .reference = &r->references[i] };
    }
    qsort(arcs->list, arcs->count, sizeof(struct arc), arc_order);
    n->arcs = arcs;
    arcs_join(c, arcs);
    return 0;
}

/* The rule that holds before anybody wrote one. */
static int hierarchy_make(struct catalog *c)
{
    json_t *document =
        json_pack("{ss ss s{ss} s{ss}}", "apiVersion", "rhodes/v1", "kind", "Hierarchy", "metadata",
                  "name", "default", "spec", "mode", "below");
    struct object *o = NULL;
    struct refusal why;
    int r = document ? object_parse(document, "", &o, &why) : failed(-ENOMEM);

    json_decref(document);
    r = r ? r : node_new(c, KIND_HIERARCHY, "default", &c->hierarchy);
    if (r) {
        object_unref(o);
        return r;
    }
    c->hierarchy->object = o;
    c->counts[KIND_HIERARCHY] = 1;
    return 0;
}

struct catalog *catalog_new(void)
{
    struct catalog *c = calloc(1, sizeof(*c));

    if (c && hierarchy_make(c)) {
        return catalog_free(c);
    }
    return c;
}

struct catalog *catalog_free(struct catalog *c)
{
    if (!c) {
        return NULL;
    }
    if (c->open) {
        catalog_undo(c, c->open);
    }
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        struct node *n;

        while ((n = RB_ROOT(&c->trees[k]))) {
            RB_REMOVE(tree, &c->trees[k], n);
            object_unref(n->object);
            free(n->arcs);
            free(n);
        }
    }
    free(c);
    return NULL;
}

uint64_t catalog_revision(const struct catalog *c)
{
    return c->revision;
}

int catalog_restore(struct catalog *c, struct object *object)
{
    struct node *n = node_find(c, object->kind, object->name);
    int r = 0;

    if (n && object->kind != KIND_HIERARCHY) {
        return RHODES_EXISTS;
    }
    r = n ? 0 : node_new(c, object->kind, object->name, &n);
    if (r) {
        return r;
    }
    c->counts[n->kind] += n->object == NULL;
    object_unref(n->object);
    n->object = object_ref(object);
    return 0;
}

/* Lists every node as changed, so that the judge looks at everything. */
static int restored_list(struct catalog *c, struct staging *s)
{
    size_t count = 0;

    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        count += c->counts[k];
    }
    s->touched = calloc(count + 1, sizeof(*s->touched));
    if (!s->touched) {
        return failed(-ENOMEM);
    }
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        for (struct node *n = RB_MIN(tree, &c->trees[k]); n; n = RB_NEXT(tree, NULL, n)) {
            s->touched[s->touched_count++].node = n;
            n->touch = s->touched_count;
        }
    }
    return 0;
}

int catalog_restored(struct catalog *c, uint64_t revision, struct refusal *why)
{
    struct staging s = { 0 };
    CLEANUP(memory_freep) struct refusals *refusals = calloc(1, sizeof(*refusals));
    int r;

    if (!refusals) {
        return failed(-ENOMEM);
    }
    r = restored_list(c, &s);
    r = r ? r : references_join(c, &s, refusals);
    if (r == 0) {
        c->revision = revision;
        staging_judge(c, &s, refusals);
    }
    for (size_t i = 0; i < s.touched_count; i++) {
        s.touched[i].node->touch = 0;
    }
    free(s.touched);
    if (r == 0 && refusals->total > 0) {
        *why = refusals->list[0];
        return (int)problem_verdict(why->problem);
    }
    return r;
}

const struct object *catalog_find(const struct catalog *c, enum kind kind, const char *name)
{
    const struct node *n = node_find(c, kind, name);

    return n ? n->object : NULL;
}

const struct object *catalog_resource(const struct catalog *c, const char *id)
{
    const struct node *n = node_find_id(c, id);

    return n ? n->object : NULL;
}

const struct object *catalog_next(const struct catalog *c, enum kind kind, const char *after)
{
    const struct node *n = node_after(c, kind, after);

    while (n && !n->object) {
        n = node_after(c, kind, n->name);
    }
    return n ? n->object : NULL;
}

size_t catalog_count(const struct catalog *c, enum kind kind)
{
    return c->counts[kind];
}

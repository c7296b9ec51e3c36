/* Everything that is registered at one revision, and the door through which it changes.
 *
 * A set of changes is applied first and judged afterwards: objects are exchanged, then references
 * are joined, then judge.c looks at the result. So the order within a set cannot matter, and a set
 * that moves several resources at once needs no right order. What was before stays whole beside the
 * new state (object and arcs), so taking a change back needs no memory and cannot fail. Copying the
 * catalog instead would be simpler and cost milliseconds per change at 10,000 resources. */
#include "model/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/catalog_store.h"

/* A view holds one edge per caller and per callee of a resource. */
#define RESOURCES_MAX (VIEW_EDGES_MAX - RESOURCE_CALLS_MAX)

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

struct refusal *refusals_next(struct refusals *why)
{
    why->total++;
    return why->count < REFUSALS_MAX ? &why->list[why->count++] : NULL;
}

static int node_new(struct catalog *c, enum kind kind, const char *name, struct node **ret)
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

static void node_remove(struct catalog *c, struct node *n)
{
    assert(!n->object && !n->arcs && n->callers_count == 0);
    RB_REMOVE(tree, &c->trees[n->kind], n);
    free(n);
}

/* Arcs in the callees' lists and out of them: what makes references count. */

static void arcs_join(struct catalog *c, struct arcs *arcs)
{
    for (size_t i = 0; arcs && i < arcs->count; i++) {
        struct arc *a = &arcs->list[i];

        LIST_INSERT_HEAD(&a->callee->callers, a, siblings);
        a->callee->callers_count++;
        c->climbing_count += arc_climbs(a);
    }
}

static void arcs_part(struct catalog *c, struct arcs *arcs)
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
static int arcs_make(struct catalog *c, struct node *n, const char *pointer, struct refusals *why)
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

/* Exchanges a node's object (the reference is taken over) and remembers what was. */
static int node_touch(struct catalog *c, struct staging *s, struct node *n, struct object *after,
                      const char *pointer)
{
    struct touched *t;

    if (s->touched_count == s->touched_room) {
        size_t room = s->touched_room * 2 + 16;
        struct touched *list = realloc(s->touched, room * sizeof(*list));

        if (!list) {
            object_unref(after);
            return failed(-ENOMEM);
        }
        s->touched = list;
        s->touched_room = room;
    }
    t = &s->touched[s->touched_count++];
    *t = (struct touched){ .node = n, .before = n->object, .arcs_before = n->arcs };
    snprintf(t->pointer, sizeof(t->pointer), "%s", pointer);
    arcs_part(c, n->arcs);
    n->arcs = NULL;
    n->object = after;
    n->touch = s->touched_count;
    c->counts[n->kind] += after != NULL;
    c->counts[n->kind] -= t->before != NULL;
    return 0;
}

static struct staging *staging_free(struct staging *s)
{
    free(s->actions);
    free(s->touched);
    free(s->objects);
    free(s->affected);
    free(s);
    return NULL;
}

void catalog_keep(struct catalog *c, struct staging *s)
{
    assert(c->open == s);
    for (size_t i = 0; i < s->touched_count; i++) {
        struct touched *t = &s->touched[i];

        t->node->touch = 0;
        object_unref(t->before);
        free(t->arcs_before);
        if (!t->node->object) {
            node_remove(c, t->node);
        }
    }
    c->revision = s->revision;
    c->open = NULL;
    staging_free(s);
}

void catalog_undo(struct catalog *c, struct staging *s)
{
    assert(c->open == s);
    for (size_t i = 0; i < s->touched_count; i++) {
        struct node *n = s->touched[i].node;

        arcs_part(c, n->arcs);
        free(n->arcs);
        n->arcs = NULL;
    }
    for (size_t i = 0; i < s->touched_count; i++) {
        struct touched *t = &s->touched[i];
        struct node *n = t->node;

        c->counts[n->kind] += t->before != NULL;
        c->counts[n->kind] -= n->object != NULL;
        object_unref(n->object);
        n->object = t->before;
        n->arcs = t->arcs_before;
        n->touch = 0;
        arcs_join(c, n->arcs);
    }
    for (size_t i = 0; i < s->touched_count; i++) {
        if (!s->touched[i].node->object) {
            node_remove(c, s->touched[i].node);
        }
    }
    c->open = NULL;
    staging_free(s);
}

/* The first half of a change: does the object exist as the change expects it? Fills a refusal
 * otherwise. */
static int change_admit(const struct catalog *c, const struct change *x, const struct node *n,
                        const char *id, struct refusal *why)
{
    const struct object *now = n ? n->object : NULL;

    if (n && n->touch) {
        return refuse(why, PROBLEM_DUPLICATE, x->pointer, "%s stands twice in this change", id);
    }
    if (x->remove && !now) {
        (void)refuse(why, PROBLEM_NO_SUCH_OBJECT, x->pointer, "%s is not registered", id);
        refusal_hint(why, "rhodes get %s lists the names", kind_collection(x->kind));
        return RHODES_NOT_FOUND;
    }
    if (x->create_only && now) {
        return refuse(why, PROBLEM_EXISTS_ALREADY, x->pointer, "%s is registered already", id);
    }
    if (x->revision_expected && !now) {
        return refuse(why, PROBLEM_CONFLICT, x->pointer, "%s is not registered any more", id);
    }
    if (x->revision_expected && x->revision_expected != now->revision) {
        return refuse(why, PROBLEM_CONFLICT, x->pointer, "%s is at revision %llu, not at %llu", id,
                      (unsigned long long)now->revision, (unsigned long long)x->revision_expected);
    }
    if (x->remove && x->kind == KIND_HIERARCHY) {
        return refuse(why, PROBLEM_PERMANENT, x->pointer,
                      "the hierarchical rule %s cannot be deleted", id);
    }
    if (!x->remove && !now && x->kind < (enum kind)LAYERS_COUNT &&
        c->counts[0] + c->counts[1] + c->counts[2] + c->counts[3] >= RESOURCES_MAX) {
        return refuse(why, PROBLEM_TOO_LARGE, x->pointer,
                      "%d resources are the limit of one center", RESOURCES_MAX);
    }
    return 0;
}

/* The second half: carries it out on the node, without looking at others. */
static int change_carry(struct catalog *c, struct staging *s, const struct change *x,
                        struct node *n, enum change_action *ret)
{
    struct object *after;
    bool fresh = !n;
    int r;

    if (x->remove) {
        *ret = ACTION_DELETED;
        return node_touch(c, s, n, NULL, x->pointer);
    }
    if (n && json_equal(n->object->body, x->object->body)) {
        /* It counts as part of the set all the same: it may not stand twice, and a link must keep
         * its edge. */
        *ret = ACTION_UNCHANGED;
        return node_touch(c, s, n, object_ref(n->object), x->pointer);
    }
    *ret = n ? ACTION_UPDATED : ACTION_CREATED;
    after =
        object_at(x->object, c->revision + 1, n ? n->object->revision_created : c->revision + 1);
    if (!after) {
        return failed(-ENOMEM);
    }
    r = n ? 0 : node_new(c, x->kind, x->name, &n);
    if (r) {
        object_unref(after);
        return r;
    }
    r = node_touch(c, s, n, after, x->pointer);
    if (r && fresh) {
        node_remove(c, n);
    }
    return r;
}

static int changes_carry(struct catalog *c, struct staging *s, const struct change *changes,
                         struct refusals *why)
{
    for (size_t i = 0; i < s->actions_count; i++) {
        const struct change *x = &changes[i];
        struct node *n = node_find(c, x->kind, x->name);
        char id[LINK_NAME_BYTES_MAX + 16];
        struct refusal no, *slot;
        int r;

        assert(x->remove || (x->object->kind == x->kind && strcmp(x->object->name, x->name) == 0));
        if (x->kind < (enum kind)LAYERS_COUNT) {
            resource_id_make((enum layer)x->kind, x->name, '/', id);
        } else {
            snprintf(id, sizeof(id), "%s/%s", kind_collection(x->kind), x->name);
        }
        if (change_admit(c, x, n, id, &no)) {
            slot = refusals_next(why);
            if (slot) {
                *slot = no;
            }
            continue;
        }
        r = change_carry(c, s, x, n, &s->actions[i]);
        if (r) {
            return r;
        }
    }
    return 0;
}

/* Edges that the change removes take their links with them. The list grows while it is walked. */
static int links_drop(struct catalog *c, struct staging *s)
{
    for (size_t i = 0; i < s->touched_count; i++) {
        struct node *caller = s->touched[i].node;
        struct arcs *before = s->touched[i].arcs_before;

        for (size_t a = 0; before && a < before->count; a++) {
            struct node *callee = before->list[a].callee, *link;
            int r;

            if (arc_find(caller, callee)) {
                continue;
            }
            link = link_find(c, caller, callee);
            r = link && !link->touch ? node_touch(c, s, link, NULL, "") : 0;
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

static int references_join(struct catalog *c, struct staging *s, struct refusals *why)
{
    for (size_t i = 0; i < s->touched_count; i++) {
        const struct touched *t = &s->touched[i];
        int r = 0;

        if (node_is_resource(t->node) && t->node->object) {
            r = arcs_make(c, t->node, t->pointer, why);
        }
        if (r) {
            return r;
        }
    }
    return links_drop(c, s);
}

/* What callers of an accepted staging ask for. */
static int staging_report(struct catalog *c, struct staging *s)
{
    s->objects = calloc(s->touched_count + 1, sizeof(*s->objects));
    if (!s->objects) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < s->touched_count; i++) {
        const struct touched *t = &s->touched[i];

        if (touched_changes(t)) {
            s->objects[s->objects_count++] = (struct staged_object){ t->before, t->node->object };
        }
    }
    s->revision = c->revision + (s->objects_count > 0);
    return staging_affect(c, s);
}

static int staging_run(struct catalog *c, struct staging *s, const struct change *changes,
                       struct refusals *why)
{
    int r = changes_carry(c, s, changes, why);

    if (r == 0 && why->total == 0) {
        r = references_join(c, s, why);
        if (r == 0) {
            staging_judge(c, s, why);
        }
    }
    if (r == 0 && why->total > 0) {
        return (int)problem_verdict(why->list[0].problem);
    }
    return r ? r : staging_report(c, s);
}

int catalog_stage(struct catalog *c, const struct change *changes, size_t count,
                  struct staging **ret, struct refusals *why)
{
    struct staging *s = calloc(1, sizeof(*s));
    int r;

    assert(!c->open);
    why->count = why->total = 0;
    if (!s) {
        return failed(-ENOMEM);
    }
    s->actions_count = count;
    s->actions = calloc(count + 1, sizeof(*s->actions));
    if (!s->actions) {
        staging_free(s);
        return failed(-ENOMEM);
    }
    c->open = s;
    r = staging_run(c, s, changes, why);
    if (r) {
        catalog_undo(c, s);
        return r;
    }
    *ret = s;
    return 0;
}

uint64_t staging_revision(const struct staging *s)
{
    return s->revision;
}

enum change_action staging_action(const struct staging *s, size_t index)
{
    assert(index < s->actions_count);
    return s->actions[index];
}

size_t staging_objects(const struct staging *s, const struct staged_object **ret)
{
    *ret = s->objects;
    return s->objects_count;
}

size_t staging_affected(const struct staging *s, const char *const **ret)
{
    *ret = s->affected;
    return s->affected_count;
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

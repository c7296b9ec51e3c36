/* The door through which the catalog changes.
 *
 * A set of changes is applied first and judged afterwards: objects are exchanged, then references
 * are joined, then judge.c looks at the result. So the order within a set cannot matter, and a set
 * that moves several resources at once needs no right order. What was before stays whole beside the
 * new state (object and arcs), so taking a change back needs no memory and cannot fail. Copying the
 * catalog instead would be simpler and cost milliseconds per change at 10,000 resources. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/catalog_store.h"

/* A view holds one edge per caller and per callee of a resource. */
#define RESOURCES_MAX (VIEW_EDGES_MAX - RESOURCE_CALLS_MAX)

struct refusal *refusals_next(struct refusals *why)
{
    why->total++;
    return why->count < REFUSALS_MAX ? &why->list[why->count++] : NULL;
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

int references_join(struct catalog *c, struct staging *s, struct refusals *why)
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

/* The judge of a set of changes: looks at the catalog as the set has made it and refuses what must
 * not stand. It changes nothing but its own marks.
 *
 * Only what a set touches is judged: the references of changed callers, the callers of callees
 * whose functions changed, the links that were put; everything when the hierarchical rule itself
 * changes. Cycles: an edge to a lower layer cannot close one by itself, so where no edge climbs, no
 * search is made; else one depth-first walk, iterative, from all callers that gained a reference.
 * Refusals come in the order in which they help: first what is missing, then what climbs (the
 * rule's own matter), then rings inside a layer (which an added edge would not mend), then the
 * rest. */
#include <stdio.h>
#include <string.h>

#include "model/catalog_store.h"
#include "model/hierarchy.h"

#define CALLERS_NAMED_MAX 5

static const struct hierarchy *rule_of(const struct catalog *c)
{
    return &c->hierarchy->object->hierarchy;
}

/* The revision of the rule that is in force, which is not the one under judgement when the set
 * changes it. */
static uint64_t rule_revision(const struct catalog *c)
{
    size_t touch = c->hierarchy->touch;
    const struct object *before = touch && c->open ? c->open->touched[touch - 1].before : NULL;

    return before ? before->revision : c->hierarchy->object->revision;
}

static const struct touched *touched_of(const struct staging *s, const struct node *n)
{
    return n->touch ? &s->touched[n->touch - 1] : NULL;
}

static bool rule_changes(const struct catalog *c, const struct staging *s)
{
    const struct touched *t = touched_of(s, c->hierarchy);

    return t && touched_changes(t);
}

static void arc_pointer(const struct arc *a, const struct touched *t, const char *field,
                        char ret[256])
{
    const struct resource *r = &a->caller->object->resource;

    snprintf(ret, 256, "%s/spec/calls/%zu%s", t ? t->pointer : "",
             (size_t)(a->reference - r->references), field);
}

/* Why the mode does not let this pair stand, in words. */
static void layer_explain(bool strict, enum layer from, enum layer to, char ret[160])
{
    if (from == to) {
        snprintf(ret, 160, "a layer does not call its own (both are of layer %s)",
                 layer_name(from));
    } else if (to < from) {
        snprintf(ret, 160, "layer %s lies above layer %s, and calls go down only", layer_name(to),
                 layer_name(from));
    } else {
        snprintf(ret, 160, "layer %s is not the next below layer %s, and mode %s allows no other",
                 layer_name(to), layer_name(from), strict ? "strict" : "below");
    }
}

static void layer_refuse(struct refusal *why, const struct catalog *c, enum problem problem,
                         const char *pointer, const char *caller, const char *callee)
{
    char name[NAME_BYTES_MAX], because[160] = "";
    enum layer from, to;

    if (resource_id_parse(caller, '/', &from, name) == 0 &&
        resource_id_parse(callee, '/', &to, name) == 0) {
        layer_explain(rule_of(c)->strict, from, to, because);
    }
    refuse(why, problem, pointer, "%s may not call %s: %s", caller, callee, because);
    snprintf(why->rule, sizeof(why->rule), "%s", c->hierarchy->id);
    why->revision = rule_revision(c);
    if (problem == PROBLEM_LAYER_FORBIDDEN) {
        refusal_hint(why, "rhodes layer set --add-edge %s:%s", caller, callee);
    }
}

/* Judges one edge by the hierarchical rule. The new rule's document answers for callers that the
 * set does not change. */
static void layer_judge(const struct catalog *c, const struct staging *s, const struct arc *a,
                        struct refusals *why)
{
    const struct touched *t = touched_of(s, a->caller);
    const struct hierarchy_edge *edge;
    struct refusal *slot;
    char pointer[256];

    if (hierarchy_judge(rule_of(c), a->caller->id, a->callee->id, &edge) == 0 ||
        !(slot = refusals_next(why))) {
        return;
    }
    if (t) {
        arc_pointer(a, t, "/to", pointer);
        layer_refuse(slot, c, PROBLEM_LAYER_FORBIDDEN, pointer, a->caller->id, a->callee->id);
        if (arc_find(a->callee, a->caller)) { /* an edge alone would close a cycle */
            refusal_hint(slot, "rhodes layer set --add-edge %s:%s --upcall", a->caller->id,
                         a->callee->id);
        }
    } else {
        snprintf(pointer, sizeof(pointer), "%s/spec", touched_of(s, c->hierarchy)->pointer);
        layer_refuse(slot, c, PROBLEM_EDGES_OFFEND, pointer, a->caller->id, a->callee->id);
    }
}

static void node_layers_judge(const struct catalog *c, const struct staging *s,
                              const struct node *n, bool upward, struct refusals *why)
{
    for (size_t i = 0; n->arcs && i < n->arcs->count; i++) {
        const struct arc *a = &n->arcs->list[i];

        if ((a->callee->kind < a->caller->kind) == upward) {
            layer_judge(c, s, a, why);
        }
    }
}

static void layers_judge(const struct catalog *c, const struct staging *s, bool upward,
                         struct refusals *why)
{
    if (!rule_changes(c, s)) {
        for (size_t i = 0; i < s->touched_count; i++) {
            node_layers_judge(c, s, s->touched[i].node, upward, why);
        }
        return;
    }
    for (enum kind k = 0; k < (enum kind)LAYERS_COUNT; k++) {
        for (const struct node *n = node_after(c, k, ""); n; n = node_after(c, k, n->name)) {
            node_layers_judge(c, s, n, upward, why);
        }
    }
}

/* Cycles. A node's mark is c->mark while it is on the walk's path, c->mark + 1 when nothing below
 * it leads back. */

static bool arc_is_upcall(const struct catalog *c, const struct arc *a)
{
    const struct hierarchy_edge *edge = NULL;

    return arc_climbs(a) && hierarchy_judge(rule_of(c), a->caller->id, a->callee->id, &edge) == 0 &&
           edge && edge->upcall;
}

/* Links the ring that `last` closes through `first` by next, and returns where to begin telling it:
 * at a caller that the set changes, when there is one. */
static struct node *ring_make(struct node *first, struct node *last)
{
    struct node *start = first;

    last->next = first;
    for (struct node *n = last; n != first; n = n->parent) {
        n->parent->next = n;
        if (n->touch && (!start->touch || n->touch < start->touch)) {
            start = n;
        }
    }
    return start;
}

static void ring_refuse(const struct catalog *c, const struct staging *s, struct node *first,
                        struct node *last, struct refusals *why)
{
    struct refusal *slot = refusals_next(why);
    struct node *start, *n;
    char pointer[256] = "", path[440];
    size_t used;

    if (!slot) {
        return;
    }
    start = ring_make(first, last);
    if (start->touch) {
        arc_pointer(arc_find(start, start->next), touched_of(s, start), "/to", pointer);
    } else if (rule_changes(c, s)) {
        snprintf(pointer, sizeof(pointer), "%s/spec/edges", touched_of(s, c->hierarchy)->pointer);
    }
    used = (size_t)snprintf(path, sizeof(path), "%s", start->id);
    for (n = start->next;; n = n->next) {
        if (used + strlen(n->id) + 10 > sizeof(path)) {
            snprintf(path + used, sizeof(path) - used, " -> ...");
            break;
        }
        used += (size_t)snprintf(path + used, sizeof(path) - used, " -> %s", n->id);
        if (n == start) {
            break;
        }
    }
    refuse(slot, PROBLEM_CYCLE, pointer, "%s", path);
}

static void rings_search(struct catalog *c, const struct staging *s, struct node *root,
                         struct refusals *why)
{
    struct node *at = root;

    if (root->mark >= c->mark) {
        return;
    }
    root->mark = c->mark;
    root->parent = NULL;
    root->cursor = 0;
    while (at) {
        const struct arc *a;

        if (!at->arcs || at->cursor == at->arcs->count) {
            at->mark = c->mark + 1;
            at = at->parent;
            continue;
        }
        a = &at->arcs->list[at->cursor++];
        if (a->callee->mark == c->mark + 1 || arc_is_upcall(c, a)) {
            continue;
        }
        if (a->callee->mark == c->mark) {
            ring_refuse(c, s, a->callee, at, why);
            continue;
        }
        a->callee->mark = c->mark;
        a->callee->parent = at;
        a->callee->cursor = 0;
        at = a->callee;
    }
}

static bool has_new_arc(const struct touched *t)
{
    for (size_t i = 0; t->node->arcs && i < t->node->arcs->count; i++) {
        if (!arcs_find(t->arcs_before, t->node->arcs->list[i].callee)) {
            return true;
        }
    }
    return false;
}

static void cycles_judge(struct catalog *c, const struct staging *s, struct refusals *why)
{
    if (c->climbing_count == 0) {
        return;
    }
    c->mark += 2;
    for (size_t i = 0; i < s->touched_count; i++) {
        if (has_new_arc(&s->touched[i])) {
            rings_search(c, s, s->touched[i].node, why);
        }
    }
    for (enum kind k = 0; rule_changes(c, s) && k < (enum kind)LAYERS_COUNT; k++) {
        for (struct node *n = node_after(c, k, ""); n; n = node_after(c, k, n->name)) {
            rings_search(c, s, n, why);
        }
    }
}

/* Functions and types of both sides. */

static void function_judge(const struct arc *a, const struct wit_function *wanted,
                           const char *pointer, struct refusals *why)
{
    const struct resource *callee = &a->callee->object->resource;
    const struct wit_function *found = NULL;
    struct refusal *slot;

    for (size_t i = 0; i < callee->functions_count && !found; i++) {
        found = strcmp(callee->functions[i]->name, wanted->name) == 0 ? callee->functions[i] : NULL;
    }
    if ((found && strcmp(found->signature, wanted->signature) == 0) ||
        !(slot = refusals_next(why))) {
        return;
    }
    if (found) {
        refuse(slot, PROBLEM_TYPE_DIFFERS, pointer,
               "%s expects \"%.150s%s\", %s provides \"%.150s%s\"", a->caller->id,
               wanted->signature, strlen(wanted->signature) > 150 ? "..." : "", a->callee->id,
               found->signature, strlen(found->signature) > 150 ? "..." : "");
    } else {
        refuse(slot, PROBLEM_FUNCTION_UNKNOWN, pointer,
               "%s calls %s of %s, which does not provide it", a->caller->id, wanted->name,
               a->callee->id);
        refusal_hint(slot, "rhodes describe %s lists what it provides", a->callee->id);
    }
}

static void callers_types_judge(const struct touched *t, struct refusals *why)
{
    const struct arc *a;
    char pointer[256];

    snprintf(pointer, sizeof(pointer), "%s/spec/provides", t->pointer);
    LIST_FOREACH(a, &t->node->callers, siblings)
    {
        for (size_t f = 0; !a->caller->touch && f < a->reference->functions_count; f++) {
            function_judge(a, a->reference->functions[f], pointer, why);
        }
    }
}

static void types_judge(const struct touched *t, struct refusals *why)
{
    const struct node *n = t->node;

    for (size_t i = 0; n->arcs && i < n->arcs->count; i++) {
        const struct arc *a = &n->arcs->list[i];

        for (size_t f = 0; f < a->reference->functions_count; f++) {
            char field[48], pointer[256];

            snprintf(field, sizeof(field), "/functions/%zu", f);
            arc_pointer(a, t, field, pointer);
            function_judge(a, a->reference->functions[f], pointer, why);
        }
    }
    if (t->before && !functions_same(&t->before->resource, &n->object->resource)) {
        callers_types_judge(t, why);
    }
}

static void link_judge(const struct catalog *c, const struct touched *t, struct refusals *why)
{
    const struct link *link = &t->node->object->link;
    const struct node *caller = node_find_id(c, link->caller),
                      *callee = node_find_id(c, link->callee);
    bool caller_there = caller && caller->object, callee_there = callee && callee->object;
    struct refusal *slot;
    char pointer[256];

    if ((caller_there && callee_there && arc_find(caller, callee)) ||
        !(slot = refusals_next(why))) {
        return;
    }
    if (!caller_there || !callee_there) {
        snprintf(pointer, sizeof(pointer), "%s/spec/%s", t->pointer,
                 caller_there ? "callee" : "caller");
        refuse(slot, PROBLEM_UNKNOWN_REFERENCE, pointer,
               "the link names %s, which is not registered",
               caller_there ? link->callee : link->caller);
        refusal_hint(slot, "register it first, or in the same apply");
        return;
    }
    snprintf(pointer, sizeof(pointer), "%s/spec", t->pointer);
    refuse(slot, PROBLEM_NO_EDGE, pointer, "%s has no registered reference to %s", link->caller,
           link->callee);
    refusal_hint(slot, "add {to: %s} under spec.calls of %s", link->callee, link->caller);
}

/* The first few callers by name, so that the same state gives the same sentence. */
static void callers_write(const struct node *n, char *ret, size_t room)
{
    const char *names[CALLERS_NAMED_MAX];
    size_t count = 0, used = 0;
    const struct arc *a;

    LIST_FOREACH(a, &n->callers, siblings)
    {
        const char *name = a->caller->id;

        for (size_t i = 0; i < count; i++) {
            if (strcmp(name, names[i]) < 0) {
                const char *other = names[i];

                names[i] = name;
                name = other;
            }
        }
        if (count < CALLERS_NAMED_MAX) {
            names[count++] = name;
        }
    }
    ret[0] = 0;
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(ret + used, room - used, "%s%s", i ? ", " : "", names[i]);
    }
    if (n->callers_count > count) {
        snprintf(ret + used, room - used, " and %zu more", n->callers_count - count);
    }
}

static void removal_judge(const struct touched *t, struct refusals *why)
{
    char callers[CALLERS_NAMED_MAX * (RESOURCE_ID_BYTES_MAX + 2) + 32];
    struct refusal *slot;

    if (t->node->callers_count == 0 || !(slot = refusals_next(why))) {
        return;
    }
    callers_write(t->node, callers, sizeof(callers));
    refuse(slot, PROBLEM_STILL_REFERENCED, t->pointer, "%s is still called by %s", t->node->id,
           callers);
}

void staging_judge(struct catalog *c, const struct staging *s, struct refusals *why)
{
    for (size_t i = 0; i < s->touched_count; i++) {
        if (!s->touched[i].node->object) {
            removal_judge(&s->touched[i], why);
        }
    }
    layers_judge(c, s, true, why);
    cycles_judge(c, s, why);
    layers_judge(c, s, false, why);
    for (size_t i = 0; i < s->touched_count; i++) {
        const struct touched *t = &s->touched[i];

        if (t->node->object && node_is_resource(t->node)) {
            types_judge(t, why);
        } else if (t->node->object && t->node->kind == KIND_LINK) {
            link_judge(c, t, why);
        }
    }
}

int catalog_judge_pair(const struct catalog *c, const char *caller, const char *callee,
                       struct refusal *why)
{
    const struct hierarchy_edge *edge;
    char name[NAME_BYTES_MAX], quoted[QUOTED_BYTES_MAX];
    enum layer layer;

    for (int i = 0; i < 2; i++) {
        const char *id = i == 0 ? caller : callee;

        if (resource_id_parse(id, '/', &layer, name)) {
            return refuse(why, PROBLEM_BAD_NAME, "", "%s is not the id of a resource",
                          text_quote(id, quoted));
        }
    }
    if (hierarchy_judge(rule_of(c), caller, callee, &edge) == 0) {
        return 0;
    }
    layer_refuse(why, c, PROBLEM_LAYER_FORBIDDEN, "", caller, callee);
    return RHODES_DENIED;
}

/* model/catalog_store.h - how the catalog keeps objects and edges, for the files that judge them and read them out. Internal to
 * the model.
 *
 * One node per object, in one tree per kind. A resource's references are arcs: an array at the caller, sorted by callee, and
 * each arc also in its callee's list of callers, so a change finds everything it touches without a walk over the rest. While
 * a staging is open, a node may have no object (it is being deleted) or be new; every node that differs is in the
 * staging's list with what it was before. */
#ifndef MODEL_CATALOG_STORE_H
#define MODEL_CATALOG_STORE_H

#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include "model/catalog.h"

struct node;

struct arc {
    struct node *caller, *callee;
    const struct reference *reference; /* in the caller's object */
    LIST_ENTRY(arc) siblings;          /* in the callee's callers */
};

struct arcs {
    size_t count;
    struct arc list[];
};

struct node {
    RB_ENTRY(node) entry;
    enum kind kind;
    char id[LINK_NAME_BYTES_MAX + 16]; /* object_id() */
    char name[LINK_NAME_BYTES_MAX];
    struct object *object; /* NULL: going */
    struct arcs *arcs;     /* whom it calls; NULL: nobody */
    LIST_HEAD(, arc) callers;
    size_t callers_count;
    size_t touch;  /* 1 + index in the open staging's list, 0: not in it */
    uint64_t mark; /* of the walk that was here last; see judge.c */
    struct node *parent, *next;
    size_t cursor;
};

RB_HEAD(tree, node);

struct touched { /* a node that the staging changes, and what it was */
    struct node *node;
    struct object *before;
    struct arcs *arcs_before; /* out of the callees' lists, ready to go back in */
    char pointer[64];         /* of the document; "" when the change follows from another */
};

/* An object that a set puts as it already is stands in the list too, but changes nothing. */
static inline bool touched_changes(const struct touched *t)
{
    return t->before != t->node->object;
}

struct staging {
    uint64_t revision;
    size_t actions_count;
    enum change_action *actions;
    size_t touched_count, touched_room;
    struct touched *touched;
    size_t objects_count;
    struct staged_object *objects;
    size_t affected_count;
    const char **affected;
};

struct catalog {
    uint64_t revision;
    struct tree trees[KINDS_COUNT];
    size_t counts[KINDS_COUNT]; /* nodes with an object */
    size_t
        climbing_count; /* arcs that do not lead to a lower layer: only these can close a cycle */
    struct node *hierarchy; /* hierarchies/default */
    struct staging *open;
    uint64_t mark;
};

/* Nodes, with or without an object. */
struct node *node_find(const struct catalog *c, enum kind kind, const char *name);
struct node *node_find_id(const struct catalog *c, const char *id);
struct node *node_after(const struct catalog *c, enum kind kind, const char *after);
int node_new(struct catalog *c, enum kind kind, const char *name, struct node **ret) MUST_CHECK;
void node_remove(struct catalog *c, struct node *n); /* has no object, no arcs, no callers */

/* Makes the arcs of a node's references and joins them. A callee that is not there is refused and left out. */
int arcs_make(struct catalog *c, struct node *n, const char *pointer,
              struct refusals *why) MUST_CHECK;
/* Arcs into the callees' lists and out of them: what makes references count. Cannot fail. */
void arcs_join(struct catalog *c, struct arcs *arcs);
void arcs_part(struct catalog *c, struct arcs *arcs);
/* Makes the arcs of everything that `s` lists and drops the links whose edges have gone. */
int references_join(struct catalog *c, struct staging *s, struct refusals *why) MUST_CHECK;

/* The link object in force for a pair, or NULL. */
struct node *link_find(const struct catalog *c, const struct node *caller,
                       const struct node *callee);
/* The arc that joins a pair, or NULL. */
struct arc *arc_find(const struct node *caller, const struct node *callee);
struct arc *arcs_find(struct arcs *arcs, const struct node *callee);

static inline bool node_is_resource(const struct node *n)
{
    return n->kind < (enum kind)LAYERS_COUNT;
}

static inline bool arc_climbs(const struct arc *a)
{
    return a->callee->kind <= a->caller->kind;
}

/* Two lists of functions with the same signatures in the same order. */
bool functions_same(const struct resource *a, const struct resource *b);

/* Room for one more refusal; NULL when only the total counts on. */
struct refusal *refusals_next(struct refusals *why);

/* Judges the catalog as the open staging `s` has made it (judge.c). Refusals go to `why`. */
void staging_judge(struct catalog *c, const struct staging *s, struct refusals *why);
/* Fills s->affected (affected.c). */
int staging_affect(struct catalog *c, struct staging *s) MUST_CHECK;

#endif

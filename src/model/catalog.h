/* model/catalog.h - everything that is registered at one revision, and the judge of changes to it. Pure: no clock,
 * no disk, no socket.
 *
 * Life: catalog_new -> (catalog_stage -> catalog_keep | catalog_undo)* -> catalog_free. Staging applies a whole set of
 * changes, judges the result (not the order of the changes), and either leaves the catalog as it was with a list of
 * refusals, or leaves the changes applied and reversible until kept or undone: the governor keeps them once the store
 * has them. At most one staging is open. References between resources give the sparse invocation matrix; no catalog
 * ever holds an edge that its own hierarchical rule forbids. The object hierarchies/default always exists. One owner,
 * one thread. 10,000 resources with 100,000 edges stage a small change in well under a millisecond. */
#ifndef MODEL_CATALOG_H
#define MODEL_CATALOG_H

#include "model/object.h"
#include "model/view.h"

struct catalog;
struct staging;

struct change {
    bool remove;
    enum kind kind;
    char name[LINK_NAME_BYTES_MAX];
    struct object *object;      /* for a put: borrowed; the catalog takes its own reference */
    uint64_t revision_expected; /* 0: any; else the object must be at this revision (STALE) */
    bool create_only;           /* the object must not exist (EXISTS) */
    char pointer[64];           /* where the document stands in the request, for refusals */
};

enum change_action { ACTION_CREATED, ACTION_UPDATED, ACTION_UNCHANGED, ACTION_DELETED };

struct catalog *catalog_new(void);
struct catalog *catalog_free(struct catalog *c);
uint64_t catalog_revision(const struct catalog *c);

/* Puts an object back that was committed earlier (start-up), with its revisions set; takes its own reference. EXISTS when it is
 * there twice; hierarchies/default replaces the one the catalog began with. No judging until catalog_restored(), which sets the
 * revision and reports the first contradiction as a refusal (a damaged store). */
int catalog_restore(struct catalog *c, struct object *object) MUST_CHECK;
int catalog_restored(struct catalog *c, uint64_t revision, struct refusal *why) MUST_CHECK;

#define REFUSALS_MAX 32
struct refusals {
    size_t count, total; /* total may exceed count: only the first REFUSALS_MAX are kept */
    struct refusal list[REFUSALS_MAX];
};

/* Judges and applies. All changes that do something get revision catalog_revision()+1; when none does anything the
 * revision stays. Changed objects get new struct objects with their revisions set. Verdict of the first refusal otherwise.
 * What is judged: existence and expectation of each change; unknown references; self references; cycles (edges that the
 * hierarchical rule declares as upcalls do not count); the hierarchical rule for every edge that the change touches (for
 * every edge when the rule itself changes: EDGES_OFFEND lists them); functions and types of both sides; links only on
 * existing edges; deletions of what is still referenced (a removed edge takes its link object with it). */
int catalog_stage(struct catalog *c, const struct change *changes, size_t count,
                  struct staging **ret, struct refusals *why) MUST_CHECK;
uint64_t staging_revision(const struct staging *s);
enum change_action staging_action(const struct staging *s, size_t index); /* of changes[index] */
/* The objects that this staging puts (after == the new object) or removes (after == NULL), including links that went
 * with a removed edge; before is NULL for new ones. For the store's log. */
struct staged_object {
    const struct object *before;
    const struct object *after;
};
size_t staging_objects(const struct staging *s, const struct staged_object **ret);
/* The ids of the registered resources whose view changes by this staging (sorted, each once); what it deletes is not
 * among them. */
size_t staging_affected(const struct staging *s, const char *const **ret);
/* Both free s. The catalog is at the new revision, or as it was. */
void catalog_keep(struct catalog *c, struct staging *s);
void catalog_undo(struct catalog *c, struct staging *s);

/* Borrowed until the next change. NULL when there is none. */
const struct object *catalog_find(const struct catalog *c, enum kind kind, const char *name);
const struct object *catalog_resource(const struct catalog *c, const char *id);
/* The first object of `kind` with a name greater than `after` ("" for the first); NULL at the end. */
const struct object *catalog_next(const struct catalog *c, enum kind kind, const char *after);
size_t catalog_count(const struct catalog *c, enum kind kind);

/* One entry of the invocation matrix: a registered reference that the hierarchical rule lets stand. */
struct edge {
    const char *caller, *callee;
    bool allowed; /* no link denies it */
    enum protocol protocol;
    uint64_t timeout_ns;
    char rule[192];    /* what decides: "links/NAME" or "hierarchies/default" */
    uint64_t revision; /* of that rule or of the caller's manifest, whichever is later */
};
int catalog_edge(const struct catalog *c, const char *caller, const char *callee,
                 struct edge *ret) MUST_CHECK; /* NOT_FOUND */
/* Calls on_edge for every edge, ordered by caller then callee (by layer from the top, then name). */
void catalog_edges(const struct catalog *c, void (*on_edge)(const struct edge *edge, void *data),
                   void *data);
/* 0 or LAYER_FORBIDDEN with a full explanation: would the hierarchical rule in force let this pair stand? Both ids may be unregistered. INVALID (BAD_NAME)
 * for what is no id. */
int catalog_judge_pair(const struct catalog *c, const char *caller, const char *callee,
                       struct refusal *why) MUST_CHECK;

/* Builds what the agent of resource `id` must know: its row and its column. Edge keys are left zero. Its revision
 * is the open staging's when there is one. NOT_FOUND. */
int catalog_view(const struct catalog *c, const char *id, struct view **ret) MUST_CHECK;

#endif

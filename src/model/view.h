/* model/view.h - what one agent knows of the rules: its own resource, and the edges of its row (whom it may call) and
 * its column (who may call it). Pure.
 *
 * A view is immutable once built and shared by reference count, so that threads judge on it without a lock. A delta
 * leads from one revision to the next; view_patch() refuses one that does not continue where the view stands. */
#ifndef MODEL_VIEW_H
#define MODEL_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/name.h"

#define EDGE_KEY_BYTES      32
#define VIEW_EDGES_MAX      65536
#define VIEW_FUNCTIONS_MAX  256  /* of one resource */
#define VIEW_ARGUMENTS_MAX  64   /* arguments; environment entries as well */
#define VIEW_TEXT_BYTES_MAX 8192 /* one signature, argument, variable or path */

struct view_function {
    char *signature; /* canonical text */
    uint64_t id;     /* hash_bytes(signature) */
};

struct view_edge {
    char peer[RESOURCE_ID_BYTES_MAX];
    bool outgoing; /* true: the agent's resource calls `peer`; false: `peer` calls it */
    bool allowed;
    uint8_t protocol; /* enum protocol */
    uint64_t timeout_ns;
    uint64_t revision; /* of what decided */
    char rule[192];    /* what decided */
    uint8_t key
        [EDGE_KEY_BYTES]; /* known to the center and these two agents only: the caller's agent shows it */
    size_t functions_count; /* outgoing: what the callee provides; incoming: none */
    struct view_function *functions;
};

struct view_self { /* the agent's own resource */
    char resource[RESOURCE_ID_BYTES_MAX];
    uint64_t revision; /* of the object */
    size_t functions_count;
    struct view_function *functions;
    size_t arguments_count, environment_count;
    char **arguments, **environment;
    char *directory;     /* NULL: none */
    uint8_t restart;     /* enum restart of model/device.h */
    uint8_t device;      /* enum device_kind */
    char *device_target; /* interface or peer, NULL: none */
};

struct view {
    unsigned references;
    uint64_t revision;
    struct view_self self;
    size_t edges_count;
    struct view_edge *edges; /* sorted by (peer, outgoing) */
};

struct view_delta {
    uint64_t revision_from, revision_to;
    struct view_self *self; /* NULL: unchanged */
    size_t upserts_count;
    struct view_edge *upserts;
    size_t removals_count;
    struct view_removal {
        char peer[RESOURCE_ID_BYTES_MAX];
        bool outgoing;
    } * removals;
};

struct view *view_ref(struct view *v);
/* Release what members hold, not the struct itself; cope with half-built ones. For whoever builds views piece by piece. */
void view_self_deinit(struct view_self *s);
void view_edge_deinit(struct view_edge *e);
/* The order of edges in a view: by peer, then incoming before outgoing. Below, equal to or above zero. */
int view_edge_compare(const char *peer_a, bool outgoing_a, const char *peer_b, bool outgoing_b);
struct view *view_unref(struct view *v); /* thread-safe; returns NULL */
/* NULL when there is none. Binary search. */
const struct view_edge *view_edge_find(const struct view *v, const char *peer, bool outgoing);
const struct view_function *view_function_find(const struct view_function *list, size_t count,
                                               uint64_t id);
/* Finds by name (the part of the signature before ':'). */
const struct view_function *view_function_named(const struct view_function *list, size_t count,
                                                const char *name);

/* May `caller` call function `id` of the view's own resource? 0; DENIED with *ret_edge set when a link denies it,
 * unset (NULL) when nobody declared the reference; NOT_FOUND when there is no such function. */
int view_judge_incoming(const struct view *v, const char *caller, uint64_t function,
                        const struct view_edge **ret_edge) MUST_CHECK;
/* The same for the view's own resource calling `callee`. */
int view_judge_outgoing(const struct view *v, const char *callee, uint64_t function,
                        const struct view_edge **ret_edge) MUST_CHECK;

/* The delta from `before` to `after`; the caller owns it. */
int view_diff(const struct view *before, const struct view *after,
              struct view_delta **ret) MUST_CHECK;
struct view_delta *view_delta_free(struct view_delta *d);
/* A new view. STALE when d->revision_from is not v->revision (a delta is missing), OVER_LIMIT for more than
 * VIEW_EDGES_MAX edges. */
int view_patch(const struct view *v, const struct view_delta *d, struct view **ret) MUST_CHECK;

#endif

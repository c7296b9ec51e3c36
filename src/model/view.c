/* What one agent knows of the invocation matrix, and the two judgements it makes on it. A view is
 * frozen: a change makes a new one from the old and a delta, and readers that still hold the old
 * one are not disturbed. Copying whole views costs microseconds for the tens of edges that a
 * resource has; sharing edges between views was left out for it. */
#include "model/view.h"

#include <string.h>

struct view *view_ref(struct view *v)
{
    __atomic_add_fetch(&v->references, 1, __ATOMIC_RELAXED);
    return v;
}

static void functions_free(struct view_function *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free(list[i].signature);
    }
    free(list);
}

static void texts_free(char **list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free(list[i]);
    }
    free(list);
}

void view_self_deinit(struct view_self *s)
{
    functions_free(s->functions, s->functions_count);
    texts_free(s->arguments, s->arguments_count);
    texts_free(s->environment, s->environment_count);
    free(s->directory);
    free(s->device_target);
    *s = (struct view_self){ 0 };
}

void view_edge_deinit(struct view_edge *e)
{
    functions_free(e->functions, e->functions_count);
    e->functions = NULL;
    e->functions_count = 0;
}

static void edges_free(struct view_edge *edges, size_t count)
{
    for (size_t i = 0; edges && i < count; i++) {
        view_edge_deinit(&edges[i]);
    }
    free(edges);
}

struct view *view_unref(struct view *v)
{
    /* Pairs with the release of other holders: what they read was read before the memory goes. */
    if (v && __atomic_sub_fetch(&v->references, 1, __ATOMIC_ACQ_REL) == 0) {
        view_self_deinit(&v->self);
        edges_free(v->edges, v->edges_count);
        free(v);
    }
    return NULL;
}

struct view_delta *view_delta_free(struct view_delta *d)
{
    if (d) {
        if (d->self) {
            view_self_deinit(d->self);
            free(d->self);
        }
        edges_free(d->upserts, d->upserts_count);
        free(d->removals);
        free(d);
    }
    return NULL;
}

static void view_unrefp(struct view **v)
{
    view_unref(*v);
}

static void view_delta_freep(struct view_delta **d)
{
    view_delta_free(*d);
}

int view_edge_compare(const char *peer_a, bool outgoing_a, const char *peer_b, bool outgoing_b)
{
    int order = strcmp(peer_a, peer_b);

    return order ? order : (int)outgoing_a - (int)outgoing_b;
}

const struct view_edge *view_edge_find(const struct view *v, const char *peer, bool outgoing)
{
    size_t from = 0, to = v->edges_count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct view_edge *e = &v->edges[middle];
        int order = view_edge_compare(e->peer, e->outgoing, peer, outgoing);

        if (order == 0) {
            return e;
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return NULL;
}

const struct view_function *view_function_find(const struct view_function *list, size_t count,
                                               uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].id == id) {
            return &list[i];
        }
    }
    return NULL;
}

const struct view_function *view_function_named(const struct view_function *list, size_t count,
                                                const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < count; i++) {
        if (strncmp(list[i].signature, name, n) == 0 && list[i].signature[n] == ':') {
            return &list[i];
        }
    }
    return NULL;
}

static int judge(const struct view_edge *edge, const struct view_function *list, size_t count,
                 uint64_t function, const struct view_edge **ret_edge)
{
    *ret_edge = edge;
    if (!edge || !edge->allowed) {
        return RHODES_DENIED;
    }
    return view_function_find(list, count, function) ? 0 : RHODES_NOT_FOUND;
}

int view_judge_incoming(const struct view *v, const char *caller, uint64_t function,
                        const struct view_edge **ret_edge)
{
    return judge(view_edge_find(v, caller, false), v->self.functions, v->self.functions_count,
                 function, ret_edge);
}

int view_judge_outgoing(const struct view *v, const char *callee, uint64_t function,
                        const struct view_edge **ret_edge)
{
    const struct view_edge *edge = view_edge_find(v, callee, true);

    return judge(edge, edge ? edge->functions : NULL, edge ? edge->functions_count : 0, function,
                 ret_edge);
}

/* Copies: each leaves *ret such that its deinit works, also when memory ran out half-way. */

static int text_copy(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? failed(-ENOMEM) : 0;
}

static int functions_copy(const struct view_function *list, size_t count,
                          struct view_function **ret, size_t *ret_count)
{
    int r = 0;

    *ret_count = 0;
    *ret = calloc(count + 1, sizeof(**ret));
    if (!*ret) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        r = text_copy(list[i].signature, &(*ret)[i].signature);
        (*ret)[i].id = list[i].id;
        *ret_count = i + 1;
    }
    return r;
}

static int texts_copy(char *const *list, size_t count, char ***ret, size_t *ret_count)
{
    int r = 0;

    *ret_count = 0;
    *ret = calloc(count + 1, sizeof(**ret));
    if (!*ret) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        r = text_copy(list[i], &(*ret)[i]);
        *ret_count = i + 1;
    }
    return r;
}

static int self_copy(const struct view_self *s, struct view_self *ret)
{
    int r;

    *ret = *s;
    ret->functions = NULL;
    ret->arguments = ret->environment = NULL;
    ret->directory = ret->device_target = NULL;
    ret->functions_count = ret->arguments_count = ret->environment_count = 0;
    r = functions_copy(s->functions, s->functions_count, &ret->functions, &ret->functions_count);
    r = r ? r
          : texts_copy(s->arguments, s->arguments_count, &ret->arguments, &ret->arguments_count);
    r = r ? r
          : texts_copy(s->environment, s->environment_count, &ret->environment,
                       &ret->environment_count);
    r = r ? r : text_copy(s->directory, &ret->directory);
    return r ? r : text_copy(s->device_target, &ret->device_target);
}

static int edge_copy(const struct view_edge *e, struct view_edge *ret)
{
    *ret = *e;
    return functions_copy(e->functions, e->functions_count, &ret->functions, &ret->functions_count);
}

static bool text_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool functions_equal(const struct view_function *a, size_t a_count,
                            const struct view_function *b, size_t b_count)
{
    for (size_t i = 0; a_count == b_count && i < a_count; i++) {
        if (a[i].id != b[i].id || !text_equal(a[i].signature, b[i].signature)) {
            return false;
        }
    }
    return a_count == b_count;
}

static bool texts_equal(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    for (size_t i = 0; a_count == b_count && i < a_count; i++) {
        if (!text_equal(a[i], b[i])) {
            return false;
        }
    }
    return a_count == b_count;
}

static bool self_equal(const struct view_self *a, const struct view_self *b)
{
    return text_equal(a->resource, b->resource) && a->revision == b->revision &&
           functions_equal(a->functions, a->functions_count, b->functions, b->functions_count) &&
           texts_equal(a->arguments, a->arguments_count, b->arguments, b->arguments_count) &&
           texts_equal(a->environment, a->environment_count, b->environment,
                       b->environment_count) &&
           text_equal(a->directory, b->directory) && a->restart == b->restart &&
           a->device == b->device && text_equal(a->device_target, b->device_target);
}

static bool edge_equal(const struct view_edge *a, const struct view_edge *b)
{
    return a->allowed == b->allowed && a->protocol == b->protocol &&
           a->timeout_ns == b->timeout_ns && a->revision == b->revision &&
           text_equal(a->rule, b->rule) && memcmp(a->key, b->key, EDGE_KEY_BYTES) == 0 &&
           functions_equal(a->functions, a->functions_count, b->functions, b->functions_count);
}

static int upsert_add(struct view_delta *d, const struct view_edge *e)
{
    int r = edge_copy(e, &d->upserts[d->upserts_count]);

    d->upserts_count++;
    return r;
}

static void removal_add(struct view_delta *d, const struct view_edge *e)
{
    struct view_removal *to = &d->removals[d->removals_count++];

    strcpy(to->peer, e->peer);
    to->outgoing = e->outgoing;
}

/* Walks both sorted lists of edges at once. */
static int edges_diff(const struct view *before, const struct view *after, struct view_delta *d)
{
    size_t b = 0, a = 0;
    int r = 0;

    while (r == 0 && (b < before->edges_count || a < after->edges_count)) {
        const struct view_edge *old = b < before->edges_count ? &before->edges[b] : NULL;
        const struct view_edge *new = a < after->edges_count ? &after->edges[a] : NULL;
        int order = !old   ? 1
                    : !new ? -1
                           : view_edge_compare(old->peer, old->outgoing, new->peer, new->outgoing);

        b += order <= 0;
        a += order >= 0;
        if (order < 0) {
            removal_add(d, old);
        } else if (order > 0 || !edge_equal(new, old)) {
            r = upsert_add(d, new);
        }
    }
    return r;
}

int view_diff(const struct view *before, const struct view *after, struct view_delta **ret)
{
    CLEANUP(view_delta_freep) struct view_delta *d = calloc(1, sizeof(*d));
    int r;

    if (!d) {
        return failed(-ENOMEM);
    }
    d->revision_from = before->revision;
    d->revision_to = after->revision;
    d->upserts = calloc(after->edges_count + 1, sizeof(*d->upserts));
    d->removals = calloc(before->edges_count + 1, sizeof(*d->removals));
    if (!d->upserts || !d->removals) {
        return failed(-ENOMEM);
    }
    if (!self_equal(&before->self, &after->self)) {
        d->self = calloc(1, sizeof(*d->self));
        r = d->self ? self_copy(&after->self, d->self) : failed(-ENOMEM);
        if (r) {
            return r;
        }
    }
    r = edges_diff(before, after, d);
    if (r == 0) {
        *ret = d;
        d = NULL;
    }
    return r;
}

/* Merges the view's edges with the delta's; removals of what is not there and both lists' order are
 * the decoder's to refuse, here they only do nothing. */
static int edges_patch(const struct view *v, const struct view_delta *d, struct view *to)
{
    size_t at = 0, up = 0, gone = 0;
    int r = 0;

    while (r == 0 && (at < v->edges_count || up < d->upserts_count)) {
        const struct view_edge *old = at < v->edges_count ? &v->edges[at] : NULL;
        const struct view_edge *new = up < d->upserts_count ? &d->upserts[up] : NULL;
        int order = !old   ? 1
                    : !new ? -1
                           : view_edge_compare(old->peer, old->outgoing, new->peer, new->outgoing);

        if (order >= 0) {
            at += order == 0;
            up++;
            r = edge_copy(new, &to->edges[to->edges_count++]);
            continue;
        }
        at++;
        while (gone < d->removals_count &&
               view_edge_compare(d->removals[gone].peer, d->removals[gone].outgoing, old->peer,
                                 old->outgoing) < 0) {
            gone++;
        }
        if (gone < d->removals_count &&
            view_edge_compare(d->removals[gone].peer, d->removals[gone].outgoing, old->peer,
                              old->outgoing) == 0) {
            continue;
        }
        r = edge_copy(old, &to->edges[to->edges_count++]);
    }
    return r;
}

int view_patch(const struct view *v, const struct view_delta *d, struct view **ret)
{
    CLEANUP(view_unrefp) struct view *to = NULL;
    int r;

    if (d->revision_from != v->revision) {
        return RHODES_STALE;
    }
    to = calloc(1, sizeof(*to));
    if (!to) {
        return failed(-ENOMEM);
    }
    to->references = 1;
    to->revision = d->revision_to;
    to->edges = calloc(v->edges_count + d->upserts_count + 1, sizeof(*to->edges));
    if (!to->edges) {
        return failed(-ENOMEM);
    }
    r = self_copy(d->self ? d->self : &v->self, &to->self);
    r = r ? r : edges_patch(v, d, to);
    if (r == 0 && to->edges_count > VIEW_EDGES_MAX) {
        r = RHODES_OVER_LIMIT;
    }
    if (r == 0) {
        *ret = to;
        to = NULL;
    }
    return r;
}

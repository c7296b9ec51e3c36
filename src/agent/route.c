/* Judging in the agent: the sentences around model/view.h's judgement, and the look-up at bind
 * time. Kept free of sockets, threads and clocks, because this is the code that decides: it can be
 * read in one go and tested to the last branch.
 *
 * A sentence names what decided and at which revision, since an agent may be a revision ahead of
 * its peer: whoever reads "of revision 12" can see which of the two spoke and what it knew. */
#include "agent/route.h"

#include <stdio.h>
#include <string.h>

#include "model/wit.h"

static int refuse_edge(const struct view *v, const struct view_edge *edge, const char *caller,
                       const char *callee, char *why)
{
    if (edge) {
        snprintf(why, WHY_BYTES, "%s of revision %llu denies %s -> %s", edge->rule,
                 (unsigned long long)edge->revision, caller, callee);
    } else {
        snprintf(why, WHY_BYTES, "%s does not declare that it calls %s (at revision %llu)", caller,
                 callee, (unsigned long long)v->revision);
    }
    return RHODES_DENIED;
}

static int refuse_function(const struct view *v, const char *callee, uint64_t function, char *why)
{
    snprintf(why, WHY_BYTES, "%s provides no function %016llx (at revision %llu): bind it anew",
             callee, (unsigned long long)function, (unsigned long long)v->revision);
    return RHODES_NOT_FOUND;
}

int route_outgoing(const struct view *v, const char *callee, uint64_t function,
                   const struct view_edge **ret_edge, char *why)
{
    const struct view_edge *edge = NULL;
    int r = view_judge_outgoing(v, callee, function, &edge);

    if (r == RHODES_DENIED) {
        return refuse_edge(v, edge, v->self.resource, callee, why);
    }
    if (r) {
        return refuse_function(v, callee, function, why);
    }
    *ret_edge = edge;
    return 0;
}

int route_incoming(const struct view *v, const char *caller, uint64_t function, char *why)
{
    const struct view_edge *edge = NULL;
    int r = view_judge_incoming(v, caller, function, &edge);

    if (r == RHODES_DENIED) {
        return refuse_edge(v, edge, caller, v->self.resource, why);
    }
    return r ? refuse_function(v, v->self.resource, function, why) : 0;
}

/* Finds `text` (name or signature) in a list; *ret on 0. */
static int function_find(const struct view_function *list, size_t count, const char *owner,
                         const char *text, const char *types, const struct view_function **ret,
                         char *why, char *hint)
{
    const struct view_function *found;
    struct wit_function *wanted = NULL;
    struct wit_error error;
    int r = 0;

    if (strchr(text, ':')) {
        r = wit_function_parse(text, *types ? types : NULL, &wanted, &error);
        if (r) {
            snprintf(why, WHY_BYTES, "%s (line %u, column %u)", error.message, error.line,
                     error.column);
            snprintf(hint, WHY_BYTES, "write NAME: func(PARAM: TYPE, ...) -> TYPE in WIT");
            return r;
        }
    }
    found = view_function_named(list, count, wanted ? wanted->name : text);
    if (!found) {
        r = RHODES_NOT_FOUND;
        snprintf(why, WHY_BYTES, "%s provides no function '%.64s'", owner,
                 wanted ? wanted->name : text);
        snprintf(hint, WHY_BYTES, "rhodes describe %s lists what it provides", owner);
    } else if (wanted && strcmp(wanted->signature, found->signature) != 0) {
        r = RHODES_TYPE_MISMATCH;
        snprintf(why, WHY_BYTES, "%s declares '%.160s', not '%.160s'", owner, found->signature,
                 wanted->signature);
        snprintf(hint, WHY_BYTES, "make the two signatures equal");
    } else {
        *ret = found;
    }
    wit_function_unref(wanted);
    return r;
}

static int bind_own(const struct view *v, const char *text, const char *types,
                    struct route_binding *ret, char *why, char *hint)
{
    const struct view_function *f;
    int r = function_find(v->self.functions, v->self.functions_count, v->self.resource, text, types,
                          &f, why, hint);

    if (r) {
        return r;
    }
    *ret = (struct route_binding){ .function = f->id, .signature = f->signature, .own = true };
    strcpy(ret->callee, v->self.resource);
    return 0;
}

int route_bind(const struct view *v, bool person, const char *callee, const char *text,
               const char *types, struct route_binding *ret, char *why, char *hint)
{
    const struct view_edge *edge;
    const struct view_function *f;
    int r;

    *why = *hint = 0;
    if (person && (!*callee || strcmp(callee, v->self.resource) == 0)) {
        return bind_own(v, text, types, ret, why, hint);
    }
    edge = view_edge_find(v, callee, true);
    if (!edge) {
        snprintf(hint, WHY_BYTES, "declare it under spec.calls of %s", v->self.resource);
        snprintf(why, WHY_BYTES, "%s does not declare that it calls %.79s (at revision %llu)",
                 v->self.resource, callee, (unsigned long long)v->revision);
        return RHODES_DENIED;
    }
    if (!edge->allowed) {
        snprintf(hint, WHY_BYTES, "rhodes link allow %s %s", v->self.resource, edge->peer);
        return refuse_edge(v, edge, v->self.resource, edge->peer, why);
    }
    r = function_find(edge->functions, edge->functions_count, edge->peer, text, types, &f, why,
                      hint);
    if (r) {
        return r;
    }
    *ret = (struct route_binding){ .function = f->id,
                                   .timeout_ns = edge->timeout_ns,
                                   .signature = f->signature };
    strcpy(ret->callee, edge->peer);
    return 0;
}

int route_serve(const struct view *v, const char *signature, const char *types, uint64_t *ret_id,
                char *why, char *hint)
{
    const struct view_function *f;
    int r;

    *why = *hint = 0;
    r = function_find(v->self.functions, v->self.functions_count, v->self.resource, signature,
                      types, &f, why, hint);
    if (r == RHODES_NOT_FOUND) {
        snprintf(hint, WHY_BYTES, "add it to spec.provides of %s", v->self.resource);
    }
    if (!r) {
        *ret_id = f->id;
    }
    return r;
}

/* Looks at every byte whatever it finds, so that the time taken tells nothing of where two keys
 * differ. */
static bool key_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t differs = 0;

    for (size_t i = 0; i < EDGE_KEY_BYTES; i++) {
        differs = (uint8_t)(differs | (a[i] ^ b[i]));
    }
    return differs == 0;
}

int route_peer(const struct view *v, const char *caller, const uint8_t *key, char *why, char *hint)
{
    const struct view_edge *edge = view_edge_find(v, caller, false);

    *why = *hint = 0;
    if (edge && key_equal(edge->key, key)) {
        return 0;
    }
    if (edge) {
        snprintf(why, WHY_BYTES, "the key shown is not that of %s -> %s", edge->peer,
                 v->self.resource);
        snprintf(hint, WHY_BYTES,
                 "only the agent that the center started for %s may call in its name", edge->peer);
    } else {
        snprintf(why, WHY_BYTES, "%.79s does not declare that it calls %s (at revision %llu)",
                 caller, v->self.resource, (unsigned long long)v->revision);
        snprintf(hint, WHY_BYTES, "declare it under spec.calls of %.79s", caller);
    }
    return RHODES_DENIED;
}

bool route_revokes(const struct view *before, const struct view *after)
{
    for (size_t i = 0; i < before->edges_count; i++) {
        const struct view_edge *was = &before->edges[i];
        const struct view_edge *is =
            was->allowed ? view_edge_find(after, was->peer, was->outgoing) : was;

        if (!is || (was->allowed && !is->allowed)) {
            return true;
        }
    }
    return false;
}

void route_count(struct route_counters *c, int result)
{
    _Atomic uint64_t *counter = result == RHODES_DENIED    ? &c->refused
                                : result == RHODES_TIMEOUT ? &c->timeouts
                                                           : &c->failed;

    if (result) {
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

/* Changes by HTTP: one object by PUT, POST or DELETE, or many by /v1/apply as one transaction. This
 * file checks what HTTP itself asks for (If-Match and If-None-Match against what is registered now;
 * nothing can come between, there is one thread), hands the changes to the governor, and answers
 * with what they came to. */
#include "center/api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "center/changes.h"
#include "center/document.h"

/* Does a list of entity tags ("1", W/"2", or *) hold this one? -1 when it is not a list of tags. */
static int tags_hold(const char *tags, const char *etag)
{
    bool found = false;

    if (strcmp(tags, "*") == 0) {
        return 1;
    }
    while (*tags) {
        const char *end;

        tags += strspn(tags, " \t,");
        if (!*tags) {
            break;
        }
        tags += strncmp(tags, "W/", 2) == 0 ? 2 : 0;
        end = *tags == '"' ? strchr(tags + 1, '"') : NULL;
        if (!end) {
            return -1;
        }
        found = found || (etag && strlen(etag) == (size_t)(end + 1 - tags) &&
                          strncmp(tags, etag, (size_t)(end + 1 - tags)) == 0);
        tags = end + 1;
    }
    return found;
}

static int if_match(const char *tags, enum kind kind, const char *name, const struct object *now,
                    struct refusals *why)
{
    char etag[32] = "";
    int held;

    if (now) {
        api_etag(now->revision, etag);
    }
    held = tags_hold(tags, etag);
    if (held < 0) {
        return refuse(refusals_only(why), PROBLEM_BAD_VALUE, "",
                      "If-Match must be '*' or an ETag in quotes, not '%s'", tags);
    }
    if (!now) {
        return refuse(refusals_only(why), PROBLEM_CONFLICT, "", "there is no %s named '%s'",
                      kind_name(kind), name);
    }
    if (!held) {
        return refuse(refusals_only(why), PROBLEM_CONFLICT, "", "%s %s is at revision %llu, not %s",
                      kind_name(kind), name, (unsigned long long)now->revision, tags);
    }
    return 0;
}

/* PUT and DELETE say what they expect: If-Match, or for a PUT that creates If-None-Match: *. */
static int preconditions_check(const struct request *q, enum kind kind, const char *name,
                               bool creates_too, struct refusals *why)
{
    const struct object *now = catalog_find(q->center->governor.catalog, kind, name);
    const char *match = request_header(q, MHD_HTTP_HEADER_IF_MATCH);
    const char *none = request_header(q, MHD_HTTP_HEADER_IF_NONE_MATCH);

    if (!match && !(none && creates_too)) {
        return refuse(
            refusals_only(why), PROBLEM_PRECONDITION_REQUIRED, "",
            creates_too ? "send If-Match with the ETag that you read, or If-None-Match: * to create"
                        : "send If-Match with the ETag that you read");
    }
    if (none && strcmp(none, "*") != 0) {
        return refuse(refusals_only(why), PROBLEM_BAD_VALUE, "",
                      "If-None-Match must be '*', not '%s'", none);
    }
    if (match) {
        int r = if_match(match, kind, name, now, why);

        if (r) {
            return r;
        }
    }
    if (none && now) {
        return refuse(refusals_only(why), PROBLEM_CONFLICT, "",
                      "%s %s exists already, at revision %llu", kind_name(kind), name,
                      (unsigned long long)now->revision);
    }
    return 0;
}

/* --- the answer --- */

static json_t *results_json(const struct decision *d)
{
    static const char *const actions[] = { "created", "updated", "unchanged", "deleted" };
    json_t *results = json_array();

    for (size_t i = 0; i < d->results_count; i++) {
        const struct decision_result *result = &d->results[i];

        json_array_append_new(results,
                              json_pack("{s:s, s:s, s:s, s:I}", "kind", kind_name(result->kind),
                                        "name", result->name, "action", actions[result->action],
                                        "revision", (json_int_t)result->revision));
    }
    return results;
}

static void on_settled(void *data)
{
    request_resume(data);
}

void api_held_answer(struct request *q, struct answer *a)
{
    a->status = q->held_status;
    memcpy(a->etag, q->held_etag, sizeof(a->etag));
    a->json = q->held;
    q->held = NULL;
    json_object_set_new(a->json, "effect", effect_json(q->effect));
    q->effect = effect_free(q->effect);
}

static int decision_answer(struct request *q, const struct decision *d, bool dry, uint64_t wait_ns,
                           struct answer *a)
{
    bool creates = d->results_count && d->results[0].action == ACTION_CREATED &&
                   q->uri.segments_count && strcmp(q->uri.segments[1], "apply") != 0 && !dry;
    bool waits = false;
    int r = effect_new(q->center, d, &q->effect);

    if (r) {
        return r;
    }
    q->held =
        json_pack("{s:I, s:o}", "revision", (json_int_t)d->revision, "results", results_json(d));
    if (!q->held) {
        return failed(-ENOMEM);
    }
    if (dry) {
        json_object_set_new(q->held, "dryRun", json_true());
    }
    q->held_status = creates ? MHD_HTTP_CREATED : MHD_HTTP_OK;
    if (!dry && q->method != METHOD_DELETE && strcmp(q->uri.segments[1], "apply") != 0) {
        api_etag(d->results[0].revision, q->held_etag);
    }
    if (wait_ns && d->committed_ns) {
        r = effect_wait(q->effect, wait_ns, on_settled, q, &waits);
        if (r < 0) {
            return r;
        }
    }
    a->held =
        waits &&
        r == 0; /* too many wait already: this one is answered at once, with what is pending */
    if (!a->held) {
        api_held_answer(q, a);
    }
    return 0;
}

static int changes_submit(struct request *q, const struct change *changes, size_t count,
                          struct answer *a, struct refusals *why)
{
    struct decision d = { 0 };
    uint64_t wait_ns = 0;
    bool dry = false;
    int r = uri_flag(&q->uri, "dryRun", &dry, refusals_only(why));

    r = r ? r : uri_duration(&q->uri, "wait", API_WAIT_NS_MAX, &wait_ns, refusals_only(why));
    if (r) {
        return r;
    }
    r = governor_change(&q->center->governor, changes, count, dry ? GOVERNOR_DRY_RUN : 0, q->who,
                        &d, why);
    if (!r) {
        r = decision_answer(q, &d, dry, wait_ns, a);
    }
    decision_deinit(&d);
    return r;
}

/* The one document of a PUT or POST. */
static int body_change(struct request *q, enum kind kind, struct change *ret, struct refusals *why)
{
    uint64_t revision;
    json_t *body = NULL;
    int r = document_read(q->body.data, q->body.used, &body, refusals_only(why));

    if (!r) {
        r = change_of_document(body, "", ret, &revision, refusals_only(why));
        json_decref(body);
    }
    if (r) {
        return r;
    }
    if (ret->kind != kind) {
        return refuse(refusals_only(why), PROBLEM_BAD_VALUE, "/kind",
                      "a %s does not belong into /v1/%s", kind_name(ret->kind),
                      kind_collection(kind));
    }
    return q->method == METHOD_PUT
               ? change_expect(ret, revision, q->center->governor.catalog, refusals_only(why))
               : 0;
}

int api_put(struct request *q, struct answer *a, struct refusals *why)
{
    const char *name = q->uri.segments[2];
    struct change change = { 0 };
    enum kind kind;
    int r = api_kind(q, &kind, why);

    r = r ? r : preconditions_check(q, kind, name, true, why);
    r = r ? r : body_change(q, kind, &change, why);
    if (!r && strcmp(change.name, name) != 0) {
        r = refuse(refusals_only(why), PROBLEM_BAD_VALUE, "/metadata/name",
                   "the document is named '%s', the path '%s'", change.name, name);
    }
    r = r ? r : changes_submit(q, &change, 1, a, why);
    object_unref(change.object);
    return r;
}

int api_post(struct request *q, struct answer *a, struct refusals *why)
{
    struct change change = { 0 };
    enum kind kind;
    int r = api_kind(q, &kind, why);

    r = r ? r : body_change(q, kind, &change, why);
    change.create_only = true;
    r = r ? r : changes_submit(q, &change, 1, a, why);
    object_unref(change.object);
    return r;
}

int api_delete(struct request *q, struct answer *a, struct refusals *why)
{
    struct change change = { .remove = true };
    const struct object *o = NULL;
    int r = api_object(q, &o, why);

    r = r ? r : preconditions_check(q, o->kind, o->name, false, why);
    if (r) {
        return r;
    }
    change.kind = o->kind;
    snprintf(change.name, sizeof(change.name), "%s", o->name);
    return changes_submit(q, &change, 1, a, why);
}

int api_apply(struct request *q, struct answer *a, struct refusals *why)
{
    struct changes changes = { 0 };
    json_t *body = NULL;
    int r = document_read(q->body.data, q->body.used, &body, refusals_only(why));

    if (!r) {
        r = changes_read(body, q->center->governor.catalog, &changes, why);
        json_decref(body);
    }
    r = r ? r : changes_submit(q, changes.list, changes.count, a, why);
    changes_free(&changes);
    return r;
}

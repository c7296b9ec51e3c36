/* Routes and problem documents. A route is a row of a table: the path, the methods it takes, the
 * query parameters it knows. Everything else about a request is refused here, before anything looks
 * at it: other paths, other methods, parameters that would be silently ignored, bodies over the
 * limit. */
#include "center/api.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "center/document.h"

struct route {
    const char *segments[3]; /* "*" matches any text; NULL ends */
    struct {
        enum method method;
        api_function *function;
        const char *parameters[4];
    } takes[3];
    const char *allow;
};

static const struct route routes[] = {
    { { "livez" }, { { METHOD_GET, api_alive, { NULL } } }, "GET, HEAD" },
    { { "readyz" }, { { METHOD_GET, api_ready, { NULL } } }, "GET, HEAD" },
    { { "openapi.json" }, { { METHOD_GET, api_openapi, { NULL } } }, "GET, HEAD" },
    { { "v1", "apply" }, { { METHOD_POST, api_apply, { "dryRun", "wait" } } }, "POST" },
    { { "v1", "matrix" }, { { METHOD_GET, api_matrix, { NULL } } }, "GET, HEAD" },
    { { "v1", "agents" }, { { METHOD_GET, api_agents, { NULL } } }, "GET, HEAD" },
    { { "v1", "agents", "*" }, { { METHOD_GET, api_agent, { NULL } } }, "GET, HEAD" },
    { { "v1", "events" }, { { METHOD_GET, api_events, { "limit", "follow" } } }, "GET, HEAD" },
    { { "v1", "watch" }, { { METHOD_GET, api_watch, { "from" } } }, "GET, HEAD" },
    { { "v1", "status" }, { { METHOD_GET, api_status, { NULL } } }, "GET, HEAD" },
    { { "v1", "stop" }, { { METHOD_POST, api_stop, { NULL } } }, "POST" },
    { { "v1", "*" },
      { { METHOD_GET, api_list, { "limit", "cursor" } },
        { METHOD_POST, api_post, { "dryRun", "wait" } } },
      "GET, HEAD, POST" },
    { { "v1", "*", "*" },
      { { METHOD_GET, api_get, { NULL } },
        { METHOD_PUT, api_put, { "dryRun", "wait" } },
        { METHOD_DELETE, api_delete, { "dryRun", "wait" } } },
      "GET, HEAD, PUT, DELETE" },
};

static bool route_matches(const struct route *route, const struct uri *u)
{
    size_t n = 0;

    while (n < 3 && route->segments[n]) {
        if (n >= u->segments_count || (strcmp(route->segments[n], "*") != 0 &&
                                       strcmp(route->segments[n], u->segments[n]) != 0)) {
            return false;
        }
        n++;
    }
    return n == u->segments_count;
}

static const struct route *route_find(const struct uri *u)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        enum kind kind;

        if (route_matches(&routes[i], u) &&
            (strcmp(routes[i].segments[u->segments_count == 1 ? 0 : 1], "*") != 0 ||
             kind_from_collection(u->segments[1], &kind) == 0)) {
            return &routes[i];
        }
    }
    return NULL;
}

static int parameters_check(const char *const *known, const struct uri *u, struct refusals *why)
{
    for (size_t i = 0; i < u->parameters_count; i++) {
        bool found = false;

        for (size_t k = 0; k < 4 && known[k]; k++) {
            found = found || strcmp(known[k], u->parameters[i].name) == 0;
        }
        if (!found) {
            return refuse(refusals_only(why), PROBLEM_UNKNOWN_FIELD, "",
                          "this path takes no query parameter '%s'", u->parameters[i].name);
        }
    }
    return 0;
}

static int request_route(struct request *q, struct answer *a, struct refusals *why)
{
    const struct route *route;
    int r;

    if (!q->permitted) {
        return refuse(refusals_only(why), PROBLEM_NOT_PERMITTED, "",
                      "only the account that started the center, and root, are served");
    }
    r = uri_parse(q->target, &q->uri, refusals_only(why));
    if (r) {
        return r;
    }
    route = route_find(&q->uri);
    if (!route) {
        return refuse(refusals_only(why), PROBLEM_NO_SUCH_PATH, "",
                      "there is nothing at this path");
    }
    if (q->body_too_large) {
        return refuse(refusals_only(why), PROBLEM_TOO_LARGE, "", "the body is larger than %u bytes",
                      HTTP_BODY_BYTES_MAX);
    }
    for (size_t i = 0; i < 3; i++) {
        if (route->takes[i].method == q->method) {
            r = parameters_check(route->takes[i].parameters, &q->uri, why);
            return r ? r : route->takes[i].function(q, a, why);
        }
    }
    a->allow = route->allow;
    return refuse(refusals_only(why), PROBLEM_BAD_METHOD, "", "this path takes %s", route->allow);
}

static void problem_answer(const struct request *q, const struct refusals *why, struct answer *a)
{
    a->status = problem_status(why->list[0].problem);
    a->json = document_problem(why);
    a->type = "application/problem+json";
    if (q->method != METHOD_GET) {
        char detail[600];

        log_write(LOG_INFO, "change.refused", "code=%s target=%s detail=%s",
                  problem_code(why->list[0].problem), log_quote(q->target, (char[200]){ 0 }, 200),
                  log_quote(why->list[0].detail, detail, sizeof(detail)));
    }
}

/* A failure of the machine: said with a number that the log repeats. */
static void failure_answer(const struct request *q, int r, struct answer *a)
{
    static const char title[] = "the center could not do this";
    char trace[17];

    snprintf(trace, sizeof(trace), "%016llx", (unsigned long long)uv_hrtime());
    log_write(LOG_ERROR, "request.failed", "trace=%s result=%s target=%s", trace,
              rhodes_result_name(r), log_quote(q->target, (char[200]){ 0 }, 200));
    a->status = 500;
    a->type = "application/problem+json";
    a->json = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", "about:blank", "title", title,
                        "status", 500, "code", rhodes_result_name(r), "detail",
                        rhodes_result_sentence(r), "trace", trace);
}

void api_answer(struct request *q, struct answer *a)
{
    struct refusals *why;
    int r;

    if (q->held) {
        api_held_answer(q, a);
        return;
    }
    why = calloc(1, sizeof(*why));
    r = why ? request_route(q, a, why) : failed(-ENOMEM);
    if (r) {
        json_decref(a->json);
        a->json = NULL;
        a->held = false;
    }
    if (r > 0) {
        problem_answer(q, why, a);
    } else if (r < 0) {
        failure_answer(q, r, a);
    }
    free(why);
}

int api_kind(const struct request *q, enum kind *ret, struct refusals *why)
{
    if (kind_from_collection(q->uri.segments[1], ret) != 0) {
        return refuse(refusals_only(why), PROBLEM_NO_SUCH_PATH, "", "there is no collection '%s'",
                      q->uri.segments[1]);
    }
    return 0;
}

int api_object(const struct request *q, const struct object **ret, struct refusals *why)
{
    enum kind kind;
    int r = api_kind(q, &kind, why);

    if (r) {
        return r;
    }
    *ret = catalog_find(q->center->governor.catalog, kind, q->uri.segments[2]);
    if (!*ret) {
        return refuse(refusals_only(why), PROBLEM_NO_SUCH_OBJECT, "", "there is no %s named '%s'",
                      kind_name(kind), q->uri.segments[2]);
    }
    return 0;
}

void api_etag(uint64_t revision, char ret[32])
{
    snprintf(ret, 32, "\"%llu\"", (unsigned long long)revision);
}

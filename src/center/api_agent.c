/* What is going on: agents, events, the watch stream, the center's own state; and the request to
 * stop. */
#include "center/api.h"

#include <stdio.h>
#include <string.h>

#include "center/document.h"
#include "center/stream.h"

int api_agents(struct request *q, struct answer *a, struct refusals *why)
{
    const struct center *c = q->center;
    json_t *items = json_array();

    for (size_t i = 0; i < c->roster.count; i++) {
        json_array_append_new(items, agent_json(c->roster.agents[i]));
    }
    a->status = MHD_HTTP_OK;
    a->json = json_pack("{s:I, s:o}", "revision", (json_int_t)catalog_revision(c->governor.catalog),
                        "items", items);
    return a->json ? 0 : failed(-ENOMEM);
}

int api_agent(struct request *q, struct answer *a, struct refusals *why)
{
    char name[NAME_BYTES_MAX], id[RESOURCE_ID_BYTES_MAX];
    const struct agent *agent;
    enum layer layer;

    if (resource_id_parse(q->uri.segments[2], '.', &layer, name) != 0) {
        return refuse(refusals_only(why), PROBLEM_BAD_NAME, "",
                      "an agent is named LAYER.NAME, such as service.tcp, not '%s'",
                      q->uri.segments[2]);
    }
    resource_id_make(layer, name, '/', id);
    agent = roster_find(&q->center->roster, id);
    if (!agent) {
        return refuse(refusals_only(why), PROBLEM_NO_SUCH_OBJECT, "", "%s has no agent", id);
    }
    a->status = MHD_HTTP_OK;
    a->json = agent_json(agent);
    return a->json ? 0 : failed(-ENOMEM);
}

/* Too many streams, or a place in the log that is not there. */
static int stream_refused(int r, uint64_t from, const struct center *c, struct refusals *why)
{
    if (r == RHODES_OVER_LIMIT) {
        return refuse(refusals_only(why), PROBLEM_TOO_MANY, "", "%d streams are open already",
                      STREAMS_MAX);
    }
    if (r == RHODES_STALE) {
        return refuse(refusals_only(why), PROBLEM_COMPACTED, "",
                      "the log does not go on from revision %llu; it ends at %llu",
                      (unsigned long long)from,
                      (unsigned long long)catalog_revision(c->governor.catalog));
    }
    return r;
}

int api_events(struct request *q, struct answer *a, struct refusals *why)
{
    const struct events *events = q->center->events;
    const struct occurrence *o;
    uint64_t limit = 100, after;
    bool follow = false;
    json_t *items;
    int r = uri_number(&q->uri, "limit", 0, EVENTS_MAX, &limit, refusals_only(why));

    r = r ? r : uri_flag(&q->uri, "follow", &follow, refusals_only(why));
    if (r) {
        return r;
    }
    after = events_last(events) > limit ? events_last(events) - limit : 0;
    a->status = MHD_HTTP_OK;
    if (follow) {
        return stream_refused(stream_events_new(q, after, &a->stream), 0, q->center, why);
    }
    items = json_array();
    for (o = events_next(events, after); o; o = events_next(events, o->id)) {
        json_array_append_new(items, occurrence_json(o));
    }
    a->json = json_pack("{s:o}", "items", items);
    return a->json ? 0 : failed(-ENOMEM);
}

int api_watch(struct request *q, struct answer *a, struct refusals *why)
{
    const char *last = request_header(q, "Last-Event-ID");
    uint64_t from = 0;
    bool resume = uri_parameter(&q->uri, "from") || last;
    int r = uri_number(&q->uri, "from", 0, INT64_MAX, &from, refusals_only(why));

    if (!r && last && !uri_parameter(&q->uri, "from")) {
        char *end;

        from = strtoull(last, &end, 10);
        if (end == last || *end || *last == '-' || from > INT64_MAX) {
            r = refuse(refusals_only(why), PROBLEM_BAD_VALUE, "",
                       "Last-Event-ID must be a revision, not '%s'", last);
        }
    }
    if (r) {
        return r;
    }
    a->status = MHD_HTTP_OK;
    return stream_refused(stream_watch_new(q, resume, from, &a->stream), from, q->center, why);
}

static json_t *store_json(const struct governor *g)
{
    json_t *json = json_pack("{s:s, s:s}", "driver", g->driver->name, "state",
                             g->store_failed ? "failed" : "ok");

    if (g->store_failed) {
        json_object_set_new(json, "reason", document_text(g->store_why));
    }
    return json;
}

int api_status(struct request *q, struct answer *a, struct refusals *why)
{
    const struct center *c = q->center;
    const struct catalog *catalog = c->governor.catalog;
    size_t objects = 0, agents = 0, in_sync = 0;
    char started[TIME_TEXT_BYTES];

    for (int kind = 0; kind < KINDS_COUNT; kind++) {
        objects += catalog_count(catalog, (enum kind)kind);
    }
    for (size_t i = 0; i < c->roster.count; i++) {
        agents += c->roster.agents[i]->session != NULL;
        in_sync += agent_in_sync(c->roster.agents[i]);
    }
    a->status = MHD_HTTP_OK;
    a->json =
        json_pack("{s:s, s:o, s:I, s:s, s:o, s:I, s:I, s:I, s:i}", "version", RHODES_VERSION,
                  "home", document_text(c->home), "revision", (json_int_t)catalog_revision(catalog),
                  "startedAt", time_text(c->started_ms, started), "store", store_json(&c->governor),
                  "objects", (json_int_t)objects, "agents", (json_int_t)agents, "inSync",
                  (json_int_t)in_sync, "pid", (int)getpid());
    return a->json ? 0 : failed(-ENOMEM);
}

int api_stop(struct request *q, struct answer *a, struct refusals *why)
{
    q->stop_after = true;
    a->status = MHD_HTTP_ACCEPTED;
    a->json = json_pack("{s:b}", "stopping", 1);
    return a->json ? 0 : failed(-ENOMEM);
}

int api_alive(struct request *q, struct answer *a, struct refusals *why)
{
    a->status = MHD_HTTP_OK;
    a->text = "ok\n";
    a->type = "text/plain";
    return 0;
}

int api_ready(struct request *q, struct answer *a, struct refusals *why)
{
    a->status = q->center->stopping ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    a->text = q->center->stopping ? "stopping\n" : "ok\n";
    a->type = "text/plain";
    return 0;
}

int api_openapi(struct request *q, struct answer *a, struct refusals *why)
{
    a->status = MHD_HTTP_OK;
    a->text = openapi_json;
    a->type = "application/json";
    return 0;
}

/* center/api.h - the REST contract (protocol/openapi.yaml): which path does what, and the documents
 * it answers with. */
#ifndef CENTER_API_H
#define CENTER_API_H

#include "center/changes.h"
#include "center/http.h"

#define API_LIST_MAX    1000
#define API_WAIT_NS_MAX (300 * 1000000000ULL)

/* Answers a request that was read whole, also with a problem document. Asked again after a held one
 * was resumed. */
void api_answer(struct request *q, struct answer *a);

/* Each of these fills *a and returns 0; or a verdict with *why filled; or a failure. */
typedef int api_function(struct request *q, struct answer *a, struct refusals *why);

api_function api_list, api_get, api_matrix;                 /* api_read.c */
api_function api_put, api_post, api_delete, api_apply;      /* api_change.c */
api_function api_agents, api_agent, api_events, api_status, /* api_agent.c */
    api_watch, api_stop, api_alive, api_ready, api_openapi;

/* The collection in segment 1 of the path. NO_SUCH_PATH. */
int api_kind(const struct request *q, enum kind *ret, struct refusals *why) MUST_CHECK;
/* The object that the path names. NO_SUCH_OBJECT. */
int api_object(const struct request *q, const struct object **ret, struct refusals *why) MUST_CHECK;
void api_etag(uint64_t revision, char ret[32]);
/* An answer of a held request that is not asked to wait any more. */
void api_held_answer(struct request *q, struct answer *a);

extern const char openapi_json[]; /* made from protocol/openapi.yaml */

#endif

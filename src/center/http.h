/* center/http.h - HTTP on center/center.sock: libmicrohttpd without threads of its own, driven by
 * the loop. A request is read whole (up to its limits), handed to api_answer(), and answered at
 * once, later, or as a stream. One thread. */
#ifndef CENTER_HTTP_H
#define CENTER_HTTP_H

#include <microhttpd.h>

#include "center/center.h"
#include "center/effect.h"
#include "center/uri.h"

#define HTTP_CONNECTIONS_MAX 256
#define HTTP_BODY_BYTES_MAX  (1u << 20)
#define HTTP_DRAIN_BYTES_MAX                                                                       \
    (16u << 20) /* of a body that is too large, read so that the answer is seen */
#define HTTP_IDLE_S 30

enum method {
    METHOD_GET = 1,
    METHOD_PUT = 2,
    METHOD_POST = 4,
    METHOD_DELETE = 8,
    METHOD_OTHER = 16
};

struct request {
    struct center *center;
    struct MHD_Connection *connection;
    enum method method;
    char target[URI_BYTES_MAX + 1]; /* raw; one more than allowed, to see that it was too long */
    struct uri uri;
    struct bytes body;
    bool begun, body_too_large;
    size_t body_dropped;
    char who[32]; /* "uid 1000" */
    bool permitted;
    /* An answer that waits for its effect: */
    json_t *held; /* all of it but "effect" */
    int held_status;
    char held_etag[32];
    struct effect *effect;
    bool suspended;
    bool stop_after; /* when it was answered, the center stops */
};

struct answer {
    int status;
    json_t *json;                /* taken */
    const char *text, *type;     /* instead of json: static text, its media type */
    char etag[32];               /* "" none */
    const char *allow;           /* for 405 */
    struct MHD_Response *stream; /* instead of json, taken */
    bool held;                   /* no answer yet: request_resume will ask for it again */
};

int http_new(struct center *c, struct http **ret) MUST_CHECK;
struct http *http_free(struct http *h); /* no request is held and no stream open any more */
void http_kick(struct http *h);         /* something was resumed */

/* Asks api_answer again for a request that it held. */
void request_resume(struct request *q);
const char *request_header(const struct request *q, const char *name); /* NULL: none */

#endif

/* cli/center.h - one request to the governance center over its Unix socket, and its answer.
 *
 * The path of the socket may be of any length: it goes through /proc/self/fd. A center that is not
 * there is EXIT_NO_CENTER, said once, with what to type. */
#ifndef CLI_CENTER_H
#define CLI_CENTER_H

#include <jansson.h>

#include "cli/cli.h"

#define ANSWER_BYTES_MAX       (64u << 20)
#define ANSWER_WAIT_NS_DEFAULT 30000000000ULL

struct request {
    const char *method, *path;
    const json_t *body;         /* NULL: none */
    const char *text;           /* the body as it is, when `body` is NULL */
    const char *const *headers; /* more headers, ends with NULL; or NULL */
    uint64_t wait_ns; /* how long it may take; 0: ANSWER_WAIT_NS_DEFAULT; UINT64_MAX: for ever */
    /* What is shown on a terminal after half a second of waiting; NULL: nothing. */
    const char *waiting;
    /* Gets the body of a 2xx answer piece by piece instead of having it collected; not 0: stop, as
     * if it had ended. */
    int (*on_piece)(const char *piece, size_t bytes, void *data);
    void *data;
};

struct answer {
    long status;
    char etag[40];
    char *text; /* NUL-terminated, never NULL after 0 */
    size_t bytes;
    json_t *json; /* NULL when it is none */
};

/* 0 when there was any answer of HTTP; else the exit code, after complaining (EXIT_NO_CENTER,
 * EXIT_FAILED). */
int center_ask(struct cli *cli, const struct request *request, struct answer *ret) MUST_CHECK;
/* The same and complains when the status is not 2xx, or when the body of a 2xx is not JSON. */
int center_get(struct cli *cli, const char *path, struct answer *ret) MUST_CHECK;
void answer_deinit(struct answer *a); /* for CLEANUP */

/* Whether a center answers /readyz with 200 right now. Prints nothing. */
bool center_ready(struct cli *cli);

/* `text` as one segment of a path or one value of a query, for the caller to free. */
char *segment_encode(const char *text);

/* Members of an answer, with what to take when they are not there or of another type. */
const char *json_text(const json_t *object, const char *name); /* else "" */
uint64_t json_number(const json_t *object, const char *name);  /* else 0 */
bool json_flag(const json_t *object, const char *name);

#endif

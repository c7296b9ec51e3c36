/* cli/problem.h - what the center says when it says no, put before a person: place, code, sentence,
 * rule, hint. */
#ifndef CLI_PROBLEM_H
#define CLI_PROBLEM_H

#include "cli/center.h"
#include "cli/manifest.h"

/* What stood in the request that is answered, so that pointers become places. */
struct origin {
    const struct manifests *manifests; /* /documents/I */
    const char *const *deletions;      /* /delete/I: "service/tcp" */
    size_t deletions_count;
};

/* 0 for a 2xx with a JSON body; else complains and returns the exit code. `origin` may be NULL. */
int answer_check(struct cli *cli, const struct answer *answer,
                 const struct origin *origin) MUST_CHECK;

/* Prints what the manifest decoder refused, in the same form. */
void manifest_error_print(struct cli *cli, const char *source, const struct manifest_error *error);

/* The exit code for an HTTP status that is not 2xx. */
int status_exit(long status);

struct problem_text {
    const char *name;    /* "LAYER_FORBIDDEN" */
    int number;          /* 1013 */
    const char *verdict; /* "DENIED" */
    const char *title, *hint;
};
struct verdict_text {
    const char *name;
    int number, status;
    const char *sentence;
};
extern const struct problem_text problem_texts[]; /* they end with a name NULL */
extern const struct verdict_text verdict_texts[];
size_t problems_count(void);
int problem_status(const struct problem_text *problem); /* of HTTP */

#endif

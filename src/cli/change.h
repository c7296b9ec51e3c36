/* cli/change.h - sends one change and says what became of it: what was stored, and which agents
 * have it in force. */
#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "cli/options.h"
#include "cli/problem.h"

#define CHANGE_OPTIONS                                                                             \
    { 0, "dry-run", NULL, "judge it and show the effect, store nothing", false },                  \
    {                                                                                              \
        0, "wait", "D", "wait so long for the agents to apply it (default 5s; 0: do not wait)",    \
            false                                                                                  \
    }

struct change {
    const char *method, *path;
    const json_t *body;          /* or NULL */
    const char *condition;       /* "If-Match: \"3\"" or NULL */
    const struct origin *origin; /* or NULL */
};

/* Checks --wait before anything is read or sent. EXIT_USAGE, after complaining. */
int wait_parse(struct cli *cli, const struct arguments *arguments, uint64_t *ret_ns) MUST_CHECK;

/* Takes --dry-run and --wait from the arguments, sends, prints; returns the exit code. With
 * `ret_status` not NULL a 412 is not printed: the caller reads again and repeats. */
int change_send(struct cli *cli, const struct arguments *arguments, const struct change *change,
                long *ret_status) MUST_CHECK;

#endif

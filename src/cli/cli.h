/* cli/cli.h - what every verb of `rhodes` shares: where the center is, how to print, how to end.
 *
 * Life: main.c fills one struct cli from the command line and calls verb->run(cli, arguments). A
 * verb prints what it has to say and returns an exit code; it never calls exit(). The one exception
 * is memory: the command is short-lived, so text_make() and its kin end the process with exit code
 * 1 when there is none. One thread. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/home.h"
#include "base/result.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* failed, or what was given is not valid */
    EXIT_USAGE = 2,
    EXIT_NOT_IN_SYNC = 3, /* committed, but not every agent has it in force in time */
    EXIT_REFUSED = 4,     /* a rule says no */
    EXIT_CONFLICT = 5,
    EXIT_NO_CENTER = 6
};

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };

struct cli {
    char home[HOME_PATH_BYTES_MAX];
    FILE *out, *err;
    enum output output;
    bool quiet;      /* only errors, and what was asked for */
    bool colour;     /* out is a terminal that wants colours */
    bool colour_err; /* err is */
    unsigned width;  /* columns of the terminal; 100 when there is none */
};

/* One option of a verb. `argument` NULL: a flag. `help` NULL: not shown. An argument with '|' in it
 * ("below|strict") lists its only values. */
struct option {
    char letter; /* 0: none */
    const char *name, *argument, *help;
    bool repeat;
};

#define VERB_OUTPUT 1u /* takes -o */
#define VERB_REST                                                                                  \
    2u /* everything after the first positional, or after --, belongs to another program */
#define VERB_PASS  4u /* options that it does not know are positionals */
#define VERB_NEEDS 8u /* its first option must be given */

#define VERB_OPTIONS_MAX 8

struct arguments;

struct verb {
    const char *name;                   /* "apply"; "link set" for a verb in a group */
    const char *positional;             /* as the usage line shows them: "KIND [NAME]" */
    int positional_min, positional_max; /* max -1: any number */
    unsigned flags;
    const char *summary; /* half a sentence for the list */
    const char *detail;  /* paragraphs for --help, or NULL */
    const char *example; /* one command line and more, each on its own line */
    struct option options[VERB_OPTIONS_MAX];
    int (*run)(struct cli *cli, const struct arguments *arguments); /* returns enum exit_code */
};

/* The one table, in the order of the list; ends with a verb without a name. */
extern const struct verb verbs[];

int up_run(struct cli *cli, const struct arguments *arguments);
int down_run(struct cli *cli, const struct arguments *arguments);
int status_run(struct cli *cli, const struct arguments *arguments);
int apply_run(struct cli *cli, const struct arguments *arguments);
int get_run(struct cli *cli, const struct arguments *arguments);
int describe_run(struct cli *cli, const struct arguments *arguments);
int delete_run(struct cli *cli, const struct arguments *arguments);
int link_set_run(struct cli *cli, const struct arguments *arguments);
int link_allow_run(struct cli *cli, const struct arguments *arguments);
int link_deny_run(struct cli *cli, const struct arguments *arguments);
int link_show_run(struct cli *cli, const struct arguments *arguments);
int layer_show_run(struct cli *cli, const struct arguments *arguments);
int layer_set_run(struct cli *cli, const struct arguments *arguments);
int matrix_run(struct cli *cli, const struct arguments *arguments);
int call_run(struct cli *cli, const struct arguments *arguments);
int run_run(struct cli *cli, const struct arguments *arguments);
int agent_list_run(struct cli *cli, const struct arguments *arguments);
int events_run(struct cli *cli, const struct arguments *arguments);
int explain_run(struct cli *cli, const struct arguments *arguments);
int version_run(struct cli *cli, const struct arguments *arguments);
int api_run(struct cli *cli, const struct arguments *arguments);
int demo_run(struct cli *cli, const struct arguments *arguments);
int help_run(struct cli *cli, const struct arguments *arguments);

#endif

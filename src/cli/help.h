/* cli/help.h - the usage lines, the help and docs/cli.md, all made from the table of verbs. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/cli.h"

/* "usage: rhodes link set CALLER CALLEE [--protocol ...]", one line. */
void usage_print(FILE *out, const struct verb *verb);
/* The whole help of one verb. */
void help_verb_print(FILE *out, const struct verb *verb);
/* The list of all verbs, or of those of one group ("link") when `group` is not NULL. */
void help_list_print(FILE *out, const char *group);

#endif

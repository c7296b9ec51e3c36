/* cli/companion.h - the programs that are installed beside this one. */
#ifndef CLI_COMPANION_H
#define CLI_COMPANION_H

#include "cli/cli.h"

/* The path of `name` relative to the directory of this executable ("rhodes-center",
 * "../share/rhodes/demo/demo.py"), for the caller to free. Complains (EXIT_FAILED) when nothing is
 * there that allows `access_mode` (X_OK, R_OK). */
int companion_find(struct cli *cli, const char *name, int access_mode,
                   char **ret) MUST_CHECK; /* exit code */

#endif

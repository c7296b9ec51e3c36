/* cli/edit.h - reads one object, changes its spec, writes it back under If-Match; created when it
 * is missing. */
#ifndef CLI_EDIT_H
#define CLI_EDIT_H

#include "cli/change.h"
#include "cli/kind.h"

/* Changes `spec` in place (of an object that is there, or an empty one). Returns an exit code,
 * after complaining; 0 goes on. */
typedef int edit_function(struct cli *cli, const struct arguments *arguments, json_t *spec,
                          void *data);

/* When somebody else changes it in between, it is read again and edited again, EDIT_TRIES_MAX times
 * in all. */
#define EDIT_TRIES_MAX 5
int object_edit(struct cli *cli, const struct arguments *arguments, const struct named *named,
                edit_function *edit, void *data) MUST_CHECK; /* exit code */

#endif

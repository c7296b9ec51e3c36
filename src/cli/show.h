/* cli/show.h - printing what the center answered in the form that -o asks for. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <jansson.h>

#include "cli/cli.h"

/* As JSON (indented, safe on a terminal), or as YAML with -o yaml. */
void show_value(struct cli *cli, const json_t *value);
/* With -o yaml each item of a list as a document of its own, so that `rhodes apply` takes it; with
 * -o json {"items": [..]}. */
void show_items(struct cli *cli, const json_t *items);

/* A line "WHAT (3 s)" on a terminal, once half a second has passed since began_ns; call it often,
 * *shown (0 at first) remembers. progress_end() removes the line. */
void progress_show(struct cli *cli, const char *what, uint64_t began_ns, uint64_t *shown);
void progress_end(struct cli *cli, uint64_t shown);

#endif

/* cli/kind.h - the kinds of objects as a person may write them, and the ids of resources. Pure. */
#ifndef CLI_KIND_H
#define CLI_KIND_H

#include "cli/cli.h"

struct kind {
    const char *name;       /* "Service", as in manifests */
    const char *collection; /* "services" */
    const char *layer;      /* "service"; for a link and the hierarchical rule NULL */
    char set;               /* 'S' in the paper's sets; 0 */
};

#define KINDS 6
extern const struct kind kinds[KINDS];

/* "service", "services", "Service", "link", "hierarchy", ...; `bytes` of `text`. NULL: none. */
const struct kind *kind_find(const char *text, size_t bytes);

/* One object as a person names it: "service/tcp", or "service" and "tcp" (`name` not NULL).
 * Complains. */
struct named {
    const struct kind *kind;
    char name[256];
};
int named_parse(struct cli *cli, const char *text, const char *name,
                struct named *ret) MUST_CHECK; /* exit code */

/* A resource id "service/tcp". Complains unless it is LAYER/NAME. */
int id_parse(struct cli *cli, const char *id, struct named *ret) MUST_CHECK; /* exit code */

/* "service/tcp" or "links/NAME", for the caller to free. */
char *id_make(const struct kind *kind, const char *name);
/* The same for `kind` and `name` of an answer. */
char *id_of(const char *kind, const char *name);
/* "service.tcp", for the caller to free. */
char *id_dotted(const struct named *named);
/* "/v1/services/tcp", for the caller to free. */
char *path_make(const struct named *named);

#endif

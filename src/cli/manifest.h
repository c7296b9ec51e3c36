/* cli/manifest.h - YAML and JSON manifests as JSON documents that remember where everything stood.
 * No I/O.
 *
 * Life: zeroed struct manifests -> manifests_decode for each file -> documents -> manifests_deinit.
 * YAML 1.2 with the core schema: `no` and `yes` are texts, 0o17 and 0x1f are integers. Refused with
 * line and column: what is not YAML, duplicate keys, tags other than the core ones, aliases that
 * expand past MANIFEST_BYTES_MAX, nesting past MANIFEST_DEPTH_MAX, numbers that JSON or 64 bits
 * cannot hold, and texts that are not UTF-8. Work and memory are bounded by the size of the text.
 */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>

#include "base/result.h"

#define MANIFEST_BYTES_MAX   (1u << 20) /* of one text, and of what its aliases make of it */
#define MANIFEST_DEPTH_MAX   64
#define MANIFEST_ANCHORS_MAX 256   /* in one document */
#define MANIFESTS_MAX        10000 /* documents in all */

struct place {     /* where one value stands; the first of a document is its root */
    size_t parent; /* index of the container's place */
    char *key;     /* in a mapping; NULL in a list */
    size_t index;  /* in a list */
    unsigned line, column, key_line, key_column; /* counted from 1 */
};

struct document {
    char *source; /* "web.yaml" */
    json_t *json; /* an object */
    struct place *places;
    size_t places_count, places_room;
};

struct manifests {
    struct document *documents;
    size_t count, room;
};

struct manifest_error {
    int code; /* of protocol/problems.def: 1001 malformed, 1008 stands twice, 1009 too large */
    unsigned line, column; /* 0: the text as a whole */
    char text[256];        /* a sentence; may hold bytes of the input: escape it when printing */
};

/* Appends the documents of one text; empty ones are passed over. INVALID or OVER_LIMIT with
 * *ret_why filled; then no document was appended. */
int manifests_decode(struct manifests *m, const char *source, const char *text, size_t bytes,
                     struct manifest_error *ret_why) MUST_CHECK;
void manifests_deinit(struct manifests *m);

/* The place of what a JSON pointer (RFC 6901, within the document) names: of its key when `key`,
 * else of its value; of the nearest container that exists when it does not. */
void document_place(const struct document *d, const char *pointer, bool key, unsigned *ret_line,
                    unsigned *ret_column);

#endif

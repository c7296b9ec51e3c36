/* center/document.h - the JSON that the center says: objects, problems, times. Pure; every json_t
 * returned is the caller's, NULL when memory is out. */
#ifndef CENTER_DOCUMENT_H
#define CENTER_DOCUMENT_H

#include "model/catalog.h"

#define JSON_DEPTH_MAX  64
#define TIME_TEXT_BYTES 32

/* The document of an object as the API shows it: its body with metadata.revision and
 * metadata.createdRevision. */
json_t *document_make(const json_t *body, uint64_t revision, uint64_t revision_created);
json_t *document_of(const struct object *o);

/* A JSON string for any text: what is not UTF-8 becomes '?'. */
json_t *document_text(const char *text);

/* RFC 3339 in UTC with milliseconds. */
const char *time_text(uint64_t ms, char ret[TIME_TEXT_BYTES]);
uint64_t time_now_ms(void);

/* Reads JSON from foreign bytes: an object of bounded depth, each name once. MALFORMED with line
 * and column otherwise. */
int document_read(const void *data, size_t bytes, json_t **ret, struct refusal *why) MUST_CHECK;

/* An RFC 9457 problem document; at least one refusal. */
json_t *document_problem(const struct refusals *why);

#endif

/* center/changes.h - what a request asks to change: JSON documents and deletions, as the changes
 * that the governor takes. Pure. */
#ifndef CENTER_CHANGES_H
#define CENTER_CHANGES_H

#include "model/catalog.h"

#define APPLY_CHANGES_MAX 16384

struct changes {
    size_t count;
    struct change *list;
};

void changes_free(struct changes *c);

/* The body of an apply: {"documents": [..], "delete": [..]}. A verdict with *why filled (all bad
 * documents, up to REFUSALS_MAX); changes_free in any case. `catalog` is only looked into for
 * documents that expect revision 0. */
int changes_read(const json_t *body, const struct catalog *catalog, struct changes *ret,
                 struct refusals *why) MUST_CHECK;

/* One document at `pointer`. ret->object is the caller's to unref. *ret_revision is what it
 * expects, UINT64_MAX for nothing; change_expect makes that a condition of the change. */
int change_of_document(const json_t *document, const char *pointer, struct change *ret,
                       uint64_t *ret_revision, struct refusal *why) MUST_CHECK;
int change_expect(struct change *change, uint64_t revision, const struct catalog *catalog,
                  struct refusal *why) MUST_CHECK;

/* The place for the only refusal of *why. */
struct refusal *refusals_only(struct refusals *why);

#endif

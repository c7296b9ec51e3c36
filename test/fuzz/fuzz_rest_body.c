/* The body of /v1/apply, from bytes to a judged and stored transaction: JSON, documents, the
 * catalog's judgement, the memory store, and a second opinion: what was committed is loaded again
 * from the store's text and must be accepted. */
#include <stdint.h>
#include <stdlib.h>

#include "center/changes.h"
#include "center/document.h"
#include "center/governor.h"

static void change(struct governor *g, const json_t *body, struct refusals *why)
{
    struct changes changes;
    struct decision d = { 0 };
    int r = changes_read(body, g->catalog, &changes, why);

    if (r == 0) {
        r = governor_change(g, changes.list, changes.count, GOVERNOR_DRY_RUN, "fuzz", &d, why);
        decision_deinit(&d);
    }
    if (r == 0) {
        uint64_t before = catalog_revision(g->catalog);

        /* What a dry run allowed is allowed, and moves the revision by one or not at all. */
        if (governor_change(g, changes.list, changes.count, 0, "fuzz", &d, why) != 0 ||
            d.revision > before + 1) {
            abort();
        }
        decision_deinit(&d);
    } else if (r > 0 && (why->count == 0 || why->list[0].detail[0] == 0)) {
        abort(); /* a refusal without a reason */
    }
    changes_free(&changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct store_options options = { .directory_fd = -1, .log_revisions_max = 4 };
    struct refusals *why = calloc(1, sizeof(*why));
    char text[GOVERNOR_WHY_BYTES];
    struct governor g, again;
    json_t *body = NULL;

    if (!why || governor_open(&g, &store_memory, &options, NULL, NULL, text) != 0) {
        abort();
    }
    if (document_read(data, bytes, &body, &why->list[0]) == 0) {
        change(&g, body, why);
        change(&g, body, why); /* the second time nothing is new */
        json_decref(body);
        again = g;
        again.catalog = catalog_new();
        if (!again.catalog || governor_restore(&again, text) != 0 ||
            catalog_revision(again.catalog) != catalog_revision(g.catalog)) {
            abort();
        }
        catalog_free(again.catalog);
    }
    governor_close(&g);
    free(why);
    return 0;
}

/* Manifests as JSON: any document is refused with a reason or parsed, and what was parsed parses to
 * itself again and is judged by a catalog, which is left as it was when it says no. */
#include <assert.h>
#include <string.h>

#include "model/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void normalised_check(const struct object *o)
{
    struct object *again;
    struct refusal why;

    assert(object_parse(o->body, "", &again, &why) == 0);
    assert(again->kind == o->kind && strcmp(again->name, o->name) == 0);
    assert(json_equal(again->body, o->body));
    object_unref(again);
}

static void stage_check(struct object *o)
{
    struct refusals *why = calloc(1, sizeof(*why));
    struct catalog *c = catalog_new();
    struct change x = { .kind = o->kind, .object = o };
    struct staging *s;
    int r;

    assert(why && c);
    strcpy(x.name, o->name);
    r = catalog_stage(c, &x, 1, &s, why);
    if (r == 0) {
        catalog_keep(c, s);
        assert(catalog_find(c, o->kind, o->name));
    } else {
        assert(r == (int)problem_verdict(why->list[0].problem) && why->list[0].detail[0]);
        assert(catalog_revision(c) == 0 &&
               (o->kind == KIND_HIERARCHY || catalog_count(c, o->kind) == 0));
    }
    catalog_free(c);
    free(why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *document =
        json_loadb((const char *)data, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    struct object *o;
    struct refusal why;
    int r;

    if (!document) {
        return 0;
    }
    r = object_parse(document, "/documents/0", &o, &why);
    json_decref(document);
    if (r) {
        assert(r == (int)problem_verdict(why.problem));
        assert(why.detail[0] && why.hint[0] && strncmp(why.pointer, "/documents/0", 12) == 0);
        return 0;
    }
    normalised_check(o);
    stage_check(o);
    object_unref(o);
    return 0;
}

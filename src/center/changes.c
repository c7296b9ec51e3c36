/* JSON documents into changes. A document may carry the metadata.revision that it was read with:
 * then it only applies to that revision. Both revision members are taken off before the model sees
 * the document, because they are the center's to set. Of many documents every bad one is reported,
 * so that a person mends them all at once. */
#include "center/changes.h"

#include <stdio.h>
#include <string.h>

struct refusal *refusals_only(struct refusals *why)
{
    why->count = why->total = 1;
    return &why->list[0];
}

void changes_free(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++) {
        object_unref(c->list[i].object);
    }
    free(c->list);
    *c = (struct changes){ 0 };
}

static int changes_reserve(struct changes *c, size_t count)
{
    c->list = calloc(count ? count : 1, sizeof(*c->list));
    return c->list ? 0 : failed(-ENOMEM);
}

static int revision_read(const json_t *metadata, const char *name, const char *pointer,
                         uint64_t *ret, struct refusal *why)
{
    const json_t *value = json_object_get(metadata, name);
    char place[128];

    if (!value) {
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        snprintf(place, sizeof(place), "%s/metadata/%s", pointer, name);
        return refuse(why, PROBLEM_WRONG_TYPE, place, "%s must be a number that is not negative",
                      name);
    }
    *ret = (uint64_t)json_integer_value(value);
    return 0;
}

/* The document without its revisions, which go to *ret_revision (UINT64_MAX when there is none). */
static int document_strip(const json_t *document, const char *pointer, json_t **ret,
                          uint64_t *ret_revision, struct refusal *why)
{
    json_t *metadata = json_object_get(document, "metadata"), *copy;
    uint64_t ignored;
    int r;

    *ret_revision = UINT64_MAX;
    if (!json_is_object(metadata)) {
        *ret =
            json_incref((json_t *)(uintptr_t)document); /* the model says what is wrong with it */
        return 0;
    }
    r = revision_read(metadata, "revision", pointer, ret_revision, why);
    r = r ? r : revision_read(metadata, "createdRevision", pointer, &ignored, why);
    if (r) {
        return r;
    }
    copy = json_copy((json_t *)(uintptr_t)document);
    metadata = json_copy(metadata);
    json_object_del(metadata, "revision");
    json_object_del(metadata, "createdRevision");
    if (!copy || json_object_set_new(copy, "metadata", metadata) < 0) {
        json_decref(copy);
        return failed(-ENOMEM);
    }
    *ret = copy;
    return 0;
}

int change_of_document(const json_t *document, const char *pointer, struct change *ret,
                       uint64_t *ret_revision, struct refusal *why)
{
    json_t *stripped = NULL;
    struct object *o = NULL;
    int r = document_strip(document, pointer, &stripped, ret_revision, why);

    if (!r) {
        r = object_parse(stripped, pointer, &o, why);
        json_decref(stripped);
    }
    if (r) {
        return r;
    }
    *ret = (struct change){ .kind = o->kind, .object = o };
    snprintf(ret->name, sizeof(ret->name), "%s", o->name);
    snprintf(ret->pointer, sizeof(ret->pointer), "%s", pointer);
    return 0;
}

static int text_member(const json_t *object, const char *name, const char *pointer,
                       const char **ret, struct refusal *why)
{
    const json_t *value = json_object_get(object, name);
    char place[128];

    snprintf(place, sizeof(place), "%s/%s", pointer, name);
    if (!value) {
        return refuse(why, PROBLEM_MISSING_FIELD, place, "%s is missing", name);
    }
    if (!json_is_string(value)) {
        return refuse(why, PROBLEM_WRONG_TYPE, place, "%s must be a text", name);
    }
    *ret = json_string_value(value);
    return 0;
}

static int change_of_delete(const json_t *entry, const char *pointer, struct change *ret,
                            struct refusal *why)
{
    const char *kind = NULL, *name = NULL, *member;
    json_t *value;
    int r;

    if (!json_is_object(entry)) {
        return refuse(why, PROBLEM_WRONG_TYPE, pointer,
                      "an entry of delete must be {\"kind\": ..., \"name\": ...}");
    }
    json_object_foreach((json_t *)(uintptr_t)entry, member, value)
    {
        if (strcmp(member, "kind") != 0 && strcmp(member, "name") != 0) {
            return refuse(why, PROBLEM_UNKNOWN_FIELD, pointer,
                          "an entry of delete has no member '%s'", member);
        }
    }
    *ret = (struct change){ .remove = true };
    r = text_member(entry, "kind", pointer, &kind, why);
    r = r ? r : text_member(entry, "name", pointer, &name, why);
    if (r) {
        return r;
    }
    if (kind_from_name(kind, &ret->kind) != 0) {
        return refuse(why, PROBLEM_BAD_VALUE, pointer, "there is no kind '%s'", kind);
    }
    if (strlen(name) >= sizeof(ret->name)) {
        return refuse(why, PROBLEM_BAD_NAME, pointer, "the name is longer than %zu bytes",
                      sizeof(ret->name) - 1);
    }
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    snprintf(ret->pointer, sizeof(ret->pointer), "%s", pointer);
    return 0;
}

/* Adds one more refusal, so that a person sees all bad documents of an apply at once. */
static void refusals_add(struct refusals *why, const struct refusal *one)
{
    if (why->count < REFUSALS_MAX) {
        why->list[why->count++] = *one;
    }
    why->total++;
}

static int apply_member(const json_t *body, const char *name, const json_t **ret,
                        struct refusals *why)
{
    const json_t *value = json_object_get(body, name);
    char pointer[32];

    if (value && !json_is_array(value)) {
        snprintf(pointer, sizeof(pointer), "/%s", name);
        return refuse(refusals_only(why), PROBLEM_WRONG_TYPE, pointer, "%s must be a list", name);
    }
    *ret = value;
    return 0;
}

static int apply_shape(const json_t *body, const json_t **ret_documents, const json_t **ret_deletes,
                       struct refusals *why)
{
    const char *member;
    json_t *value;
    int r;

    json_object_foreach((json_t *)(uintptr_t)body, member, value)
    {
        if (strcmp(member, "documents") != 0 && strcmp(member, "delete") != 0) {
            return refuse(refusals_only(why), PROBLEM_UNKNOWN_FIELD, "",
                          "the body of an apply has no member '%s'", member);
        }
    }
    r = apply_member(body, "documents", ret_documents, why);
    r = r ? r : apply_member(body, "delete", ret_deletes, why);
    if (!r && !*ret_documents && !*ret_deletes) {
        r = refuse(refusals_only(why), PROBLEM_MISSING_FIELD, "/documents",
                   "an apply needs documents or delete");
    }
    if (!r && json_array_size(*ret_documents) + json_array_size(*ret_deletes) > APPLY_CHANGES_MAX) {
        r = refuse(refusals_only(why), PROBLEM_TOO_LARGE, "", "more than %d changes at once",
                   APPLY_CHANGES_MAX);
    }
    return r;
}

/* metadata.revision is an expectation. The catalog checks all but 0, which to it means any. */
int change_expect(struct change *change, uint64_t revision, const struct catalog *catalog,
                  struct refusal *why)
{
    const struct object *now;

    if (revision == UINT64_MAX) {
        return 0;
    }
    change->revision_expected = revision;
    now = revision == 0 && catalog ? catalog_find(catalog, change->kind, change->name) : NULL;
    if (now && now->revision != 0) {
        return refuse(why, PROBLEM_CONFLICT, change->pointer, "%s %s is at revision %llu, not 0",
                      kind_name(change->kind), change->name, (unsigned long long)now->revision);
    }
    return 0;
}

int changes_read(const json_t *body, const struct catalog *catalog, struct changes *ret,
                 struct refusals *why)
{
    const json_t *documents = NULL, *deletes = NULL, *entry;
    struct refusal one;
    char pointer[64];
    size_t i;
    int r;

    *ret = (struct changes){ 0 };
    why->count = why->total = 0;
    r = apply_shape(body, &documents, &deletes, why);

    r = r ? r : changes_reserve(ret, json_array_size(documents) + json_array_size(deletes));
    json_array_foreach(documents, i, entry)
    {
        uint64_t revision;

        if (r < 0 || (r && !why->total)) {
            return r;
        }
        snprintf(pointer, sizeof(pointer), "/documents/%zu", i);
        r = change_of_document(entry, pointer, &ret->list[ret->count], &revision, &one);
        if (!r) {
            r = change_expect(&ret->list[ret->count++], revision, catalog, &one);
        }
        if (r > 0) {
            refusals_add(why, &one);
        }
    }
    json_array_foreach(deletes, i, entry)
    {
        if (r < 0) {
            return r;
        }
        snprintf(pointer, sizeof(pointer), "/delete/%zu", i);
        r = change_of_delete(entry, pointer, &ret->list[ret->count], &one);
        if (r > 0) {
            refusals_add(why, &one);
        }
        ret->count += r == 0;
    }
    if (r >= 0 && why->total) {
        return (int)problem_verdict(why->list[0].problem);
    }
    return r;
}

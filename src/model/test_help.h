/* model/test_help.h - what the model's tests share: manifests written with single quotes, and sets
 * of changes as text. */
#ifndef MODEL_TEST_HELP_H
#define MODEL_TEST_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/catalog.h"

/* A manifest with ' for ". */
#define MANIFEST(kind, name, spec)                                                                 \
    "{'apiVersion': 'rhodes/v1', 'kind': '" kind "', 'metadata': {'name': '" name                  \
    "'}, 'spec': {" spec "}}"
#define LINK(spec)      "{'apiVersion': 'rhodes/v1', 'kind': 'Link', 'spec': {" spec "}}"
#define HIERARCHY(spec) MANIFEST("Hierarchy", "default", spec)
#define DEVICE          "'device': {'nic': {'interface': 'lo'}}"

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part))) {                                                             \
            fail_msg("'%s' does not contain '%s'", (text), (part));                                \
        }                                                                                          \
    } while (0)

static inline json_t *json_make(const char *text)
{
    char *copy = strdup(text);
    json_error_t error;
    json_t *value;

    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    value = json_loads(copy, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    free(copy);
    if (!value) {
        fail_msg("%s: %s", text, error.text);
    }
    return value;
}

static inline int object_try(const char *text, struct object **ret, struct refusal *why)
{
    json_t *document = json_make(text);
    int r = object_parse(document, "", ret, why);

    json_decref(document);
    return r;
}

static inline struct object *object_make(const char *text)
{
    struct object *o = NULL;
    struct refusal why;

    if (object_try(text, &o, &why)) {
        fail_msg("%s: %s: %s", text, why.pointer, why.detail);
    }
    return o;
}

/* "-services/tcp" deletes; anything else is a manifest to put. */
static inline struct change change_make(const char *text, size_t index)
{
    struct change x = { 0 };

    snprintf(x.pointer, sizeof(x.pointer), "/documents/%zu", index);
    if (*text == '-') {
        char collection[32];
        const char *cut = strchr(text, '/');

        snprintf(collection, sizeof(collection), "%.*s", (int)(cut - text - 1), text + 1);
        assert_int_equal(kind_from_collection(collection, &x.kind), 0);
        snprintf(x.name, sizeof(x.name), "%s", cut + 1);
        snprintf(x.pointer, sizeof(x.pointer), "/delete/%zu", index);
        x.remove = true;
    } else {
        x.object = object_make(text);
        x.kind = x.object->kind;
        strcpy(x.name, x.object->name);
    }
    return x;
}

#define CHANGES_MAX 16

/* Stages a NULL-terminated list of changes. */
static inline int stage(struct catalog *c, const char *const *texts, struct staging **ret,
                        struct refusals *why)
{
    struct change changes[CHANGES_MAX] = { 0 };
    size_t count = 0;
    int r;

    for (; texts[count]; count++) {
        changes[count] = change_make(texts[count], count);
    }
    r = catalog_stage(c, changes, count, ret, why);
    for (size_t i = 0; i < count; i++) {
        object_unref(changes[i].object);
    }
    return r;
}

#define SET(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif

/* The examples of docs/manifest.md hold: each is a manifest, all together are one change that is
 * accepted, every kind has one, and every field that some example could use is named in the
 * reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/manifest.h"
#include "model/catalog.h"

#define DOCUMENTS_MAX 32

static const char *path;

static char *file_read(void)
{
    static char text[1 << 17];
    FILE *file = fopen(path, "re");
    size_t n;

    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    assert_true(n > 0 && n < sizeof(text) - 1);
    text[n] = 0;
    fclose(file);
    return text;
}

/* Decodes every block between ```yaml and ```. */
static void examples_decode(const char *text, struct manifests *m)
{
    struct manifest_error why;

    while ((text = strstr(text, "```yaml\n"))) {
        const char *end = strstr(text += 8, "\n```");

        assert_non_null(end);
        if (manifests_decode(m, path, text, (size_t)(end - text), &why)) {
            fail_msg("%u:%u: %s", why.line, why.column, why.text);
        }
        text = end + 4;
    }
}

static void examples_stage(struct change *changes, size_t count)
{
    struct refusals *why = calloc(1, sizeof(*why));
    struct catalog *c = catalog_new();
    struct staging *s;

    if (catalog_stage(c, changes, count, &s, why)) {
        fail_msg("%s: %s", why->list[0].pointer, why->list[0].detail);
    }
    catalog_keep(c, s);
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        if (catalog_count(c, k) == 0) {
            fail_msg("there is no example of kind %s", kind_name(k));
        }
    }
    catalog_free(c);
    free(why);
}

static void the_examples_are_accepted_as_one_change(void **state)
{
    struct change changes[DOCUMENTS_MAX] = { 0 };
    struct manifests m = { 0 };

    examples_decode(file_read(), &m);
    assert_in_range(m.count, 6, DOCUMENTS_MAX);
    for (size_t i = 0; i < m.count; i++) {
        struct refusal why;

        if (object_parse(m.documents[i].json, "", &changes[i].object, &why)) {
            fail_msg("document %zu: %s: %s", i, why.pointer, why.detail);
        }
        changes[i].kind = changes[i].object->kind;
        strcpy(changes[i].name, changes[i].object->name);
        snprintf(changes[i].pointer, sizeof(changes[i].pointer), "/documents/%zu", i);
    }
    examples_stage(changes, m.count);
    for (size_t i = 0; i < m.count; i++) {
        object_unref(changes[i].object);
    }
    manifests_deinit(&m);
}

static void fields_named(const char *text, const json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    json_array_foreach(value, i, member)
    {
        fields_named(text, member);
    }
    json_object_foreach((json_t *)value, key, member)
    {
        char quoted[80];
        const char *found;

        if (strcmp(key, "labels") == 0 || strcmp(key, "env") == 0) {
            continue; /* their keys are the reader's own */
        }
        /* As `name`, or at the end of a longer path: `run.name`, `calls[].name`. */
        snprintf(quoted, sizeof(quoted), "%s`", key);
        found = strstr(text, quoted);
        while (found && found[-1] != '`' && found[-1] != '.') {
            found = strstr(found + 1, quoted);
        }
        if (!found) {
            fail_msg("the field %s is not in the reference", key);
        }
        fields_named(text, member);
    }
}

static void every_field_of_the_examples_is_in_the_reference(void **state)
{
    struct manifests m = { 0 };
    const char *text = file_read();

    examples_decode(text, &m);
    for (size_t i = 0; i < m.count; i++) {
        fields_named(text, m.documents[i].json);
    }
    manifests_deinit(&m);
}

static void the_functions_of_devices_are_in_the_reference(void **state)
{
    const char *text = file_read();

    for (enum device_kind k = DEVICE_NONE; k <= DEVICE_SIM; k++) {
        size_t count;
        const char *const *list = device_functions(k, &count);

        for (size_t i = 0; i < count; i++) {
            if (!strstr(text, list[i])) {
                fail_msg("%s is not in the reference", list[i]);
            }
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_are_accepted_as_one_change),
        cmocka_unit_test(every_field_of_the_examples_is_in_the_reference),
        cmocka_unit_test(the_functions_of_devices_are_in_the_reference),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_manifest_doc docs/manifest.md\n");
        return 2;
    }
    path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

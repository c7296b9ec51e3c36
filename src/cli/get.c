/* rhodes get: lists of objects, all pages of them. */
#include <string.h>

#include "cli/center.h"
#include "cli/kind.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

#define PAGE_ITEMS 500
#define PAGES_MAX  1000 /* a cursor that leads round in a circle ends here */

static int kind_fetch(struct cli *cli, const struct kind *kind, json_t *items)
{
    CLEANUP(memory_freep) char *cursor = text_copy("");

    for (int page = 0; page < PAGES_MAX; page++) {
        CLEANUP(answer_deinit) struct answer answer = { 0 };
        CLEANUP(memory_freep) char *encoded = segment_encode(cursor);
        CLEANUP(memory_freep)
        char *path = text_make("/v1/%s?limit=%d%s%s", kind->collection, PAGE_ITEMS,
                               *encoded ? "&cursor=" : "", encoded);
        int r = center_get(cli, path, &answer);

        if (r) {
            return r;
        }
        json_array_extend(items, json_object_get(answer.json, "items"));
        free(cursor);
        cursor = text_copy(json_text(answer.json, "next"));
        if (!*cursor) {
            return 0;
        }
    }
    return complain(cli, EXIT_FAILED, "the list of %s does not end", kind->collection);
}

static const json_t *spec_of(const json_t *object)
{
    return json_object_get(object, "spec");
}

static const char *or_dash(const char *text)
{
    return *text ? text : "-";
}

static void resource_row(struct table *t, const json_t *object)
{
    const json_t *spec = spec_of(object), *meta = json_object_get(object, "metadata"),
                 *device = json_object_get(spec, "device");
    CLEANUP(memory_freep) char *id = id_of(json_text(object, "kind"), json_text(meta, "name"));
    const char *program =
        json_string_value(json_array_get(json_object_get(json_object_get(spec, "run"), "exec"), 0));
    void *kind = device ? json_object_iter((json_t *)(uintptr_t)device) : NULL;

    table_put(t, "%s", id);
    table_put(t, "%llu", (unsigned long long)json_number(meta, "revision"));
    table_put(t, "%zu", json_array_size(json_object_get(spec, "provides")));
    table_put(t, "%zu", json_array_size(json_object_get(spec, "calls")));
    table_put(t, "%s", program ? program : kind ? json_object_iter_key(kind) : "-");
}

static void link_row(struct table *t, const json_t *object)
{
    const json_t *spec = spec_of(object);
    bool denied = strcmp(json_text(spec, "access"), "deny") == 0;

    table_put(t, "%s", json_text(spec, "caller"));
    table_put(t, "%s", json_text(spec, "callee"));
    table_put(t, "%s", denied ? "deny" : "allow");
    table_ink(t, denied ? INK_RED : INK_GREEN);
    table_put(t, "%s", or_dash(json_text(spec, "protocol")));
    table_put(t, "%s", or_dash(json_text(spec, "timeout")));
    table_put(t, "%llu",
              (unsigned long long)json_number(json_object_get(object, "metadata"), "revision"));
}

static void hierarchy_row(struct table *t, const json_t *object)
{
    const json_t *spec = spec_of(object), *meta = json_object_get(object, "metadata");

    table_put(t, "hierarchies/%s", json_text(meta, "name"));
    table_put(t, "%s", *json_text(spec, "mode") ? json_text(spec, "mode") : "below");
    table_put(t, "%zu", json_array_size(json_object_get(spec, "edges")));
    table_put(t, "%llu", (unsigned long long)json_number(meta, "revision"));
}

static void table_of(struct cli *cli, const json_t *items, bool (*wanted)(const struct kind *),
                     const char *const *heads, size_t columns,
                     void (*row)(struct table *, const json_t *))
{
    struct table t;
    json_t *item;
    size_t i;

    table_init(&t, heads, columns);
    json_array_foreach(items, i, item)
    {
        const char *name = json_text(item, "kind");
        const struct kind *kind = kind_find(name, strlen(name));

        if (kind && wanted(kind)) {
            row(&t, item);
        }
    }
    if (t.used > columns) {
        table_print(&t, cli);
    }
    table_deinit(&t);
}

static bool wants_resources(const struct kind *kind)
{
    return kind->layer != NULL;
}

static bool wants_links(const struct kind *kind)
{
    return strcmp(kind->name, "Link") == 0;
}

static bool wants_hierarchies(const struct kind *kind)
{
    return strcmp(kind->name, "Hierarchy") == 0;
}

static void tables_print(struct cli *cli, const json_t *items)
{
    static const char *const resource[] = { "RESOURCE", "REVISION", "PROVIDES", "CALLS", "RUN" };
    static const char *const link[] = { "CALLER",   "CALLEE",  "ACCESS",
                                        "PROTOCOL", "TIMEOUT", "REVISION" };
    static const char *const hierarchy[] = { "HIERARCHY", "MODE", "EDGES", "REVISION" };

    table_of(cli, items, wants_resources, resource, 5, resource_row);
    table_of(cli, items, wants_links, link, 6, link_row);
    table_of(cli, items, wants_hierarchies, hierarchy, 4, hierarchy_row);
}

static void items_print(struct cli *cli, const json_t *items, bool single)
{
    json_t *item;
    size_t i;

    if (cli->output == OUTPUT_TABLE) {
        tables_print(cli, items);
        return;
    }
    if (cli->output == OUTPUT_NAME) {
        json_array_foreach(items, i, item)
        {
            CLEANUP(memory_freep)
            char *id = id_of(json_text(item, "kind"),
                             json_text(json_object_get(item, "metadata"), "name"));

            say(cli->out, "%s", id);
        }
        return;
    }
    if (single) {
        show_value(cli, json_array_get(items, 0));
    } else {
        show_items(cli, items);
    }
}

static int object_fetch(struct cli *cli, const struct named *named, json_t *items)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep) char *path = path_make(named);
    int r = center_get(cli, path, &answer);

    if (!r) {
        json_array_append(items, answer.json);
    }
    return r;
}

int get_run(struct cli *cli, const struct arguments *arguments)
{
    const char *first = arguments->positional[0], *second = first ? arguments->positional[1] : NULL;
    const struct kind *kind = first ? kind_find(first, strlen(first)) : NULL;
    json_t *items = json_array();
    struct named named;
    int r = 0;

    for (size_t i = 0; !first && i < KINDS && !r; i++) {
        r = kind_fetch(cli, &kinds[i], items);
    }
    if (first && kind && !second) {
        r = kind_fetch(cli, kind, items);
    } else if (first) {
        /* a word that is no kind is refused with the nearest one, not with the missing name */
        bool unknown = !strchr(first, '/') && !kind;

        r = named_parse(cli, first, unknown && !second ? "?" : second, &named);
        r = r ? r : object_fetch(cli, &named, items);
    }
    if (!r && json_array_size(items) == 0 && cli->output == OUTPUT_TABLE) {
        report(cli, "no %s are registered", kind ? kind->collection : "objects");
    } else if (!r) {
        items_print(cli, items, first && !(kind && !second));
    }
    json_decref(items);
    return r;
}

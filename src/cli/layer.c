/* rhodes layer: the hierarchical rule. Which layer calls which is drawn from the mode; single pairs
 * that an added edge allows are listed below, since they are exceptions and shall look like some.
 */
#include <string.h>

#include "cli/edit.h"
#include "cli/show.h"
#include "cli/text.h"

static const char *const layers[] = { "application", "service", "driver", "hardware" };
#define LAYERS 4

static const struct named hierarchy = { &kinds[5], "default" };

/* Where the edge stands in the list, or its size when it is not there. */
static size_t edge_index(const json_t *edges, const char *from, const char *to)
{
    size_t i;
    json_t *edge;

    json_array_foreach(edges, i, edge)
    {
        if (strcmp(json_text(edge, "from"), from) == 0 && strcmp(json_text(edge, "to"), to) == 0) {
            return i;
        }
    }
    return json_array_size(edges);
}

static void rule_print(struct cli *cli, const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec"), *edges = json_object_get(spec, "edges");
    bool strict = strcmp(json_text(spec, "mode"), "strict") == 0;
    size_t count = json_array_size(edges), i;
    bool added = false;
    struct table t;
    json_t *edge;

    say(cli->out, "mode %s (revision %llu): a layer calls %s", strict ? "strict" : "below",
        (unsigned long long)json_number(json_object_get(object, "metadata"), "revision"),
        strict ? "the next layer below only" : "any layer below it");
    table_init(&t, NULL, LAYERS + 1);
    table_put(&t, "%s", "");
    for (size_t to = 0; to < LAYERS; to++) {
        table_put(&t, "%s", layers[to]);
        table_ink(&t, INK_BOLD);
    }
    for (size_t from = 0; from < LAYERS; from++) {
        table_put(&t, "%s", layers[from]);
        table_ink(&t, INK_BOLD);
        for (size_t to = 0; to < LAYERS; to++) {
            bool by_mode = strict ? to == from + 1 : to > from,
                 by_edge = !by_mode && edge_index(edges, layers[from], layers[to]) < count;

            added = added || by_edge;
            table_put(&t, "%s", by_mode ? "1" : by_edge ? "+" : ".");
            table_ink(&t, by_mode || by_edge ? INK_GREEN : INK_DIM);
        }
    }
    table_print(&t, cli);
    table_deinit(&t);
    if (added) {
        say(cli->out, "rows call columns: 1 by the mode, + by an added edge");
    }
    json_array_foreach(edges, i, edge)
    {
        say(cli->out, "and %s -> %s%s", json_text(edge, "from"), json_text(edge, "to"),
            json_flag(edge, "upcall") ? " (upcall)" : "");
    }
}

int layer_show_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    int r = center_get(cli, "/v1/hierarchies/default", &answer);

    if (r) {
        return r;
    }
    switch (cli->output) {
    case OUTPUT_TABLE:
        rule_print(cli, answer.json);
        break;
    case OUTPUT_NAME:
        say(cli->out, "hierarchies/default");
        break;
    case OUTPUT_JSON:
    case OUTPUT_YAML:
        show_value(cli, answer.json);
        break;
    }
    return EXIT_DONE;
}

/* "driver/rogue:service" into its ends, for the caller to free. */
static int ends_parse(struct cli *cli, const char *text, char **ret_from, char **ret_to)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text || colon[1] == 0 || strchr(colon + 1, ':')) {
        return complain(cli, EXIT_USAGE,
                        "'%s' is not an edge; write CALLER:CALLEE, each a layer or LAYER/NAME",
                        text);
    }
    *ret_from = text_make("%.*s", (int)(colon - text), text);
    *ret_to = text_copy(colon + 1);
    return 0;
}

static int edge_change(struct cli *cli, json_t *edges, const char *text, bool add, bool upcall)
{
    CLEANUP(memory_freep) char *from = NULL;
    CLEANUP(memory_freep) char *to = NULL;
    int r = ends_parse(cli, text, &from, &to);
    size_t at;

    if (r) {
        return r;
    }
    at = edge_index(edges, from, to);
    if (!add && at == json_array_size(edges)) {
        return complain(cli, EXIT_FAILED,
                        "the rule has no added edge %s -> %s; rhodes layer show lists them", from,
                        to);
    }
    if (at < json_array_size(edges)) {
        json_array_remove(edges, at);
    }
    if (add) {
        json_t *edge = json_pack("{s:s, s:s}", "from", from, "to", to);

        if (upcall) {
            json_object_set_new(edge, "upcall", json_true());
        }
        json_array_append_new(edges, edge);
    }
    return 0;
}

static int on_edit(struct cli *cli, const struct arguments *arguments, json_t *spec, void *data)
{
    const char *mode = option_value(arguments, "mode", NULL), *edge;
    json_t *edges = json_object_get(spec, "edges");
    int r = 0;

    if (!edges) {
        edges = json_array();
        json_object_set_new(spec, "edges", edges);
    }
    if (mode) {
        json_object_set_new(spec, "mode", json_string(mode));
    }
    for (size_t i = 0; !r && (edge = option_each(arguments, "remove-edge", i)); i++) {
        r = edge_change(cli, edges, edge, false, false);
    }
    for (size_t i = 0; !r && (edge = option_each(arguments, "add-edge", i)); i++) {
        r = edge_change(cli, edges, edge, true, option_given(arguments, "upcall"));
    }
    return r;
}

static int edges_check(struct cli *cli, const struct arguments *arguments, const char *option)
{
    const char *edge;
    int r = 0;

    for (size_t i = 0; !r && (edge = option_each(arguments, option, i)); i++) {
        CLEANUP(memory_freep) char *from = NULL;
        CLEANUP(memory_freep) char *to = NULL;

        r = ends_parse(cli, edge, &from, &to);
    }
    return r;
}

int layer_set_run(struct cli *cli, const struct arguments *arguments)
{
    int r = edges_check(cli, arguments, "remove-edge");

    r = r ? r : edges_check(cli, arguments, "add-edge");
    if (r) {
        return r;
    }
    if (!option_given(arguments, "mode") && !option_given(arguments, "add-edge") &&
        !option_given(arguments, "remove-edge")) {
        return complain(cli, EXIT_USAGE, "layer set needs --mode, --add-edge or --remove-edge");
    }
    if (option_given(arguments, "upcall") && !option_given(arguments, "add-edge")) {
        return complain(cli, EXIT_USAGE, "--upcall goes with --add-edge");
    }
    return object_edit(cli, arguments, &hierarchy, on_edit, NULL);
}

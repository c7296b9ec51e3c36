/* rhodes matrix: the paper's invocation matrix over the union of A, S, D and H. Only rows that call
 * and columns that are called are drawn, numbered by set (A1, S2), with the names above; what does
 * not fit the width folds to a list of edges. */
#include <string.h>

#include "cli/center.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

static const char sets[] = "ASDH";

/* Where an id stands in its set, from 1; 0 when it is in none. */
static size_t place_find(const json_t *matrix, const char *id, char *ret_set)
{
    for (const char *set = sets; *set; set++) {
        char name[2] = { *set, 0 };
        const json_t *ids = json_object_get(json_object_get(matrix, "sets"), name);

        for (size_t i = 0; i < json_array_size(ids); i++) {
            const char *other = json_string_value(json_array_get(ids, i));

            if (other && strcmp(other, id) == 0) {
                *ret_set = *set;
                return i + 1;
            }
        }
    }
    return 0;
}

static void sets_print(struct cli *cli, const json_t *matrix)
{
    for (const char *set = sets; *set; set++) {
        char name[2] = { *set, 0 };
        const json_t *ids = json_object_get(json_object_get(matrix, "sets"), name);
        char *line = text_make("%s = {", name);

        for (size_t i = 0; i < json_array_size(ids); i++) {
            const char *id = json_string_value(json_array_get(ids, i)),
                       *slash = id ? strchr(id, '/') : NULL;
            char *more = text_make("%s%s %s%zu %s", line, i ? "," : "", name, i + 1,
                                   slash ? slash + 1 : "?");

            free(line);
            line = more;
        }
        say(cli->out, "%s }", line);
        free(line);
    }
}

static const json_t *edge_find(const json_t *edges, const char *caller, const char *callee)
{
    json_t *edge;
    size_t i;

    json_array_foreach(edges, i, edge)
    {
        if (strcmp(json_text(edge, "caller"), caller) == 0 &&
            strcmp(json_text(edge, "callee"), callee) == 0) {
            return edge;
        }
    }
    return NULL;
}

/* The ids that stand at one end of some edge, in the order of the sets. */
static json_t *ends_collect(const json_t *matrix, const char *end)
{
    const json_t *edges = json_object_get(matrix, "edges");
    json_t *used = json_object(), *ordered = json_array(), *edge, *id;
    size_t i;

    json_array_foreach(edges, i, edge)
    {
        json_object_set_new(used, json_text(edge, end), json_true());
    }
    for (const char *set = sets; *set; set++) {
        char name[2] = { *set, 0 };

        json_array_foreach(json_object_get(json_object_get(matrix, "sets"), name), i, id)
        {
            if (json_is_string(id) && json_object_get(used, json_string_value(id))) {
                json_array_append(ordered, id);
            }
        }
    }
    json_decref(used);
    return ordered;
}

static void label_put(struct table *t, const json_t *matrix, const char *id)
{
    char set = '?';
    size_t place = place_find(matrix, id, &set);

    table_put(t, "%c%zu", set, place);
    table_ink(t, INK_BOLD);
}

static void grid_print(struct cli *cli, const json_t *matrix, const json_t *callers,
                       const json_t *callees)
{
    const json_t *edges = json_object_get(matrix, "edges");
    size_t columns = json_array_size(callees) + 1, i, j;
    json_t *caller, *callee;
    struct table t;

    table_init(&t, NULL, columns);
    table_put(&t, "%s", "");
    json_array_foreach(callees, j, callee)
    {
        label_put(&t, matrix, json_string_value(callee));
    }
    json_array_foreach(callers, i, caller)
    {
        label_put(&t, matrix, json_string_value(caller));
        json_array_foreach(callees, j, callee)
        {
            const json_t *edge =
                edge_find(edges, json_string_value(caller), json_string_value(callee));

            table_put(&t, "%s", !edge ? "." : json_flag(edge, "allowed") ? "1" : "x");
            table_ink(&t, !edge ? INK_DIM : json_flag(edge, "allowed") ? INK_GREEN : INK_RED);
        }
    }
    table_print(&t, cli);
    table_deinit(&t);
}

static void edges_print(struct cli *cli, const json_t *matrix)
{
    static const char *const heads[] = { "CALLER",   "CALLEE",  "ALLOWED",
                                         "PROTOCOL", "TIMEOUT", "RULE" };
    struct table t;
    json_t *edge;
    size_t i;

    table_init(&t, heads, 6);
    json_array_foreach(json_object_get(matrix, "edges"), i, edge)
    {
        bool allowed = json_flag(edge, "allowed");

        table_put(&t, "%s", json_text(edge, "caller"));
        table_put(&t, "%s", json_text(edge, "callee"));
        table_put(&t, "%s", allowed ? "1" : "x");
        table_ink(&t, allowed ? INK_GREEN : INK_RED);
        table_put(&t, "%s", json_text(edge, "protocol"));
        table_put(&t, "%s", json_text(edge, "timeout"));
        table_put(&t, "%s since revision %llu", json_text(edge, "rule"),
                  (unsigned long long)json_number(edge, "revision"));
    }
    table_print(&t, cli);
    table_deinit(&t);
}

static void matrix_print(struct cli *cli, const json_t *matrix, bool as_edges)
{
    json_t *callers = ends_collect(matrix, "caller"), *callees = ends_collect(matrix, "callee");
    size_t width = (json_array_size(callees) + 1) * 5,
           marks = json_array_size(callers) * json_array_size(callees);

    report(cli, "revision %llu", (unsigned long long)json_number(matrix, "revision"));
    if (json_array_size(json_object_get(matrix, "edges")) == 0) {
        sets_print(cli, matrix);
        report(cli, "nothing calls anything");
    } else if (as_edges || width > cli->width || marks > 10000) {
        edges_print(cli, matrix);
    } else {
        sets_print(cli, matrix);
        fputc('\n', cli->out);
        grid_print(cli, matrix, callers, callees);
        report(cli, "rows call columns: 1 allowed, x denied by a link, . no reference");
    }
    json_decref(callers);
    json_decref(callees);
}

int matrix_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    int r = center_get(cli, "/v1/matrix", &answer);
    json_t *edge;
    size_t i;

    if (r) {
        return r;
    }
    switch (cli->output) {
    case OUTPUT_TABLE:
        matrix_print(cli, answer.json, option_given(arguments, "edges"));
        break;
    case OUTPUT_NAME:
        json_array_foreach(json_object_get(answer.json, "edges"), i, edge)
        {
            say(cli->out, "%s:%s", json_text(edge, "caller"), json_text(edge, "callee"));
        }
        break;
    case OUTPUT_JSON:
    case OUTPUT_YAML:
        show_value(cli, answer.json);
        break;
    }
    return EXIT_DONE;
}

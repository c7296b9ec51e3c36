/* rhodes link: the static rule of one pair of caller and callee. */
#include <string.h>

#include "cli/edit.h"
#include "cli/show.h"
#include "cli/text.h"

struct pair {
    struct named caller, callee, link;
    char *caller_id, *callee_id;
    const char *access; /* "allow", "deny", or NULL: as it is */
};

static void pair_deinit(struct pair *p)
{
    free(p->caller_id);
    free(p->callee_id);
}

static int pair_parse(struct cli *cli, const struct arguments *arguments, struct pair *ret)
{
    CLEANUP(memory_freep) char *caller = NULL;
    CLEANUP(memory_freep) char *callee = NULL;
    int r = id_parse(cli, arguments->positional[0], &ret->caller), n;

    r = r ? r : id_parse(cli, arguments->positional[1], &ret->callee);
    if (r) {
        return r;
    }
    caller = id_dotted(&ret->caller);
    callee = id_dotted(&ret->callee);
    ret->link.kind = kind_find("Link", 4);
    n = snprintf(ret->link.name, sizeof(ret->link.name), "%s:%s", caller, callee);
    if (n < 0 || n >= (int)sizeof(ret->link.name)) {
        return complain(cli, EXIT_USAGE, "the names are too long for a link");
    }
    ret->caller_id = id_make(ret->caller.kind, ret->caller.name);
    ret->callee_id = id_make(ret->callee.kind, ret->callee.name);
    return 0;
}

static int on_edit(struct cli *cli, const struct arguments *arguments, json_t *spec, void *data)
{
    const struct pair *p = data;
    const char *protocol = option_value(arguments, "protocol", NULL),
               *timeout = option_value(arguments, "timeout", NULL);

    json_object_set_new(spec, "caller", json_string(p->caller_id));
    json_object_set_new(spec, "callee", json_string(p->callee_id));
    if (p->access) {
        json_object_set_new(spec, "access", json_string(p->access));
    }
    if (protocol) {
        json_object_set_new(spec, "protocol", json_string(protocol));
    }
    if (timeout) {
        json_object_set_new(spec, "timeout", json_string(timeout));
    }
    return 0;
}

static int link_change(struct cli *cli, const struct arguments *arguments, const char *access)
{
    CLEANUP(pair_deinit) struct pair pair = { .access = access };
    int r = pair_parse(cli, arguments, &pair);

    return r ? r : object_edit(cli, arguments, &pair.link, on_edit, &pair);
}

int link_set_run(struct cli *cli, const struct arguments *arguments)
{
    if (!option_given(arguments, "protocol") && !option_given(arguments, "timeout")) {
        return complain(cli, EXIT_USAGE, "link set needs --protocol or --timeout");
    }
    return link_change(cli, arguments, NULL);
}

int link_allow_run(struct cli *cli, const struct arguments *arguments)
{
    return link_change(cli, arguments, "allow");
}

int link_deny_run(struct cli *cli, const struct arguments *arguments)
{
    return link_change(cli, arguments, "deny");
}

static void edge_print(struct cli *cli, const json_t *edge, bool has_link)
{
    bool allowed = json_flag(edge, "allowed");
    struct table t;

    table_init(&t, NULL, 2);
    table_put(&t, "caller");
    table_put(&t, "%s", json_text(edge, "caller"));
    table_put(&t, "callee");
    table_put(&t, "%s", json_text(edge, "callee"));
    table_put(&t, "access");
    table_put(&t, "%s", allowed ? "allowed" : "denied");
    table_ink(&t, allowed ? INK_GREEN : INK_RED);
    table_put(&t, "protocol");
    table_put(&t, "%s", json_text(edge, "protocol"));
    table_put(&t, "timeout");
    table_put(&t, "%s", json_text(edge, "timeout"));
    table_put(&t, "rule");
    table_put(&t, "%s since revision %llu", json_text(edge, "rule"),
              (unsigned long long)json_number(edge, "revision"));
    table_put(&t, "link");
    table_put(&t, "%s", has_link ? "set" : "none: as the caller's manifest says");
    table_print(&t, cli);
    table_deinit(&t);
}

int link_show_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(pair_deinit) struct pair pair = { 0 };
    CLEANUP(answer_deinit) struct answer matrix = { 0 };
    CLEANUP(answer_deinit) struct answer link = { 0 };
    CLEANUP(memory_freep) char *path = NULL;
    struct request request = { .method = "GET" };
    json_t *edge;
    size_t i;
    int r = pair_parse(cli, arguments, &pair);

    if (r) {
        return r;
    }
    path = path_make(&pair.link);
    request.path = path;
    r = center_get(cli, "/v1/matrix", &matrix);
    r = r ? r : center_ask(cli, &request, &link);
    if (r) {
        return r;
    }
    json_array_foreach(json_object_get(matrix.json, "edges"), i, edge)
    {
        if (strcmp(json_text(edge, "caller"), pair.caller_id) == 0 &&
            strcmp(json_text(edge, "callee"), pair.callee_id) == 0) {
            if (cli->output == OUTPUT_TABLE) {
                edge_print(cli, edge, link.status == 200);
            } else if (cli->output == OUTPUT_NAME) {
                say(cli->out, "links/%s", pair.link.name);
            } else {
                show_value(cli, edge);
            }
            return EXIT_DONE;
        }
    }
    complain(cli, 0, "no registered reference joins %s and %s", pair.caller_id, pair.callee_id);
    say(cli->err, "  hint: declare it under spec.calls of %s", pair.caller_id);
    return EXIT_FAILED;
}

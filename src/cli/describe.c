/* rhodes describe: one object and everything around it, in one answer for a person: what it is,
 * what it offers, whom it calls and by which rule, who calls it, and how its agent is. */
#include <string.h>

#include "cli/center.h"
#include "cli/kind.h"
#include "cli/options.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

static void head_print(struct cli *cli, const char *text)
{
    fputs(cli->colour ? "\033[1m" : "", cli->out);
    fprintf(cli->out, "%s", text);
    fputs(cli->colour ? "\033[0m\n" : "\n", cli->out);
}

/* "a b c" of a list of texts, or "k=v k=v" of an object of texts; for the caller to free. */
static char *words_make(const json_t *value)
{
    char *words = text_copy("");
    const char *name;
    json_t *member;
    size_t i;

    json_array_foreach(value, i, member)
    {
        const char *text = json_string_value(member);
        char *more = text_make("%s%s%s", words, i ? " " : "", text ? text : "?");

        free(words);
        words = more;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        CLEANUP(memory_freep) char *other = json_dumps(member, JSON_ENCODE_ANY | JSON_COMPACT);
        const char *text = json_is_string(member) ? json_string_value(member) : other;
        char *more = text_make("%s%s%s=%s", words, *words ? " " : "", name, text ? text : "?");

        free(words);
        words = more;
    }
    return words;
}

static void row_put(struct table *t, const char *name, const char *text)
{
    if (*text) {
        table_put(t, "  %s", name);
        table_put(t, "%s", text);
    }
}

static void object_print(struct cli *cli, const char *id, const json_t *object)
{
    const json_t *meta = json_object_get(object, "metadata"),
                 *spec = json_object_get(object, "spec");
    const json_t *run = json_object_get(spec, "run");
    CLEANUP(memory_freep) char *labels = words_make(json_object_get(meta, "labels"));
    CLEANUP(memory_freep) char *command = words_make(json_object_get(run, "exec"));
    CLEANUP(memory_freep) char *environment = words_make(json_object_get(run, "env"));
    CLEANUP(memory_freep) char *device = words_make(json_object_get(spec, "device"));
    struct table t;

    say(cli->out, "%s (revision %llu, created at revision %llu)", id,
        (unsigned long long)json_number(meta, "revision"),
        (unsigned long long)json_number(meta, "createdRevision"));
    table_init(&t, NULL, 2);
    row_put(&t, "labels", labels);
    row_put(&t, "privilege", json_text(spec, "privilege"));
    row_put(&t, "run", command);
    row_put(&t, "environment", environment);
    row_put(&t, "directory", json_text(run, "directory"));
    row_put(&t, "restart", json_text(run, "restart"));
    row_put(&t, "device", device);
    for (const char *const *field = (const char *const[]){ "caller", "callee", "access", "protocol",
                                                           "timeout", "mode", NULL };
         *field; field++) {
        row_put(&t, *field, json_text(spec, *field));
    }
    table_print(&t, cli);
    table_deinit(&t);
}

static void functions_print(struct cli *cli, const json_t *spec)
{
    const json_t *provides = json_object_get(spec, "provides");
    const char *types = json_text(spec, "types");
    json_t *one;
    size_t i;

    if (json_array_size(provides) == 0) {
        return;
    }
    head_print(cli, "provides");
    json_array_foreach(provides, i, one)
    {
        say(cli->out, "  %s", json_text(one, "function"));
    }
    while (*types) {
        size_t n = strcspn(types, "\n");

        if (n) {
            say(cli->out, "  %.*s", (int)(n < 8192 ? n : 8192), types);
        }
        types += n + (types[n] != 0);
    }
}

static void edges_print(struct cli *cli, const char *title, const json_t *edges,
                        const char *other_end)
{
    struct table t;
    json_t *edge;
    size_t i;

    if (json_array_size(edges) == 0) {
        return;
    }
    head_print(cli, title);
    table_init(&t, NULL, 5);
    json_array_foreach(edges, i, edge)
    {
        bool allowed = json_flag(edge, "allowed");

        table_put(&t, "  %s", json_text(edge, other_end));
        table_put(&t, "%s", json_text(edge, "protocol"));
        table_put(&t, "%s", json_text(edge, "timeout"));
        table_put(&t, "%s", allowed ? "allowed" : "denied");
        table_ink(&t, allowed ? INK_GREEN : INK_RED);
        table_put(&t, "by %s since revision %llu", json_text(edge, "rule"),
                  (unsigned long long)json_number(edge, "revision"));
    }
    table_print(&t, cli);
    table_deinit(&t);
}

/* What an agent that has ended last said of its rules and its program is old news: left out. */
static void agent_live_print(struct cli *cli, const char *dotted, const json_t *agent)
{
    const json_t *program = json_object_get(agent, "program");
    const char *state = json_text(program, "state");
    bool in_sync = json_flag(agent, "inSync");
    unsigned long long pid = json_number(program, "pid");

    say(cli->out, "  %s: revision %llu applied, %llu pushed, %llu wanted",
        in_sync ? "in sync" : "NOT in sync", (unsigned long long)json_number(agent, "applied"),
        (unsigned long long)json_number(agent, "pushed"),
        (unsigned long long)json_number(agent, "wanted"));
    if (pid) {
        say(cli->out, "  program %s, pid %llu", state, pid);
    } else if (strcmp(state, "failed") == 0) {
        say(cli->out, "  program failed; why: rhodes events, %s/agents/%s/program.log", cli->home,
            dotted);
    } else {
        say(cli->out, "  program %s", state);
    }
}

static void agent_print(struct cli *cli, const char *dotted, const json_t *agent)
{
    const char *state = json_text(agent, "state");
    bool ended = strcmp(state, "stopped") == 0 || strcmp(state, "lost") == 0;
    const json_t *counters = json_object_get(agent, "counters");
    const json_t *rejected = json_object_get(agent, "rejected");

    head_print(cli, "agent");
    say(cli->out, "  %s since %s, %s %llu, %llu restarts, %s", state, json_text(agent, "since"),
        ended ? "was pid" : "pid", (unsigned long long)json_number(agent, "pid"),
        (unsigned long long)json_number(agent, "restarts"),
        json_flag(agent, "managed") ? "started by the center" : "started by a person");
    if (!ended) {
        agent_live_print(cli, dotted, agent);
    }
    if (rejected) {
        say(cli->out, "  refuses revision %llu: %s: %s",
            (unsigned long long)json_number(rejected, "revision"), json_text(rejected, "verdict"),
            json_text(rejected, "reason"));
    }
    say(cli->out,
        "  calls: %llu out, %llu in, %llu refused, %llu failed, %llu timed out, %llu changes of "
        "protocol",
        (unsigned long long)json_number(counters, "callsOut"),
        (unsigned long long)json_number(counters, "callsIn"),
        (unsigned long long)json_number(counters, "refused"),
        (unsigned long long)json_number(counters, "failed"),
        (unsigned long long)json_number(counters, "timeouts"),
        (unsigned long long)json_number(counters, "switches"));
}

static json_t *edges_of(const json_t *matrix, const char *end, const char *id)
{
    json_t *found = json_array(), *edge;
    size_t i;

    json_array_foreach(json_object_get(matrix, "edges"), i, edge)
    {
        if (strcmp(json_text(edge, end), id) == 0) {
            json_array_append(found, edge);
        }
    }
    return found;
}

/* The agent's JSON, or JSON null when it has none. */
static int agent_fetch(struct cli *cli, const struct named *named, json_t **ret)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep) char *dotted = id_dotted(named);
    CLEANUP(memory_freep) char *segment = segment_encode(dotted);
    CLEANUP(memory_freep) char *path = text_make("/v1/agents/%s", segment);
    struct request request = { .method = "GET", .path = path };
    int r = center_ask(cli, &request, &answer);

    if (!r && answer.status != 404) {
        r = answer_check(cli, &answer, NULL);
    }
    if (!r) {
        *ret = answer.status == 404 ? json_null() : json_incref(answer.json);
    }
    return r;
}

static int around_fetch(struct cli *cli, const struct named *named, const char *id, json_t *all)
{
    CLEANUP(answer_deinit) struct answer matrix = { 0 };
    json_t *agent = NULL;
    int r;

    if (!named->kind->layer) {
        return 0;
    }
    r = center_get(cli, "/v1/matrix", &matrix);
    if (r) {
        return r;
    }
    json_object_set_new(all, "calls", edges_of(matrix.json, "caller", id));
    json_object_set_new(all, "calledBy", edges_of(matrix.json, "callee", id));
    r = agent_fetch(cli, named, &agent);
    if (!r) {
        json_object_set_new(all, "agent", agent);
    }
    return r;
}

static void all_print(struct cli *cli, const struct named *named, const char *id, const json_t *all)
{
    const json_t *object = json_object_get(all, "object"), *agent = json_object_get(all, "agent");
    const json_t *edges = json_object_get(json_object_get(object, "spec"), "edges");
    json_t *edge;
    size_t i;

    object_print(cli, id, object);
    functions_print(cli, json_object_get(object, "spec"));
    if (json_array_size(edges)) {
        head_print(cli, "added edges");
        json_array_foreach(edges, i, edge)
        {
            say(cli->out, "  %s -> %s%s", json_text(edge, "from"), json_text(edge, "to"),
                json_flag(edge, "upcall") ? " (upcall)" : "");
        }
    }
    edges_print(cli, "calls", json_object_get(all, "calls"), "callee");
    edges_print(cli, "called by", json_object_get(all, "calledBy"), "caller");
    if (json_is_object(agent)) {
        CLEANUP(memory_freep) char *dotted = id_dotted(named);

        agent_print(cli, dotted, agent);
    } else if (named->kind->layer) {
        head_print(cli, "agent");
        say(cli->out, "  none; start one with: rhodes run --as %s -- COMMAND", id);
    }
}

int describe_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer object = { 0 };
    CLEANUP(memory_freep) char *path = NULL;
    CLEANUP(memory_freep) char *id = NULL;
    struct named named;
    json_t *all;
    int r = named_parse(cli, arguments->positional[0], arguments->positional[1], &named);

    if (r) {
        return r;
    }
    path = path_make(&named);
    id = id_make(named.kind, named.name);
    r = center_get(cli, path, &object);
    if (r) {
        return r;
    }
    all = json_pack("{s:O}", "object", object.json);
    r = around_fetch(cli, &named, id, all);
    if (!r && cli->output == OUTPUT_TABLE) {
        all_print(cli, &named, id, all);
    } else if (!r && cli->output == OUTPUT_NAME) {
        say(cli->out, "%s", id);
    } else if (!r) {
        show_value(cli, all);
    }
    json_decref(all);
    return r;
}

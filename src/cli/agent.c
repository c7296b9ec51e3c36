/* rhodes agent list: every agent, its state, and whether the rules that were stored are the rules
 * in force. */
#include <string.h>

#include "cli/center.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

static void agent_row(struct table *t, const json_t *agent)
{
    const char *state = json_text(agent, "state");
    bool ready = strcmp(state, "ready") == 0, in_sync = json_flag(agent, "inSync"),
         stopped = strcmp(state, "stopped") == 0; /* in good order: nothing is expected of it */
    const json_t *program = json_object_get(agent, "program"),
                 *counters = json_object_get(agent, "counters");
    const json_t *rejected = json_object_get(agent, "rejected");

    table_put(t, "%s", json_text(agent, "resource"));
    table_put(t, "%s", state);
    table_ink(t, ready ? INK_GREEN : stopped ? INK_NONE : INK_RED);
    table_put(t, "%llu", (unsigned long long)json_number(agent, "pid"));
    table_put(t, "%s", json_text(program, "state"));
    table_put(t, "%llu/%llu", (unsigned long long)json_number(agent, "applied"),
              (unsigned long long)json_number(agent, "wanted"));
    table_put(t, "%s", stopped ? "-" : in_sync ? "yes" : rejected ? "refused" : "no");
    table_ink(t, stopped ? INK_NONE : in_sync ? INK_GREEN : INK_RED);
    table_put(t, "%llu", (unsigned long long)json_number(agent, "restarts"));
    table_put(t, "%llu", (unsigned long long)json_number(counters, "callsOut"));
    table_put(t, "%llu", (unsigned long long)json_number(counters, "callsIn"));
    table_put(t, "%llu", (unsigned long long)json_number(counters, "refused"));
}

static void agents_print(struct cli *cli, const json_t *items)
{
    static const char *const heads[] = { "AGENT",   "STATE",    "PID", "PROGRAM", "APPLIED",
                                         "IN-SYNC", "RESTARTS", "OUT", "IN",      "REFUSED" };
    struct table t;
    json_t *agent;
    size_t i;

    if (json_array_size(items) == 0) {
        report(cli, "no agents");
        return;
    }
    table_init(&t, heads, 10);
    json_array_foreach(items, i, agent)
    {
        agent_row(&t, agent);
    }
    table_print(&t, cli);
    table_deinit(&t);
    json_array_foreach(items, i, agent)
    {
        const json_t *rejected = json_object_get(agent, "rejected");

        if (rejected) {
            say(cli->out, "%s refuses revision %llu: %s: %s", json_text(agent, "resource"),
                (unsigned long long)json_number(rejected, "revision"),
                json_text(rejected, "verdict"), json_text(rejected, "reason"));
        }
    }
}

int agent_list_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    int r = center_get(cli, "/v1/agents", &answer);
    const json_t *items;
    json_t *agent;
    size_t i;

    if (r) {
        return r;
    }
    items = json_object_get(answer.json, "items");
    switch (cli->output) {
    case OUTPUT_TABLE:
        agents_print(cli, items);
        break;
    case OUTPUT_NAME:
        json_array_foreach(items, i, agent)
        {
            say(cli->out, "%s", json_text(agent, "resource"));
        }
        break;
    case OUTPUT_JSON:
    case OUTPUT_YAML:
        show_value(cli, answer.json);
        break;
    }
    return EXIT_DONE;
}

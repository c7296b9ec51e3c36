/* rhodes status: the center in a few lines. */
#include <string.h>

#include "cli/center.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

/* What the figures above do not tell: who is gone, and who did not come up. */
static void trouble_put(struct table *t, const json_t *agent)
{
    const char *id = json_text(agent, "resource"), *state = json_text(agent, "state"),
               *program = json_text(json_object_get(agent, "program"), "state");
    bool gone = strcmp(state, "lost") == 0 || strcmp(state, "failed") == 0,
         down = strcmp(state, "ready") == 0 && strcmp(program, "failed") == 0;

    if (gone || down) {
        table_put(t, "%s", gone ? state : program);
        table_ink(t, INK_RED);
        table_put(t, "%s of %s; rhodes describe %s", gone ? "agent" : "program", id, id);
    }
}

static void status_print(struct cli *cli, const json_t *status, const json_t *agents_list)
{
    const json_t *store = json_object_get(status, "store");
    unsigned long long agents = json_number(status, "agents"),
                       in_sync = json_number(status, "inSync");
    bool failed_store = strcmp(json_text(store, "state"), "ok") != 0;
    struct table t;
    json_t *agent;
    size_t i;

    table_init(&t, NULL, 2);
    table_put(&t, "center");
    table_put(&t, "%s, pid %llu, version %s, up since %s", json_text(status, "home"),
              (unsigned long long)json_number(status, "pid"), json_text(status, "version"),
              json_text(status, "startedAt"));
    table_put(&t, "store");
    table_put(&t, "%s, %s%s%s", json_text(store, "driver"), json_text(store, "state"),
              *json_text(store, "reason") ? ": " : "", json_text(store, "reason"));
    table_ink(&t, failed_store ? INK_RED : INK_GREEN);
    table_put(&t, "revision");
    table_put(&t, "%llu, %llu objects", (unsigned long long)json_number(status, "revision"),
              (unsigned long long)json_number(status, "objects"));
    table_put(&t, "agents");
    table_put(&t, "%llu/%llu in sync%s", in_sync, agents,
              in_sync < agents ? "; rhodes agent list shows which are not" : "");
    table_ink(&t, in_sync < agents ? INK_YELLOW : INK_GREEN);
    json_array_foreach(agents_list, i, agent)
    {
        trouble_put(&t, agent);
    }
    table_print(&t, cli);
    table_deinit(&t);
}

int status_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(answer_deinit) struct answer agents = { 0 };
    int r = center_get(cli, "/v1/status", &answer);

    if (!r && cli->output == OUTPUT_TABLE) {
        r = center_get(cli, "/v1/agents", &agents);
    }
    if (r) {
        return r;
    }
    switch (cli->output) {
    case OUTPUT_TABLE:
        status_print(cli, answer.json, json_object_get(agents.json, "items"));
        break;
    case OUTPUT_NAME:
        say(cli->out, "%s", json_text(answer.json, "home"));
        break;
    case OUTPUT_JSON:
    case OUTPUT_YAML:
        show_value(cli, answer.json);
        break;
    }
    return strcmp(json_text(json_object_get(answer.json, "store"), "state"), "failed") == 0
               ? EXIT_FAILED
               : EXIT_DONE;
}

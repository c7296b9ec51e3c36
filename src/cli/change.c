/* A change and its effect. "Stored" and "in force" are told apart to the end: the revision is what
 * was stored, the line with the agents is who has it in force, and only the second decides between
 * exit codes 0 and 3. */
#include "cli/change.h"

#include <string.h>

#include "base/clock.h"
#include "cli/kind.h"
#include "cli/show.h"
#include "cli/text.h"

#define WAIT_NS_MAX (300 * NS_PER_S) /* the center's own limit */

static void results_print(struct cli *cli, const json_t *answer)
{
    const json_t *results = json_object_get(answer, "results");
    struct table t;
    json_t *result;
    size_t i;

    table_init(&t, NULL, 3);
    json_array_foreach(results, i, result)
    {
        CLEANUP(memory_freep)
        char *id = id_of(json_text(result, "kind"), json_text(result, "name"));
        const char *action = json_text(result, "action");

        table_put(&t, "%s", id);
        table_put(&t, "%s", action);
        table_ink(&t, strcmp(action, "unchanged") == 0 ? INK_DIM
                      : strcmp(action, "deleted") == 0 ? INK_YELLOW
                                                       : INK_GREEN);
        table_put(&t, "revision %llu", (unsigned long long)json_number(result, "revision"));
    }
    table_print(&t, cli);
    table_deinit(&t);
}

static void effect_print(struct cli *cli, const json_t *answer, bool waited)
{
    const json_t *effect = json_object_get(answer, "effect");
    unsigned long long agents = json_number(effect, "agents"),
                       applied = json_number(effect, "applied");
    const char *noun = agents == 1 ? "agent" : "agents";

    if (json_flag(answer, "dryRun")) {
        report(cli, "dry run: nothing was stored; %llu connected %s would get it", agents, noun);
    } else if (agents == 0) {
        report(cli, "no connected agent is concerned");
    } else if (waited) {
        report(cli, "applied by %llu/%llu %s in %.1f ms", applied, agents, noun,
               json_number_value(json_object_get(effect, "ms")));
    } else {
        report(cli,
               "pushed to %llu %s, not waited for; rhodes agent list shows when it is in force",
               agents, noun);
    }
}

/* Which agents do not have it in force: the exit code. */
static int effect_judge(struct cli *cli, const json_t *answer, uint64_t wait_ns)
{
    const json_t *effect = json_object_get(answer, "effect");
    const json_t *rejected = json_object_get(effect, "rejected"),
                 *pending = json_object_get(effect, "pending");
    json_t *one;
    size_t i;

    if (json_flag(answer, "dryRun")) {
        return EXIT_DONE;
    }
    json_array_foreach(rejected, i, one)
    {
        const char *agent = json_text(one, "agent");

        complain(cli, 0, "the agent of %s does not apply it: %s: %s", agent,
                 json_text(one, "verdict"), json_text(one, "reason"));
        say(cli->err, "  next: rhodes describe %s", agent);
    }
    if (wait_ns) {
        json_array_foreach(pending, i, one)
        {
            const char *agent = json_string_value(one);

            complain(cli, 0, "the agent of %s has not applied it after %.3g s", agent ? agent : "?",
                     (double)wait_ns / 1e9);
            say(cli->err, "  next: rhodes describe %s", agent ? agent : "?");
        }
    }
    return json_array_size(rejected) || (wait_ns && json_array_size(pending)) ? EXIT_NOT_IN_SYNC
                                                                              : EXIT_DONE;
}

static int change_print(struct cli *cli, const json_t *answer, uint64_t wait_ns)
{
    const json_t *results = json_object_get(answer, "results");
    json_t *result;
    size_t i;

    switch (cli->output) {
    case OUTPUT_JSON:
    case OUTPUT_YAML:
        show_value(cli, answer);
        break;
    case OUTPUT_NAME:
        json_array_foreach(results, i, result)
        {
            CLEANUP(memory_freep)
            char *id = id_of(json_text(result, "kind"), json_text(result, "name"));

            say(cli->out, "%s", id);
        }
        break;
    case OUTPUT_TABLE:
        if (!cli->quiet) {
            results_print(cli, answer);
            effect_print(cli, answer, wait_ns > 0);
        }
        break;
    }
    return effect_judge(cli, answer, wait_ns);
}

int wait_parse(struct cli *cli, const struct arguments *arguments, uint64_t *ret_ns)
{
    const char *wait = option_value(arguments, "wait", "5s");

    if (duration_parse(wait, ret_ns) || *ret_ns > WAIT_NS_MAX) {
        return complain(cli, EXIT_USAGE,
                        "--wait is a duration of at most 5m, such as 500ms or 5s, not '%s'", wait);
    }
    return 0;
}

int change_send(struct cli *cli, const struct arguments *arguments, const struct change *change,
                long *ret_status)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep) char *path = NULL;
    const char *headers[2] = { change->condition, NULL };
    struct request request = { .method = change->method,
                               .body = change->body,
                               .headers = headers,
                               .waiting = "waiting for the agents" };
    uint64_t wait_ns = 0;
    int r = wait_parse(cli, arguments, &wait_ns);

    if (r) {
        return r;
    }
    if (option_given(arguments, "dry-run")) {
        path = text_make("%s?dryRun=true", change->path);
    } else if (wait_ns) {
        path = text_make("%s?wait=%lluus", change->path, (unsigned long long)(wait_ns / NS_PER_US));
    } else {
        path = text_copy(change->path);
    }
    request.path = path;
    request.wait_ns = wait_ns + ANSWER_WAIT_NS_DEFAULT;
    r = center_ask(cli, &request, &answer);
    if (r) {
        return r;
    }
    if (ret_status) {
        *ret_status = answer.status;
        if (answer.status == 412) {
            return EXIT_CONFLICT;
        }
    }
    r = answer_check(cli, &answer, change->origin);
    return r ? r : change_print(cli, answer.json, wait_ns);
}

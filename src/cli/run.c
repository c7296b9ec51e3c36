/* rhodes run: becomes the agent of a resource, which starts the command and ends with its status.
 */
#include <string.h>

#include "cli/center.h"
#include "cli/companion.h"
#include "cli/kind.h"
#include "cli/options.h"
#include "cli/text.h"

/* An agent that has no rules yet waits for a center. A person shall rather hear that there is none.
 */
static int rules_check(struct cli *cli, const struct named *named)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep) char *dotted = id_dotted(named);
    CLEANUP(memory_freep) char *kept = text_make("%s/agents/%s/view", cli->home, dotted);
    struct request request = { .method = "GET", .path = "/readyz" };

    return access(kept, F_OK) == 0 ? 0 : center_ask(cli, &request, &answer);
}

int run_run(struct cli *cli, const struct arguments *arguments)
{
    const char *as = option_value(arguments, "as", NULL);
    CLEANUP(memory_freep) char *path = NULL;
    CLEANUP(memory_freep) char *id = NULL;
    CLEANUP(memory_freep) const char **argv = NULL;
    struct named named;
    size_t count = 0;
    int r;

    if (!as) {
        return complain(cli, EXIT_USAGE, "run needs --as RESOURCE");
    }
    r = id_parse(cli, as, &named);
    if (!r && strcmp(named.kind->layer, "hardware") == 0) {
        return complain(cli, EXIT_USAGE,
                        "%s runs no program: the center starts its agent, which drives the device",
                        as);
    }
    r = r ? r : rules_check(cli, &named);
    r = r ? r : companion_find(cli, "rhodes-agent", X_OK, &path);
    if (r) {
        return r;
    }
    id = id_make(named.kind, named.name);
    argv = memory_make((arguments->positional_count + 8) * sizeof(*argv));
    argv[count++] = "rhodes-agent";
    argv[count++] = "--home";
    argv[count++] = cli->home;
    argv[count++] = "--resource";
    argv[count++] = id;
    argv[count++] = "--run";
    argv[count++] = "--";
    memcpy(argv + count, arguments->positional, arguments->positional_count * sizeof(*argv));
    fflush(NULL);
    execv(path, (char *const *)(uintptr_t)argv);
    return complain(cli, EXIT_FAILED, "%s cannot be started: %s", path,
                    rhodes_result_sentence(-errno));
}

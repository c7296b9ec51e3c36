/* rhodes run: becomes the agent of a resource, which starts the command and ends with its status.
 */
#include <string.h>

#include "cli/companion.h"
#include "cli/kind.h"
#include "cli/options.h"
#include "cli/text.h"

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
